//! How nodes are looked for and chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Decision, Dice, enough, schedule};
use crate::cluster::Cluster;
use crate::framework::Cycle;
use crate::intern::Word;
use crate::model::{Amounts, Class, Node, NodeTerm, Pod, PodKey, Test};
use crate::registry::{Settings, profile};

fn cluster(nodes: usize) -> Cluster {
    let mut cluster = Cluster::default();
    for number in 0..nodes {
        cluster.set_node(Arc::new(Node {
            name: Word::of(&format!("n{number}")),
            allocatable: Amounts {
                cpu: 1000,
                ..Amounts::default()
            },
            pods: 110,
            ..Node::default()
        }));
    }
    cluster
}

fn pod(class: Class) -> Pod {
    Pod {
        key: PodKey::new("ns", "p"),
        class: class.shared(),
        ..Pod::default()
    }
}

fn place(cluster: &Cluster, pod: &Pod, dice: &mut Dice) -> Result<(String, usize), String> {
    let profile = profile("default-scheduler", Settings::default());
    match schedule(&profile, Cycle { pod, cluster }, dice) {
        Decision::Place(placement) => Ok((placement.node.to_string(), placement.evaluated)),
        Decision::Refuse(refusal) => Err(refusal.message()),
    }
}

#[test]
fn as_many_nodes_are_looked_at_as_suits_their_number() {
    let check = |nodes, percentage, expected| {
        assert_eq!(
            enough(nodes, percentage),
            expected,
            "{nodes} {percentage:?}"
        );
    };
    check(50, None, 50);
    check(50, Some(10), 50);
    check(100, None, 100);
    check(1000, None, 420);
    check(5000, None, 500);
    check(50_000, None, 2500);
    check(1000, Some(100), 1000);
    check(1000, Some(1), 100);
}

#[test]
fn equal_nodes_are_chosen_by_chance_and_searches_go_on_where_the_last_ended() {
    let cluster = cluster(400);
    let (pod, mut dice) = (pod(Class::default()), Dice::new(9));
    let mut chosen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..400 {
        let (node, evaluated) = place(&cluster, &pod, &mut dice).unwrap();
        assert_eq!(evaluated, 188);
        *chosen.entry(node).or_default() += 1;
    }
    assert!(chosen.len() > 200, "{} nodes were chosen", chosen.len());
    assert!(chosen.values().all(|times| *times < 12), "{chosen:?}");
}

#[test]
fn a_pod_that_names_nodes_has_only_these_looked_at() {
    let cluster = cluster(300);
    let named = |names: &[&str], cpu| Class {
        node_required: Some(vec![NodeTerm {
            labels: Vec::new(),
            names: vec![Test::In(names.iter().map(|name| Word::of(name)).collect())],
        }]),
        requests: Amounts {
            cpu,
            ..Amounts::default()
        },
        ..Class::default()
    };
    let mut dice = Dice::new(1);
    let found = place(&cluster, &pod(named(&["n7"], 1)), &mut dice);
    assert_eq!(found, Ok(("n7".to_owned(), 1)));
    let told = place(&cluster, &pod(named(&["n7", "n8"], 2000)), &mut dice).unwrap_err();
    assert_eq!(
        told,
        "0/300 nodes are available: 2 Insufficient cpu, \
         298 node(s) didn't satisfy plugin(s) [NodeAffinity]"
    );
}

#[test]
fn room_that_is_made_for_one_is_not_given_to_another() {
    let mut cluster = cluster(1);
    let of = |name: &str, priority| {
        let class = Class {
            priority,
            requests: Amounts {
                cpu: 600,
                ..Amounts::default()
            },
            ..Class::default()
        };
        Pod {
            key: PodKey::new("ns", name),
            ..pod(class)
        }
    };
    let first = Arc::new(of("first", 5));
    cluster.nominate(&first, Some(&Word::of("n0")));
    let mut dice = Dice::new(1);
    assert!(place(&cluster, &of("lower", 4), &mut dice).is_err());
    assert!(place(&cluster, &of("equal", 5), &mut dice).is_err());
    assert!(place(&cluster, &of("higher", 6), &mut dice).is_ok());
    assert!(place(&cluster, &first, &mut dice).is_ok());
}
