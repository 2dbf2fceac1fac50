//! The order of keys, table by table and at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{Core, Limits};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_key_waits_once_and_is_worked_on_alone() {
    let mut core = Core::new(Limits::default());
    let now = Duration::ZERO;
    assert!(core.add(now, "a", Duration::ZERO));
    assert!(!core.add(now, "a", Duration::ZERO));
    assert_eq!(core.take(now), Some("a"));
    assert_eq!(core.take(now), None);
    assert!(!core.add(now, "a", Duration::ZERO));
    assert_eq!(core.take(now), None, "it is being worked on");
    assert!(core.done(now, &"a"));
    assert_eq!(core.take(now), Some("a"));
    assert!(!core.done(now, &"a"));
    assert_eq!(core.take(now), None);
}

#[test]
fn the_earliest_time_counts() {
    let mut core = Core::new(Limits::default());
    core.add(millis(0), "a", millis(100));
    core.add(millis(0), "a", millis(50));
    core.add(millis(0), "a", millis(200));
    assert_eq!(core.next_due(), Some(millis(50)));
    assert_eq!(core.take(millis(49)), None);
    assert_eq!(core.take(millis(50)), Some("a"));
    core.done(millis(60), &"a");
    assert_eq!((core.next_due(), core.take(millis(500))), (None, None));
}

#[test]
fn failures_double_the_wait_until_forgotten() {
    let mut core = Core::new(Limits::default());
    let mut waits = Vec::new();
    for _ in 0..4 {
        core.add_limited(millis(0), "a");
        let due = core.next_due().unwrap();
        waits.push(due.as_millis());
        assert_eq!(core.take(due), Some("a"));
        core.done(millis(0), &"a");
    }
    assert_eq!(waits, [5, 10, 20, 40]);
    assert_eq!(core.failures(&"a"), 4);
    core.forget(&"a");
    core.add_limited(millis(0), "a");
    assert_eq!(core.next_due(), Some(millis(5)));
}

#[test]
fn retries_of_all_keys_are_limited() {
    let mut core = Core::new(Limits::default());
    for key in 0..120 {
        core.add_limited(millis(0), key);
    }
    let mut due = BTreeMap::new();
    while let Some(at) = core.next_due() {
        while let Some(key) = core.take(at) {
            due.insert(key, at);
            core.done(at, &key);
        }
    }
    assert_eq!(due[&99], millis(5));
    assert_eq!(due[&100], millis(100));
    assert_eq!(due[&119], millis(2000));
}

#[test]
fn a_closed_queue_takes_nothing_in() {
    let mut core = Core::new(Limits::default());
    core.add(millis(0), 1, Duration::ZERO);
    core.add(millis(0), 2, millis(5));
    core.close();
    core.add(millis(0), 3, Duration::ZERO);
    assert_eq!(core.take(millis(9)), Some(1));
    assert_eq!(core.take(millis(9)), None);
}

#[derive(Clone, Debug)]
enum Op {
    Add(u8, u64),
    Fail(u8),
    Take,
    Done,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..4_u8, 0..30_u64).prop_map(|(key, delay)| Op::Add(key, delay)),
        (0..4_u8).prop_map(Op::Fail),
        Just(Op::Take),
        Just(Op::Done),
        (0..20_u64).prop_map(Op::Pass),
    ]
}

proptest! {
    #[test]
    fn no_key_is_lost_or_worked_on_twice_at_once(ops in prop::collection::vec(op(), 0..100)) {
        let mut core = Core::new(Limits::default());
        let mut now = millis(0);
        let mut working: Vec<u8> = Vec::new();
        let mut owed: BTreeSet<u8> = BTreeSet::new();
        for op in ops {
            match op {
                Op::Add(key, delay) => {
                    core.add(now, key, millis(delay));
                    owed.insert(key);
                }
                Op::Fail(key) => {
                    core.add_limited(now, key);
                    owed.insert(key);
                }
                Op::Take => if let Some(key) = core.take(now) {
                    prop_assert!(!working.contains(&key));
                    owed.remove(&key);
                    working.push(key);
                },
                Op::Done => if let Some(key) = working.pop() {
                    core.done(now, &key);
                },
                Op::Pass(time) => now += millis(time),
            }
        }
        for key in working {
            core.done(now, &key);
        }
        while let Some(key) = core.take(now).or_else(|| core.take(core.next_due()?)) {
            owed.remove(&key);
            core.done(now, &key);
        }
        prop_assert!(owed.is_empty(), "{owed:?} was added and never given out");
    }
}
