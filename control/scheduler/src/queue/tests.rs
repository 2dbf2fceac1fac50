//! Whose turn it is.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Part, Queue, Waits};
use crate::framework::PluginSet;
use crate::model::{Class, Pod, PodKey};

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pod(name: &str, priority: i32) -> Arc<Pod> {
    let class = Class {
        priority,
        ..Class::default()
    };
    Arc::new(Pod {
        key: PodKey::new("ns", name),
        uid: name.into(),
        class: class.shared(),
        ..Pod::default()
    })
}

fn queue() -> Queue {
    Queue::new(Waits::default())
}

fn take(queue: &mut Queue, now: u64) -> Option<String> {
    let taken = queue.take(at(now))?;
    Some(taken.pod.key.name.to_string())
}

#[test]
fn high_priority_first_then_the_oldest() {
    let mut queue = queue();
    queue.put(at(0), pod("a", 0), false, false);
    queue.put(at(1), pod("b", 5), false, false);
    queue.put(at(1), pod("c", 0), false, false);
    assert_eq!(queue.peek().unwrap().key.name.text(), "b");
    let order: Vec<_> = std::iter::from_fn(|| take(&mut queue, 2)).collect();
    assert_eq!(order, ["b", "a", "c"]);
}

#[test]
fn a_refused_pod_waits_for_a_change_and_its_backoff() {
    let mut queue = queue();
    let mut by = PluginSet::default();
    by.insert(2);
    let key = PodKey::new("ns", "a");
    queue.put(at(0), pod("a", 0), false, false);
    assert!(take(&mut queue, 0).is_some());
    queue.refused(at(0), &key, by);
    assert_eq!(take(&mut queue, 100), None);
    assert_eq!(queue.wake(at(100), |_, by| by.contains(3)), 0);
    assert_eq!(queue.wake(at(100), |_, by| by.contains(2)), 1);
    assert_eq!(take(&mut queue, 100).unwrap(), "a");
    // The second refusal: two seconds.
    queue.refused(at(100), &key, by);
    assert_eq!(queue.wake(at(101), |_, _| true), 1);
    assert_eq!(queue.part(&key), Some(Part::Backoff));
    assert_eq!(queue.next_due(), Some(at(102)));
    assert_eq!(take(&mut queue, 101), None);
    assert_eq!(take(&mut queue, 102).unwrap(), "a");
    for attempt in 0..9 {
        queue.failed(at(200 + attempt * 10), &key);
        assert!(
            queue.take(at(210 + attempt * 10)).is_some(),
            "ten seconds at most"
        );
    }
}

#[test]
fn nobody_is_forgotten() {
    let mut queue = queue();
    queue.put(at(0), pod("a", 0), false, false);
    take(&mut queue, 0);
    queue.refused(at(0), &PodKey::new("ns", "a"), PluginSet::default());
    assert_eq!(queue.wake_forgotten(at(299)), 0);
    assert_eq!(queue.wake_forgotten(at(300)), 1);
    assert!(take(&mut queue, 300).is_some());
}

#[test]
fn a_held_pod_has_its_turn_when_it_is_let_go() {
    let mut queue = queue();
    queue.put(at(0), pod("a", 0), true, false);
    assert_eq!((take(&mut queue, 0), queue.depths()), (None, [0, 0, 0, 1]));
    queue.put(at(1), pod("a", 0), false, false);
    assert!(take(&mut queue, 1).is_some());
}

#[test]
fn a_change_while_a_pod_is_being_placed_leaves_it_taken() {
    let mut queue = queue();
    queue.put(at(0), pod("a", 0), false, false);
    take(&mut queue, 0);
    queue.put(at(0), pod("a", 1), false, true);
    assert_eq!(take(&mut queue, 0), None);
    queue.failed(at(0), &PodKey::new("ns", "a"));
    assert_eq!(queue.take(at(1)).unwrap().pod.class.priority, 1);
}

proptest! {
    #[test]
    fn every_pod_is_in_one_part(steps in prop::collection::vec((0..6_u8, 0..5_u8, -2..3_i32), 1..80)) {
        let mut queue = queue();
        let mut taken = std::collections::BTreeSet::new();
        for (now, (what, name, priority)) in (0..).zip(steps) {
            let now = Duration::from_millis(now * 500);
            let name = name.to_string();
            let key = PodKey::new("ns", &name);
            match what {
                0 => queue.put(now, pod(&name, priority), priority < -1, true),
                1 => { queue.remove(&key); taken.remove(&key); }
                2 => if let Some(next) = queue.take(now) {
                    prop_assert!(taken.insert(next.pod.key.clone()), "given out twice");
                },
                3 if taken.remove(&key) => queue.refused(now, &key, PluginSet::default()),
                4 if taken.remove(&key) => queue.failed(now, &key),
                _ => { queue.wake(now, |_, _| true); }
            }
            for key in &taken {
                prop_assert_eq!(queue.part(key), Some(Part::Taken));
            }
            let counted: usize = queue.depths().iter().sum();
            prop_assert_eq!(counted + taken.len(), queue.pods.len());
        }
    }
}
