//! Who has to go.

use std::sync::Arc;

use super::preempt;
use crate::cluster::{Budget, Cluster};
use crate::framework::Cycle;
use crate::intern::Word;
use crate::model::{Amounts, Class, Labels, Node, Pod, PodKey, Requirement, Selector};
use crate::profile::{Preemption, Profile};
use crate::registry::{Settings, profile};
use crate::schedule::{Decision, Dice, schedule};

fn node(name: &str) -> Arc<Node> {
    Arc::new(Node {
        name: Word::of(name),
        allocatable: Amounts {
            cpu: 1000,
            ..Amounts::default()
        },
        pods: 10,
        ..Node::default()
    })
}

fn pod(name: &str, priority: i32, cpu: i64) -> Pod {
    let class = Class {
        namespace: "ns".into(),
        priority,
        preempts: true,
        requests: Amounts {
            cpu,
            ..Amounts::default()
        },
        labels: Labels::new([("app".into(), name.into())]),
        ..Class::default()
    };
    Pod {
        key: PodKey::new("ns", name),
        class: class.shared(),
        ..Pod::default()
    }
}

fn cluster(pods: &[(&str, &str, i32, i64)]) -> Cluster {
    let mut cluster = Cluster::default();
    for name in ["a", "b"] {
        cluster.set_node(node(name));
    }
    for (on, name, priority, cpu) in pods {
        cluster.put_pod(Arc::new(pod(name, *priority, *cpu)), &Word::of(on), false);
    }
    cluster
}

fn outcome(cluster: &Cluster, pod: &Pod) -> Result<(String, Vec<String>), String> {
    let profile: Profile = profile("default-scheduler", Settings::default());
    let cycle = Cycle { pod, cluster };
    let mut dice = Dice::new(7);
    let Decision::Refuse(refusal) = schedule(&profile, cycle, &mut dice) else {
        panic!("there is room");
    };
    let plan = preempt(&profile, Preemption::default(), cycle, &refusal, &mut dice)?;
    let victims = plan.victims.iter().map(|pod| pod.key.name.to_string());
    Ok((plan.node.to_string(), victims.collect()))
}

fn check(pods: &[(&str, &str, i32, i64)], incoming: &Pod, node: &str, victims: &[&str]) {
    let (on, gone) = outcome(&cluster(pods), incoming).unwrap();
    assert_eq!(
        (on.as_str(), gone),
        (node, victims.iter().map(|v| (*v).to_owned()).collect())
    );
}

#[test]
fn the_least_important_go() {
    let high = pod("high", 100, 500);
    check(
        &[("a", "x", 5, 800), ("b", "y", 3, 800)],
        &high,
        "b",
        &["y"],
    );
    // As few as can be: only one of two has to go.
    check(
        &[("a", "x", 1, 500), ("a", "y", 2, 500), ("b", "z", 3, 800)],
        &high,
        "a",
        &["x"],
    );
    // Fewer pods where priorities are equal.
    check(
        &[
            ("a", "x", 1, 400),
            ("a", "y", 1, 400),
            ("a", "w", 9, 200),
            ("b", "z", 1, 1000),
        ],
        &pod("high", 100, 700),
        "b",
        &["z"],
    );
}

#[test]
fn a_budget_is_kept_where_it_can_be() {
    let mut cluster = cluster(&[("a", "x", 1, 800), ("b", "y", 5, 800)]);
    let guard = |name: &str| Budget {
        namespace: "ns".into(),
        selector: Selector::All(vec![Requirement::equal("app".into(), name.into())]),
        allowed: 0,
        disrupted: Vec::new(),
    };
    let high = pod("high", 100, 500);
    cluster.budgets.insert(PodKey::new("ns", "x"), guard("x"));
    assert_eq!(outcome(&cluster, &high).unwrap().0, "b");
    cluster.budgets.insert(PodKey::new("ns", "y"), guard("y"));
    assert_eq!(outcome(&cluster, &high).unwrap().0, "a");
}

#[test]
fn it_is_told_why_it_would_not_help() {
    let full = [("a", "x", 5, 800), ("b", "y", 200, 800)];
    let check = |incoming: Pod, part: &str| {
        let told = outcome(&cluster(&full), &incoming).unwrap_err();
        assert!(told.contains(part), "{part:?} is not in {told:?}");
    };
    check(
        pod("low", 1, 500),
        "0/2 nodes are available: 2 No preemption victims found",
    );
    check(
        pod("huge", 100, 5000),
        "2 Preemption is not helpful for scheduling",
    );
    let never = Class {
        preempts: false,
        ..(*pod("never", 100, 500).class).clone()
    };
    let never = Pod {
        class: never.shared(),
        ..pod("never", 100, 500)
    };
    check(never, "preemptionPolicy=Never");
}

#[test]
fn a_pod_waits_for_victims_that_are_leaving() {
    let mut cluster = cluster(&[("b", "y", 200, 800)]);
    let leaving = Pod {
        deleting: true,
        preempted: true,
        ..pod("x", 1, 800)
    };
    cluster.put_pod(Arc::new(leaving), &Word::of("a"), false);
    let high = Arc::new(pod("high", 100, 500));
    cluster.nominate(&high, Some(&Word::of("a")));
    let told = outcome(&cluster, &high).unwrap_err();
    assert!(
        told.contains("terminating pod on the nominated node"),
        "{told}"
    );
}
