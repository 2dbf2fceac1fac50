//! Nodes that fall silent and come back, over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Health, Settings, View};
use crate::controller::Plan;
use crate::given;
use crate::kinds::{Node, Pod};
use crate::write::{Action, merge};

/// Nodes whose API objects follow what the controller writes.
struct World {
    health: Health,
    nodes: BTreeMap<String, Value>,
    leases: BTreeMap<String, i64>,
    pods: Vec<Value>,
    events: Vec<String>,
}

impl World {
    fn new(names: &[(&str, &str)]) -> Self {
        let node = |(name, zone): &(&str, &str)| {
            let node = json!({
                "metadata": {"name": name, "uid": name, "creationTimestamp": given::at(0),
                    "labels": {"topology.kubernetes.io/zone": zone}},
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True",
                    "lastHeartbeatTime": given::at(0)}]},
            });
            ((*name).to_owned(), node)
        };
        Self {
            health: Health::new(Settings::default()),
            nodes: names.iter().map(node).collect(),
            leases: BTreeMap::new(),
            pods: Vec::new(),
            events: Vec::new(),
        }
    }

    fn look(&mut self, second: i64) -> Plan {
        let nodes: Vec<Arc<Node>> = self
            .nodes
            .values()
            .map(|node| Arc::new(given::read(node.clone())))
            .collect();
        let pods: Vec<Arc<Pod>> = self
            .pods
            .iter()
            .map(|pod| Arc::new(given::read(pod.clone())))
            .collect();
        let renewed = |node: &str| -> Option<Timestamp> {
            self.leases.get(node).map(|second| given::at(*second))
        };
        let of_node = |node: &str| -> Vec<Arc<Pod>> {
            pods.iter()
                .filter(|pod| &*pod.spec.node_name == node)
                .cloned()
                .collect()
        };
        let mut plan = Plan::default();
        let view = View {
            now: given::at(second),
            nodes: &nodes,
            renewed: &renewed,
            pods: &of_node,
        };
        self.health.look(&view, &mut plan);
        for write in &plan.writes {
            if let Action::Patch { name, changes, .. } = &write.action
                && let Some(node) = self.nodes.get_mut(&**name)
            {
                merge(node, changes.clone());
            }
        }
        self.events
            .extend(plan.events.iter().map(|event| event.reason.to_owned()));
        plan
    }

    /// Looks every five seconds, with these nodes' leases renewed.
    fn pass(&mut self, from: i64, to: i64, alive: &[&str]) {
        for second in (from..=to).step_by(5) {
            for name in alive {
                self.leases.insert((*name).to_owned(), second);
            }
            self.look(second);
        }
    }

    fn status(&self, node: &str) -> &str {
        self.nodes[node]["status"]["conditions"][0]["status"]
            .as_str()
            .unwrap()
    }

    fn taints(&self, node: &str) -> Vec<&str> {
        let taints = self.nodes[node]["spec"]["taints"].as_array();
        let keys = taints.into_iter().flatten().map(|taint| {
            assert_eq!(taint["effect"], "NoExecute");
            taint["key"]
                .as_str()
                .unwrap()
                .trim_start_matches("node.kubernetes.io/")
        });
        keys.collect()
    }
}

#[test]
fn a_silent_node_is_lost_and_found_again() {
    let mut world = World::new(&[("a", "z"), ("b", "z")]);
    world.pods = vec![json!({"metadata": {"name": "p", "namespace": "x"},
        "spec": {"nodeName": "b"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})];
    world.pass(0, 50, &["a"]);
    assert_eq!((world.status("a"), world.status("b")), ("True", "True"));
    let plan = world.look(55);
    assert_eq!(world.status("b"), "Unknown");
    assert_eq!(
        world.nodes["b"]["status"]["conditions"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert!(
        plan.writes
            .iter()
            .any(|write| &*write.resource.plural == "pods")
    );
    assert!(world.events.contains(&"NodeNotReady".to_owned()));
    world.pass(60, 60, &["a"]);
    assert_eq!(world.taints("b"), ["unreachable"]);
    assert!(world.taints("a").is_empty());
    // It comes back, but isn't well yet; then it is.
    world.nodes.get_mut("b").unwrap()["status"]["conditions"][0]["status"] = json!("False");
    world.pass(65, 65, &["a", "b"]);
    assert_eq!(world.taints("b"), ["not-ready"]);
    world.nodes.get_mut("b").unwrap()["status"]["conditions"][0]["status"] = json!("True");
    world.pass(70, 70, &["a", "b"]);
    assert!(world.taints("b").is_empty());
}

#[test]
fn nodes_of_a_zone_are_emptied_one_by_one() {
    let names: Vec<(String, &str)> = (0..8).map(|i| (format!("n{i}"), "z")).collect();
    let names: Vec<(&str, &str)> = names
        .iter()
        .map(|(name, zone)| (name.as_str(), *zone))
        .collect();
    let mut world = World::new(&names);
    let alive = ["n3", "n4", "n5", "n6", "n7"];
    world.pass(0, 60, &alive);
    let tainted = |world: &World| {
        names
            .iter()
            .filter(|(n, _)| !world.taints(n).is_empty())
            .count()
    };
    assert_eq!(tainted(&world), 1);
    world.pass(65, 70, &alive);
    assert_eq!(tainted(&world), 2);
    world.pass(75, 80, &alive);
    assert_eq!(tainted(&world), 3);
}

#[test]
fn when_all_are_lost_nobody_is_emptied() {
    let mut world = World::new(&[("a", "y"), ("b", "z")]);
    world.pass(0, 60, &["a"]);
    assert_eq!(world.taints("b"), ["unreachable"]);
    world.pass(65, 200, &[]);
    assert_eq!(
        (world.status("a"), world.status("b")),
        ("Unknown", "Unknown")
    );
    assert!(world.taints("a").is_empty() && world.taints("b").is_empty());
    // One is back: the others get their grace before they count as lost.
    world.nodes.get_mut("a").unwrap()["status"]["conditions"][0]["status"] = json!("True");
    world.pass(205, 250, &["a"]);
    assert!(!world.taints("a").contains(&"unreachable"));
}

#[test]
fn a_pause_of_ours_is_no_silence_of_theirs() {
    let mut world = World::new(&[("a", "z"), ("b", "z")]);
    world.pass(0, 20, &["a", "b"]);
    world.look(4000);
    assert_eq!(world.status("a"), "True");
    world.pass(4005, 4030, &["a", "b"]);
    assert_eq!((world.status("a"), world.status("b")), ("True", "True"));
}

#[test]
fn a_node_that_never_speaks_has_a_minute() {
    let mut world = World::new(&[("a", "z"), ("b", "z")]);
    world.nodes.get_mut("b").unwrap()["status"]["conditions"] = json!([]);
    world.pass(0, 60, &["a"]);
    assert_eq!(world.nodes["b"]["status"]["conditions"], json!([]));
    world.pass(65, 65, &["a"]);
    assert_eq!(world.status("b"), "Unknown");
    assert_eq!(
        world.nodes["b"]["status"]["conditions"][0]["reason"],
        "NodeStatusNeverUpdated"
    );
}

#[test]
fn comings_and_goings_are_told() {
    let mut world = World::new(&[("a", "z")]);
    world.look(0);
    world.nodes.clear();
    world.look(5);
    assert_eq!(world.events, ["RegisteredNode", "RemovingNode"]);
}
