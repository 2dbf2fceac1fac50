//! Decides when pods have to leave a node because of its taints. The key is the pod.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use keelson_api::core::{Taint, Toleration};
use keelson_api::selector::tolerates;
use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use parking_lot::Mutex;

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::condition::{self, Condition};
use crate::kinds::{Node, Pod};
use crate::wiring::Wiring;
use crate::write::Write;

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "taint-eviction-controller",
    alias: "taint-eviction",
    account: "node-controller",
    by_default: true,
    at_once: 8,
    build: |wiring: &mut Wiring<'_>| {
        let pods = wiring.watch(|change: &Change<Pod>, keys| {
            let (old, new) = (change.previous(), change.current());
            let moved = match (old, new) {
                (Some(old), Some(new)) => {
                    old.spec.node_name != new.spec.node_name
                        || old.spec.tolerations != new.spec.tolerations
                }
                _ => true,
            };
            if moved && !change.latest().spec.node_name.is_empty() {
                keys.push(keelson_client::Object::key(&**change.latest()));
            }
        });
        let on_node = pods.clone();
        let nodes = wiring.watch(move |change: &Change<Node>, keys| {
            let evicting = |node: Option<&std::sync::Arc<Node>>| {
                node.map(|node| evicting(node)).unwrap_or_default()
            };
            if evicting(change.previous()) != evicting(change.current()) {
                let pods =
                    on_node.by_index(crate::kinds::pod::NODE, &change.latest().metadata.name);
                keys.extend(pods.iter().map(|pod| keelson_client::Object::key(&**pod)));
            }
        });
        Some(Work::decide(Eviction {
            pods,
            nodes,
            waiting: Mutex::new(HashMap::new()),
        }))
    },
};

/// The taints of a node that make pods leave.
fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.taints.iter();
    taints
        .filter(|taint| taint.effect == "NoExecute")
        .cloned()
        .collect()
}

/// Sends pods away.
#[derive(Debug)]
struct Eviction {
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// Since when pods have had to leave, for taints that do not say when they were added.
    waiting: Mutex<HashMap<Key, Waiting>>,
}

/// A pod that has to leave, but not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    uid: Box<str>,
    since: Timestamp,
}

/// What is to be done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may stay.
    Stays,
    /// It leaves this long after the taints were added.
    LeavesAfter(Duration),
}

/// How long a pod may stay on a node with these taints. Each must be tolerated by one toleration;
/// the shortest time among those counts.
#[must_use]
pub fn judge(taints: &[Taint], tolerations: &[Toleration]) -> Verdict {
    let mut limit: Option<i64> = None;
    for taint in taints {
        let Some(used) = tolerations.iter().find(|known| tolerates(known, taint)) else {
            return Verdict::LeavesAfter(Duration::ZERO);
        };
        if let Some(seconds) = used.toleration_seconds {
            let seconds = seconds.max(0);
            limit = Some(limit.map_or(seconds, |shortest| shortest.min(seconds)));
        }
    }
    match limit {
        None => Verdict::Stays,
        Some(seconds) => Verdict::LeavesAfter(Duration::from_secs(seconds.unsigned_abs())),
    }
}

impl Reconcile for Eviction {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let pod = self
            .pods
            .find(input.key)
            .filter(|pod| !pod.metadata.is_leaving());
        let Some(pod) = pod else {
            self.waiting.lock().remove(input.key);
            return plan;
        };
        let taints = self.nodes.get("", &pod.spec.node_name);
        let taints = taints.map(|node| evicting(&node)).unwrap_or_default();
        let Verdict::LeavesAfter(time) = judge(&taints, &pod.spec.tolerations) else {
            if self.waiting.lock().remove(input.key).is_some() {
                let message = format!("Cancelling deletion of Pod {}", input.key);
                plan.tell(About::of(&*pod), "TaintManagerEviction", message);
            }
            return plan;
        };
        let left = self.left(input, &pod, &taints, time);
        if left.is_zero() {
            self.waiting.lock().remove(input.key);
            send_away(&mut plan, input, &pod);
        } else {
            plan.requeue_after(left);
        }
        plan
    }
}

impl Eviction {
    /// How long the pod may still stay.
    fn left(&self, input: &Input<'_>, pod: &Pod, taints: &[Taint], time: Duration) -> Duration {
        if time.is_zero() {
            return time;
        }
        let fresh = Waiting {
            uid: pod.metadata.uid.clone(),
            since: since(taints).unwrap_or(input.now),
        };
        let mut waiting = self.waiting.lock();
        let known = waiting
            .entry(input.key.clone())
            .or_insert_with(|| fresh.clone());
        if known.uid != fresh.uid {
            *known = fresh;
        }
        let waited = input.now.duration_since(known.since);
        let waited = if waited.is_negative() {
            Duration::ZERO
        } else {
            waited.unsigned_abs()
        };
        time.saturating_sub(waited)
    }
}

/// When the newest of the taints was added.
fn since(taints: &[Taint]) -> Option<Timestamp> {
    let added = taints
        .iter()
        .map(|taint| taint.time_added.as_ref().map(|time| time.0));
    added.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn send_away(plan: &mut Plan, input: &Input<'_>, pod: &Pod) {
    let mut conditions = pod.status.conditions.clone();
    let reason = "DeletionByTaintManager";
    let message = "Taint manager: deleting due to NoExecute taint";
    let target = Condition::new("DisruptionTarget", true, reason, message, input.now);
    if condition::set(&mut conditions, target) {
        plan.write(Write::status(
            pod,
            serde_json::json!({ "conditions": conditions }),
        ));
    }
    plan.write(Write::delete(pod));
    let message = format!("Marking for deletion Pod {}", input.key);
    plan.tell(About::of(pod), "TaintManagerEviction", message);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use keelson_client::Store;
    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::{Eviction, Verdict, judge};
    use crate::controller::Verb;
    use crate::given;
    use crate::kinds::{Kind as _, Node};

    #[test]
    fn every_taint_must_be_tolerated_and_the_shortest_time_counts() {
        let check = |taints: Value, tolerations: Value, expected: Option<u64>| {
            let taints: Vec<_> = serde_json::from_value(taints).unwrap();
            let tolerations: Vec<_> = serde_json::from_value(tolerations).unwrap();
            let expected = expected.map_or(Verdict::Stays, |seconds| {
                Verdict::LeavesAfter(Duration::from_secs(seconds))
            });
            assert_eq!(judge(&taints, &tolerations), expected);
        };
        let taint = |key: &str| json!({"key": key, "effect": "NoExecute"});
        let tolerated = |key: &str, seconds: Value| {
            json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": seconds})
        };
        check(json!([]), json!([]), None);
        check(json!([taint("a")]), json!([]), Some(0));
        check(
            json!([taint("a")]),
            json!([tolerated("a", Value::Null)]),
            None,
        );
        check(
            json!([taint("a")]),
            json!([tolerated("a", json!(300))]),
            Some(300),
        );
        check(
            json!([taint("a")]),
            json!([tolerated("a", json!(-1))]),
            Some(0),
        );
        let both = json!([taint("a"), taint("b")]);
        check(both.clone(), json!([tolerated("a", json!(300))]), Some(0));
        let two = json!([tolerated("a", json!(300)), tolerated("b", json!(60))]);
        check(both, two, Some(60));
    }

    #[test]
    fn a_pod_leaves_when_its_time_is_over() {
        let node = |taints: Value| json!({"metadata": {"name": "n"}, "spec": {"taints": taints}});
        let tainted =
            node(json!([{"key": "a", "effect": "NoExecute", "timeAdded": given::at(100)}]));
        let (nodes, mut writer) = Store::new(Node::all_indexes());
        writer.apply(given::read(tainted.clone()));
        let controller = Eviction {
            pods: given::store(json!([{
                "metadata": {"name": "p", "namespace": "x", "uid": "u"},
                "spec": {"nodeName": "n", "tolerations": [
                    {"key": "a", "operator": "Exists", "tolerationSeconds": 60}]},
            }])),
            nodes,
            waiting: Mutex::new(HashMap::new()),
        };
        let plan = given::plan(&controller, given::at(110), "x", "p");
        assert_eq!(
            (plan.requeue, plan.writes.len()),
            (Some(Duration::from_secs(50)), 0)
        );
        // The node is well again.
        writer.apply(given::read(node(json!([]))));
        let plan = given::plan(&controller, given::at(120), "x", "p");
        assert_eq!((plan.requeue, plan.events.len()), (None, 1));
        assert!(plan.events[0].message.starts_with("Cancelling"));
        writer.apply(given::read(tainted));
        let plan = given::plan(&controller, given::at(160), "x", "p");
        let verbs: Vec<_> = plan.writes.iter().map(super::Write::verb).collect();
        assert_eq!(verbs, [Verb::Change, Verb::Delete]);
        assert_eq!(plan.events[0].reason, "TaintManagerEviction");
    }
}
