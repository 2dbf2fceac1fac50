//! Tables and properties of the allocator.

use proptest::prelude::*;

use super::*;
use crate::ipam::fake_store::FakeStore;

fn owner(number: u32) -> Attachment {
    Attachment {
        container: format!("c{number}"),
        interface: "eth0".into(),
    }
}

fn set(ranges: &[(&str, &str, &str)]) -> RangeSet {
    let range = |(subnet, first, last): &(&str, &str, &str)| {
        let optional = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Range::new(
            subnet.parse().unwrap(),
            optional(first),
            optional(last),
            None,
        )
        .unwrap()
    };
    RangeSet::new(ranges.iter().map(range).collect()).unwrap()
}

fn addresses(ips: &[IpConfig]) -> Vec<String> {
    ips.iter().map(|ip| ip.address.to_string()).collect()
}

#[test]
fn goes_round_skips_the_gateway_and_reuses_last() {
    let sets = [set(&[
        ("10.0.0.0/29", "", "10.0.0.3"),
        ("10.0.1.0/24", "10.0.1.9", "10.0.1.10"),
    ])];
    let mut store = FakeStore::default();
    let next = |store: &mut FakeStore, number| {
        allocate(store, &sets, &[], &owner(number), "b")
            .map(|ips| addresses(&ips).remove(0))
            .map_err(|error| error.to_string())
    };
    assert_eq!(next(&mut store, 1).unwrap(), "10.0.0.2/29");
    store.release("10.0.0.2".parse().unwrap()).unwrap();
    assert_eq!(next(&mut store, 2).unwrap(), "10.0.0.3/29");
    assert_eq!(next(&mut store, 3).unwrap(), "10.0.1.9/24");
    assert_eq!(next(&mut store, 4).unwrap(), "10.0.1.10/24");
    assert_eq!(next(&mut store, 5).unwrap(), "10.0.0.2/29");
    assert!(
        next(&mut store, 6)
            .unwrap_err()
            .contains("no addresses left")
    );
}

#[test]
fn requested_addresses_are_given_or_refused() {
    let sets = [
        set(&[("10.0.0.0/24", "", "")]),
        set(&[("fd00::/64", "", "")]),
    ];
    let mut store = FakeStore::default();
    let mut ask = |number, wanted: &[&str]| {
        let wanted: Vec<IpAddr> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        allocate(&mut store, &sets, &wanted, &owner(number), "b")
            .map(|ips| addresses(&ips).join(" "))
            .unwrap_or_else(|error| error.to_string())
    };
    assert_eq!(ask(1, &["fd00::7", "10.0.0.9"]), "10.0.0.9/24 fd00::7/64");
    assert!(ask(2, &["10.0.0.9"]).contains("is taken"));
    assert!(ask(2, &["10.0.0.1"]).contains("is the gateway"));
    assert!(ask(2, &["10.9.0.1"]).contains("none of the ranges"));
    assert!(ask(2, &["10.0.0.7", "10.0.0.8"]).contains("none of the ranges"));
    assert!(ask(1, &[]).contains("may not run twice"));
    // A refusal took nothing.
    assert_eq!(ask(2, &[]), "10.0.0.10/24 fd00::8/64");
}

#[test]
fn a_second_set_that_is_full_gives_the_first_back() {
    let sets = [
        set(&[("10.0.0.0/24", "", "")]),
        set(&[("fd00::/64", "fd00::2", "fd00::2")]),
    ];
    let mut store = FakeStore::default();
    allocate(&mut store, &sets, &[], &owner(1), "b").unwrap();
    assert!(allocate(&mut store, &sets, &[], &owner(2), "b").is_err());
    assert!(store.leases.values().all(|lease| lease.is_of(&owner(1))));
}

#[test]
fn leases_of_an_earlier_boot_and_of_other_plugins() {
    let sets = [set(&[("10.0.0.0/24", "10.0.0.2", "10.0.0.3")])];
    let mut store = FakeStore::default();
    for (addr, boot) in [("10.0.0.2", Some("old".to_owned())), ("10.0.0.3", None)] {
        let addr: IpAddr = addr.parse().unwrap();
        let lease = Lease {
            addr,
            owner: owner(9),
            boot,
        };
        store.leases.insert(addr, lease);
    }
    let given = allocate(&mut store, &sets, &[], &owner(1), "new").unwrap();
    assert_eq!(addresses(&given), ["10.0.0.2/24"]);
    assert!(allocate(&mut store, &sets, &[], &owner(2), "new").is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Add(u32),
    Del(u32),
    AddKilledAfter(u32, u32),
    Reboot,
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u32).prop_map(Step::Add),
        2 => (0..8_u32).prop_map(Step::Del),
        2 => (0..8_u32, 0..6_u32).prop_map(|(c, n)| Step::AddKilledAfter(c, n)),
        1 => Just(Step::Reboot),
        1 => Just(Step::Collect),
    ]
}

proptest! {
    /// Never two owners of an address; after GC the leases are exactly those of live containers,
    /// whatever was killed; a full range is used to its last address.
    #[test]
    fn never_two_owners_and_nothing_is_lost(steps in prop::collection::vec(step(), 1..80)) {
        let sets = [set(&[("10.0.0.0/29", "", "")]), set(&[("fd00::/125", "", "")])];
        let mut store = FakeStore::default();
        let mut live: std::collections::BTreeMap<u32, Vec<IpAddr>> = Default::default();
        let mut boot = 0_u32;
        for step in steps {
            match step {
                Step::Add(c) => {
                    store.changes_left = None;
                    if let Ok(given) = allocate(&mut store, &sets, &[], &owner(c), &boot.to_string()) {
                        let given: Vec<IpAddr> = given.iter().map(|ip| ip.address.addr).collect();
                        for other in live.values() {
                            prop_assert!(given.iter().all(|addr| !other.contains(addr)));
                        }
                        live.insert(c, given);
                    }
                }
                Step::AddKilledAfter(c, changes) => {
                    if live.contains_key(&c) {
                        continue;
                    }
                    store.changes_left = Some(changes);
                    if let Ok(given) = allocate(&mut store, &sets, &[], &owner(c), &boot.to_string()) {
                        live.insert(c, given.iter().map(|ip| ip.address.addr).collect());
                    }
                    store.changes_left = None;
                }
                Step::Del(c) => {
                    reclaim(&mut store, |lease| lease.is_of(&owner(c))).unwrap();
                    live.remove(&c);
                }
                Step::Reboot => {
                    boot += 1;
                    live.clear();
                }
                Step::Collect => {
                    reclaim(&mut store, |lease| !live.keys().any(|c| lease.is_of(&owner(*c)))).unwrap();
                    let held: BTreeSet<IpAddr> = store.leases.keys().copied().collect();
                    let wanted: BTreeSet<IpAddr> = live.values().flatten().copied().collect();
                    prop_assert_eq!(held, wanted);
                }
            }
            for (c, given) in &live {
                for addr in given {
                    prop_assert!(store.leases[addr].is_of(&owner(*c)));
                }
            }
        }
        reclaim(&mut store, |_| true).unwrap();
        for c in 100..105 {
            prop_assert!(allocate(&mut store, &sets, &[], &owner(c), "x").is_ok());
        }
        prop_assert!(allocate(&mut store, &sets, &[], &owner(105), "x").is_err());
    }
}
