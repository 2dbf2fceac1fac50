//! The scheduler as a whole, without its surroundings.

use std::sync::Arc;
use std::time::Duration;

use super::{State, Step};
use crate::framework::Held;
use crate::intern::Word;
use crate::model::{Amounts, Class, Node, Pod, PodKey};
use crate::queue::{Part, Waits};
use crate::registry::{Settings, profile};

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn state() -> State {
    let profiles = vec![profile("default-scheduler", Settings::default())];
    State::new(profiles, Waits::default(), 42)
}

fn node(name: &str, cpu: i64) -> Arc<Node> {
    Arc::new(Node {
        name: Word::of(name),
        allocatable: Amounts {
            cpu,
            ..Amounts::default()
        },
        pods: 110,
        ..Node::default()
    })
}

fn pod(name: &str, priority: i32, cpu: i64) -> Pod {
    let class = Class {
        scheduler: "default-scheduler".into(),
        namespace: "ns".into(),
        priority,
        preempts: true,
        requests: Amounts {
            cpu,
            ..Amounts::default()
        },
        scored: (cpu, 0),
        ..Class::default()
    };
    Pod {
        key: PodKey::new("ns", name),
        uid: name.into(),
        class: class.shared(),
        ..Pod::default()
    }
}

fn put(state: &mut State, now: u64, pod: Pod) {
    state.put_pod(at(now), &Arc::new(pod));
}

fn next(state: &mut State, now: u64) -> String {
    match state.next(at(now)) {
        None => "-".to_owned(),
        Some(Step::Bind {
            taken, placement, ..
        }) => {
            format!("{} on {}", taken.pod.key.name, placement.node)
        }
        Some(Step::Refuse { message, plan, .. }) => match plan {
            None => message,
            Some(plan) => format!("{message} {} makes room", plan.node),
        },
    }
}

#[test]
fn pods_fill_nodes_and_then_wait() {
    let mut state = state();
    put(&mut state, 0, pod("a", 0, 700));
    assert_eq!(next(&mut state, 0), "no nodes available to schedule pods");
    state.put_node(at(1), &node("n", 1000));
    assert_eq!(next(&mut state, 1), "a on n");
    put(&mut state, 1, pod("b", 0, 700));
    assert_eq!(
        next(&mut state, 1),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
         1 No preemption victims found for incoming pod."
    );
    assert_eq!(next(&mut state, 100), "-");
    state.bound(&pod("a", 0, 700), &Word::of("n"));
    state.remove_pod(at(100), &PodKey::new("ns", "a"));
    assert_eq!(next(&mut state, 100), "b on n");
}

#[test]
fn what_could_not_be_bound_has_another_turn() {
    let mut state = state();
    state.put_node(at(0), &node("n", 1000));
    put(&mut state, 0, pod("a", 0, 700));
    assert_eq!(next(&mut state, 0), "a on n");
    // The watch brings an older state meanwhile.
    put(&mut state, 0, pod("a", 0, 700));
    assert_eq!(next(&mut state, 0), "-");
    state.not_bound(at(0), &pod("a", 0, 700), &Held::default());
    assert_eq!(
        (next(&mut state, 0).as_str(), state.cluster.placed()),
        ("-", 0)
    );
    assert_eq!(next(&mut state, 1), "a on n");
}

#[test]
fn a_pod_with_priority_displaces_another_and_waits_for_it() {
    let mut state = state();
    state.put_node(at(0), &node("n", 1000));
    let low = Pod {
        node: Some("n".into()),
        ..pod("low", 0, 700)
    };
    put(&mut state, 0, low);
    put(&mut state, 0, pod("high", 10, 700));
    assert!(next(&mut state, 0).ends_with("n makes room"));
    // Nobody of lower priority gets the room that is being made.
    put(&mut state, 1, pod("late", 5, 400));
    state.remove_pod(at(2), &PodKey::new("ns", "low"));
    assert_eq!(next(&mut state, 2), "high on n");
    assert!(next(&mut state, 2).contains("Insufficient cpu"));
}

#[test]
fn pods_of_other_schedulers_are_left_alone() {
    let mut state = state();
    let class = Class {
        scheduler: "mine".into(),
        ..Class::default()
    };
    let theirs = Pod {
        class: class.shared(),
        ..pod("a", 0, 1)
    };
    put(&mut state, 0, theirs);
    assert_eq!(state.queue.part(&PodKey::new("ns", "a")), None);
}

#[test]
fn gates_hold_a_pod() {
    let mut state = state();
    state.put_node(at(0), &node("n", 1000));
    let free = pod("a", 0, 1);
    let gated = Class {
        gates: vec!["g".into()],
        ..(*free.class).clone()
    };
    let gated = Pod {
        class: gated.shared(),
        ..free.clone()
    };
    put(&mut state, 0, gated);
    assert_eq!(state.queue.part(&free.key), Some(Part::Held));
    assert_eq!(next(&mut state, 0), "-");
    put(&mut state, 1, free);
    assert_eq!(next(&mut state, 1), "a on n");
}

#[test]
fn a_batch_fills_nodes_evenly_and_to_the_last() {
    let mut state = state();
    for n in 0..10 {
        state.put_node(at(0), &node(&n.to_string(), 1000));
    }
    for n in 0..101 {
        put(&mut state, 0, pod(&n.to_string(), 0, 100));
    }
    for _ in 0..50 {
        assert!(next(&mut state, 0).contains(" on "));
    }
    assert!(state.batched > 40, "{}", state.batched);
    assert!(state.cluster.hosts().all(|host| host.pods.len() == 5));
    for _ in 50..100 {
        assert!(next(&mut state, 0).contains(" on "));
    }
    assert!(state.cluster.hosts().all(|host| host.requested.cpu == 1000));
    assert!(next(&mut state, 0).contains("10 Insufficient cpu"));
}
