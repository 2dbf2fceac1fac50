//! The mirror: that changes add up to what building from nothing gives, and that what is there
//! already is not written again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::mirror::{Found, Mirror};
use super::render::{Element, hairpin, render, render_node};
use super::{Families, layout, skeleton};
use crate::diff::{RuleDelta, RuleSet};
use crate::model::{
    Endpoint, Entrance, NodePortAddresses, NodeRules, Policy, PortRules, Protocol, ServiceKey,
    ServiceRules,
};
use keelson_netlink::Message;
use keelson_netlink::nft::element::views;
use keelson_netlink::wire::{find, text};
use proptest::prelude::*;

fn service(number: u8, endpoints: &[u8], node_port: Option<u16>, external: Policy) -> ServiceRules {
    let endpoints: BTreeSet<u8> = endpoints.iter().copied().collect();
    let endpoints: Vec<Endpoint> = endpoints
        .iter()
        .map(|last| Endpoint {
            ip: [10, 1, 0, *last].into(),
            port: 8080,
            local: last % 2 == 0,
        })
        .collect();
    ServiceRules {
        ports: vec![PortRules {
            name: "".into(),
            protocol: Protocol::Tcp,
            cluster_ip: [10, 0, 0, number].into(),
            port: 80,
            node_port,
            entrances: vec![Entrance {
                ip: [192, 0, 2, number % 3].into(),
                sources: Some(vec!["198.51.100.0/24".parse().unwrap()].into()),
            }],
            affinity: (number.is_multiple_of(4)).then_some(60),
            internal: Policy::Cluster,
            external,
            local: endpoints.iter().filter(|e| e.local).copied().collect(),
            anybody: !endpoints.is_empty(),
            serving: vec![],
            cluster: endpoints,
        }],
        health: None,
    }
}

fn node(last: u8) -> NodeRules {
    NodeRules {
        node_ports: NodePortAddresses::Listed([[172, 16, 0, last].into()].into()),
        ..NodeRules::default()
    }
}

/// A kernel's table, as far as messages of elements and chains go.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Table {
    chains: BTreeSet<(u8, String)>,
    elements: BTreeMap<(u8, String, Vec<u8>), Option<Vec<u8>>>,
}

impl Table {
    fn apply(&mut self, messages: &[Message]) {
        for message in messages {
            self.apply_one(message);
        }
    }

    fn apply_one(&mut self, message: &Message) {
        let family = message.body[0];
        let name = |kind| find(&message.body[4..], kind).map(text).unwrap_or_default();
        match message.kind & 0xff {
            2 => {
                self.chains.retain(|(of, _)| *of != family);
                self.elements.retain(|(of, _, _), _| *of != family);
            }
            3 => drop(self.chains.insert((family, name(3)))),
            5 => assert!(
                self.chains.remove(&(family, name(3))),
                "no chain {}",
                name(3)
            ),
            12 => {
                for view in views(message) {
                    let key = (family, name(2), view.key.to_vec());
                    let value = view.value.map(<[u8]>::to_vec);
                    let there = self.elements.insert(key.clone(), value.clone());
                    assert!(there.is_none_or(|old| old == value), "{key:?} has a value");
                }
            }
            14 => {
                for view in views(message) {
                    let key = (family, name(2), view.key.to_vec());
                    assert!(self.elements.remove(&key).is_some(), "{key:?} is not there");
                }
            }
            _ => {}
        }
    }

    /// Without routes: spare ones may stay.
    fn rendered(&self) -> BTreeMap<(u8, String, Vec<u8>), Option<Vec<u8>>> {
        let mut elements = self.elements.clone();
        elements.retain(|(_, set, _), _| set != "routes" && set != "picks");
        elements
    }

    fn found(&self, rules: &RuleSet) -> Found {
        let v6 = |family: u8| family == 10;
        let mut found = Found::default();
        for (family, chain) in &self.chains {
            found.chains.insert((v6(*family), chain.clone()));
        }
        for ((family, set, key), value) in &self.elements {
            if set == "routes" || set == "picks" {
                found.routes.insert((v6(*family), key.clone()));
            } else if let Some(set) = layout::SETS
                .iter()
                .find(|s| s.name() == set && s.is_rendered())
            {
                found.elements.push(Element {
                    v6: v6(*family),
                    set: *set,
                    key: key.clone(),
                    end: None,
                    value: value.clone(),
                });
            }
        }
        // The model of a table has no ends of ranges: give them back as they were rendered.
        let mut ends: HashSet<Element> = HashSet::new();
        for (_, service) in rules.services() {
            ends.extend(
                render(service, rules.node())
                    .elements
                    .into_iter()
                    .filter(|e| e.end.is_some()),
            );
        }
        for element in &mut found.elements {
            if let Some(whole) = ends
                .iter()
                .find(|e| e.set == element.set && e.key == element.key)
            {
                element.end.clone_from(&whole.end);
            }
        }
        found
    }
}

fn expected(rules: &RuleSet) -> BTreeMap<(u8, String, Vec<u8>), Option<Vec<u8>>> {
    let mut fresh = Table::default();
    fresh.apply(&Mirror::new(Families::default()).rebuild(rules));
    fresh.rendered()
}

type Step = (u8, Option<(Vec<u8>, Option<u16>, bool)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = (
        proptest::collection::vec(0..9_u8, 0..5),
        proptest::option::of(30000..30004_u16),
        any::<bool>(),
    );
    let step = (0..9_u8, proptest::option::weighted(0.8, what));
    proptest::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Applied one after the other, changes lead where building from nothing leads, never remove
    /// what is not there or give a key a second value; and adopting the result writes nothing.
    #[test]
    fn changes_add_up(steps in steps()) {
        let mut rules = RuleSet::new(node(1));
        let mut mirror = Mirror::new(Families::default());
        let mut table = Table::default();
        table.apply(&mirror.rebuild(&rules));
        for (number, what) in steps {
            let mut delta = RuleDelta::default();
            let after = what.map(|(endpoints, node_port, local)| {
                let policy = if local { Policy::Local } else { Policy::Cluster };
                service(number, &endpoints, node_port, policy)
            });
            rules.set(&ServiceKey::new("ns", &number.to_string()), after, &mut delta);
            rules.set_node(node(number), &mut delta);
            let messages = mirror.change(&delta, rules.node()).expect("the same skeleton");
            table.apply(&messages);
            prop_assert_eq!(table.rendered(), expected(&rules));
        }
        let mut adopting = Mirror::new(Families::default());
        let messages = adopting.adopt(&rules, table.found(&rules)).expect("our skeleton");
        prop_assert_eq!(messages, vec![]);
    }
}

#[test]
fn damage_is_mended_and_nothing_else_written() {
    let mut rules = RuleSet::new(node(1));
    let mut delta = RuleDelta::default();
    for number in 1..5 {
        let one = service(
            number,
            &[2, 3],
            Some(30000 + u16::from(number)),
            Policy::Local,
        );
        rules.set(
            &ServiceKey::new("ns", &number.to_string()),
            Some(one),
            &mut delta,
        );
    }
    let mut whole = Table::default();
    whole.apply(&Mirror::new(Families::default()).rebuild(&rules));
    let mut hurt = whole.clone();
    let keys: Vec<_> = hurt.elements.keys().cloned().collect();
    let gone = keys.iter().find(|(_, set, _)| set == "endpoints").unwrap();
    hurt.elements.remove(gone);
    let other = keys.iter().find(|(_, set, _)| set == "services").unwrap();
    hurt.elements.insert(other.clone(), Some(vec![0; 12]));
    let strange = hairpin([10, 9, 9, 9].into());
    hurt.elements
        .insert((2, "hairpin".into(), strange.key), None);
    let messages = Mirror::new(Families::default())
        .adopt(&rules, hurt.found(&rules))
        .unwrap();
    assert_eq!(messages.len(), 4, "two sets to remove from, two to add to");
    hurt.apply(&messages);
    assert_eq!(hurt, whole);
}

#[test]
fn another_skeleton_is_built_anew() {
    let rules = RuleSet::new(node(1));
    let mut table = Table::default();
    table.apply(&Mirror::new(Families::default()).rebuild(&rules));
    let other = RuleSet::new(NodeRules {
        masquerade_all: true,
        masquerade_mark: 1 << 3,
        ..node(1)
    });
    let mut mirror = Mirror::new(Families::default());
    assert_eq!(mirror.adopt(&other, table.found(&other)), None);
    assert_eq!(mirror.adopt(&rules, Found::default()), None);
    assert_ne!(
        skeleton::fingerprint(false, rules.node()),
        skeleton::fingerprint(false, other.node())
    );
}

#[test]
fn node_port_addresses_change_without_a_new_skeleton() {
    let mut rules = RuleSet::new(node(1));
    let mut mirror = Mirror::new(Families::default());
    let mut table = Table::default();
    table.apply(&mirror.rebuild(&rules));
    let mut delta = RuleDelta::default();
    rules.set_node(node(2), &mut delta);
    table.apply(&mirror.change(&delta, rules.node()).unwrap());
    assert_eq!(table.rendered(), expected(&rules));
    assert_eq!(render_node(rules.node()).len(), 1);
}
