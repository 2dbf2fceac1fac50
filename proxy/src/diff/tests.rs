//! Changes and conflicts, and that a long history ends where its last state begins.

use super::*;
use crate::model::Policy;
use crate::model::{Endpoint, Entrance};
use proptest::prelude::*;

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("ns", name)
}

fn rules(cluster: u8, entrances: &[u8], node_port: Option<u16>) -> ServiceRules {
    let entrance = |last: &u8| Entrance {
        ip: [192, 0, 2, *last].into(),
        sources: None,
    };
    let endpoint = Endpoint {
        ip: [10, 1, 0, cluster].into(),
        port: 8080,
        local: true,
    };
    ServiceRules {
        ports: vec![PortRules {
            name: "".into(),
            protocol: Protocol::Tcp,
            cluster_ip: [10, 0, 0, cluster].into(),
            port: 80,
            node_port,
            entrances: entrances.iter().map(entrance).collect(),
            affinity: None,
            internal: Policy::Cluster,
            external: Policy::Cluster,
            cluster: vec![endpoint],
            local: vec![],
            anybody: true,
            serving: vec![endpoint.ip],
        }],
        health: None,
    }
}

fn entrances_of(set: &RuleSet, name: &str) -> Vec<u8> {
    let Some(rules) = set.service(&key(name)) else {
        return vec![];
    };
    let all = rules.ports.iter().flat_map(|port| &port.entrances);
    all.map(|entrance| match entrance.ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    })
    .collect()
}

#[test]
fn a_change_names_only_what_it_touches() {
    let mut set = RuleSet::default();
    let mut delta = RuleDelta::default();
    for (number, name) in (1..).zip(["a", "b", "c"]) {
        set.set(&key(name), Some(rules(number, &[], None)), &mut delta);
    }
    assert_eq!(delta.services.len(), 3);
    let mut delta = RuleDelta::default();
    set.set(&key("b"), Some(rules(2, &[], None)), &mut delta);
    assert!(delta.is_empty());
    set.set(&key("b"), None, &mut delta);
    assert_eq!(delta.services.keys().collect::<Vec<_>>(), [&key("b")]);
    set.set(&key("b"), Some(rules(2, &[], None)), &mut delta);
    assert!(delta.is_empty(), "there and back again is no change");
}

#[test]
fn the_first_by_name_gets_an_address_and_the_next_follows() {
    let mut set = RuleSet::default();
    let mut delta = RuleDelta::default();
    set.set(&key("b"), Some(rules(2, &[9], Some(30000))), &mut delta);
    set.set(&key("c"), Some(rules(3, &[8, 9], Some(30000))), &mut delta);
    assert_eq!(entrances_of(&set, "c"), [8]);
    let mut delta = RuleDelta::default();
    set.set(&key("a"), Some(rules(1, &[9], None)), &mut delta);
    assert_eq!(entrances_of(&set, "a"), [9]);
    assert_eq!(entrances_of(&set, "b"), Vec::<u8>::new());
    assert_eq!(
        delta.services.keys().collect::<Vec<_>>(),
        [&key("a"), &key("b")]
    );
    let mut delta = RuleDelta::default();
    set.set(&key("a"), None, &mut delta);
    assert_eq!(entrances_of(&set, "b"), [9]);
    assert_eq!(delta.services.len(), 2);
    set.set(&key("b"), None, &mut delta);
    assert_eq!(entrances_of(&set, "c"), [8, 9]);
    let ports = &set.service(&key("c")).unwrap().ports;
    assert_eq!(ports[0].node_port, Some(30000));
}

#[test]
fn node_rules_that_come_back_are_no_change() {
    let mut set = RuleSet::default();
    let mut delta = RuleDelta::default();
    let other = NodeRules {
        masquerade_all: true,
        ..NodeRules::default()
    };
    set.set_node(other, &mut delta);
    assert!(delta.node.is_some());
    set.set_node(NodeRules::default(), &mut delta);
    assert!(delta.is_empty());
}

type Step = (u8, Option<(u8, Vec<u8>, Option<u16>)>);

fn step() -> impl Strategy<Value = Step> {
    let rules = (
        0..6_u8,
        proptest::collection::vec(0..4_u8, 0..3),
        proptest::option::of(30000..30003_u16),
    );
    (0..6_u8, proptest::option::weighted(0.8, rules))
}

proptest! {
    /// Whatever the way, the state is that of the last word of each Service; nobody shares a
    /// claim; and the deltas, put together, are the whole change.
    #[test]
    fn a_history_is_forgotten(steps in proptest::collection::vec(step(), 0..40)) {
        let mut set = RuleSet::default();
        let mut last = BTreeMap::new();
        let mut replayed: BTreeMap<ServiceKey, Arc<ServiceRules>> = BTreeMap::new();
        for (name, what) in steps {
            let key = key(&name.to_string());
            let mut sorted = what;
            if let Some((_, entrances, _)) = &mut sorted {
                entrances.sort_unstable();
                entrances.dedup();
            }
            let rules = sorted.map(|(c, e, n)| rules(c, &e, n));
            let mut delta = RuleDelta::default();
            set.set(&key, rules.clone(), &mut delta);
            last.insert(key, rules);
            for (key, (before, after)) in delta.services {
                prop_assert_eq!(replayed.get(&key), before.as_ref());
                match after {
                    Some(after) => replayed.insert(key, after),
                    None => replayed.remove(&key),
                };
            }
        }
        let mut fresh = RuleSet::default();
        for (key, rules) in last {
            fresh.set(&key, rules, &mut RuleDelta::default());
        }
        let all: Vec<_> = set.services().collect();
        prop_assert_eq!(&all, &fresh.services().collect::<Vec<_>>());
        prop_assert_eq!(all, replayed.iter().collect::<Vec<_>>());
        let mut seen = BTreeSet::new();
        for (_, rules) in set.services() {
            for claim in claims(rules) {
                prop_assert!(seen.insert(claim), "{:?} twice", claim);
            }
        }
        prop_assert_eq!(set.held.len() , fresh.held.len());
    }
}
