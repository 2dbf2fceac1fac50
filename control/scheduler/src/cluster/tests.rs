//! The sums of a cluster that changes are those of one that is made anew.

use std::sync::Arc;

use proptest::prelude::*;

use super::Cluster;
use crate::intern::Word;
use crate::model::{Amounts, Class, Labels, Node, Pod, PodKey};

fn node(name: &str, zone: &str) -> Arc<Node> {
    let zone = (Word::of("topology.kubernetes.io/zone"), Word::of(zone));
    Arc::new(Node {
        name: Word::of(name),
        labels: Labels::new([zone]),
        pods: 110,
        images: vec![(Word::of("image"), 1)],
        ..Node::default()
    })
}

fn pod(name: &str, cpu: i64) -> Arc<Pod> {
    let requests = Amounts {
        cpu,
        ..Amounts::default()
    };
    let class = Class {
        requests,
        scored: (cpu, 0),
        ..Class::default()
    };
    Arc::new(Pod {
        key: PodKey::new("ns", name),
        class: class.shared(),
        ..Pod::default()
    })
}

#[test]
fn hosts_take_turns_by_zone() {
    let mut cluster = Cluster::default();
    for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2"), ("d", "2"), ("e", "1")] {
        cluster.set_node(node(name, zone));
    }
    let names = |cluster: &Cluster| -> Vec<String> {
        let hosts = cluster.hosts();
        hosts.map(|host| host.node().name.to_string()).collect()
    };
    assert_eq!(names(&cluster), ["a", "c", "b", "d", "e"]);
    cluster.remove_node(&Word::of("a"));
    assert_eq!(names(&cluster), ["b", "c", "e", "d"]);
    assert_eq!(cluster.nodes_with_image(&Word::of("image")), 4);
}

#[derive(Clone, Debug)]
enum Step {
    Node(u8),
    NoNode(u8),
    Put(u8, u8, i64),
    Take(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..5_u8).prop_map(Step::Node),
        (0..5_u8).prop_map(Step::NoNode),
        (0..9_u8, 0..5_u8, 0..100_i64).prop_map(|(pod, node, cpu)| Step::Put(pod, node, cpu)),
        (0..9_u8).prop_map(Step::Take),
    ]
}

proptest! {
    #[test]
    fn sums_are_kept(steps in prop::collection::vec(step(), 1..60)) {
        let mut cluster = Cluster::default();
        let mut nodes = std::collections::BTreeSet::new();
        let mut pods = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Node(n) => {
                    nodes.insert(n);
                    cluster.set_node(node(&n.to_string(), &(n % 2).to_string()));
                }
                Step::NoNode(n) => {
                    nodes.remove(&n);
                    cluster.remove_node(&Word::of(&n.to_string()));
                }
                Step::Put(p, n, cpu) => {
                    pods.insert(p, (n, cpu));
                    cluster.put_pod(pod(&p.to_string(), cpu), &Word::of(&n.to_string()), false);
                }
                Step::Take(p) => {
                    pods.remove(&p);
                    cluster.take_pod(&PodKey::new("ns", &p.to_string()));
                }
            }
            prop_assert_eq!(cluster.len(), nodes.len());
            prop_assert_eq!(cluster.placed(), pods.len());
            for n in &nodes {
                let at = cluster.find(&Word::of(&n.to_string())).expect("a node");
                let expected: i64 = pods.values().filter(|(on, _)| on == n).map(|(_, cpu)| cpu).sum();
                prop_assert_eq!(cluster.host(at).requested.cpu, expected);
                prop_assert_eq!(cluster.host(at).scored.0, expected);
            }
        }
    }
}
