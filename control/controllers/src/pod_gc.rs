//! Decides which pods are removed because nobody else will: too many that have ended, and those
//! whose node is gone. There is one key, the regular look.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use parking_lot::Mutex;
use serde_json::json;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::condition::{self, Condition};
use crate::kinds::{Node, Pod};
use crate::wiring::Wiring;
use crate::write::Write;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must be gone before its pods are.
const QUARANTINE: Duration = Duration::from_secs(40);
/// The taint by which people say that a node is switched off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "pod-garbage-collector-controller",
    alias: "podgc",
    account: "pod-garbage-collector",
    by_default: true,
    at_once: 1,
    build: |wiring: &mut Wiring<'_>| {
        let nodes = wiring.watch(|change: &Change<Node>, keys| {
            if change.current().is_none() {
                keys.push(Key::default());
            }
        });
        wiring.queue.add(Key::default());
        Some(Work::decide(Collector {
            pods: wiring.read::<Pod>(),
            nodes,
            threshold: usize::try_from(wiring.options.terminated_pod_gc_threshold).unwrap_or(0),
            missing: Mutex::new(HashMap::new()),
        }))
    },
};

/// Removes pods.
#[derive(Debug)]
struct Collector {
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// How many pods may have ended; 0 for any number.
    threshold: usize,
    /// Since when nodes have been missing that pods are bound to.
    missing: Mutex<HashMap<Box<str>, Timestamp>>,
}

impl Reconcile for Collector {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let pods = self.pods.all();
        plan.requeue_after(PERIOD);
        if self.threshold > 0 {
            too_many(&mut plan, &pods, self.threshold);
        }
        let gone = self.gone_nodes(input.now, &pods);
        for pod in &pods {
            let (node, leaving) = (&pod.spec.node_name, pod.metadata.is_leaving());
            if gone.contains(node) {
                let why = Condition::new(
                    "DisruptionTarget",
                    true,
                    "DeletionByPodGC",
                    "PodGC: node no longer exists",
                    input.now,
                );
                remove(&mut plan, pod, Some(why));
            } else if leaving && (node.is_empty() || self.is_out_of_service(node)) {
                remove(&mut plan, pod, None);
            }
        }
        plan
    }
}

impl Collector {
    /// Nodes that pods are bound to and that have been missing long enough.
    fn gone_nodes(&self, now: Timestamp, pods: &[Arc<Pod>]) -> BTreeSet<Box<str>> {
        let bound = pods.iter().map(|pod| &pod.spec.node_name);
        let lost: BTreeSet<&Box<str>> = bound
            .filter(|node| !node.is_empty() && self.nodes.get("", node).is_none())
            .collect();
        let mut missing = self.missing.lock();
        missing.retain(|node, _| lost.contains(node));
        for node in lost {
            missing.entry(node.clone()).or_insert(now);
        }
        let long = missing.iter().filter(|(_, since)| {
            let time = now.duration_since(**since);
            time.is_positive() && time.unsigned_abs() >= QUARANTINE
        });
        long.map(|(node, _)| node.clone()).collect()
    }

    fn is_out_of_service(&self, node: &str) -> bool {
        let node = self.nodes.get("", node);
        node.is_some_and(|node| {
            let ready = condition::find(&node.status.conditions, "Ready");
            let mut taints = node.spec.taints.iter();
            !ready.is_some_and(Condition::holds) && taints.any(|taint| taint.key == OUT_OF_SERVICE)
        })
    }
}

/// Removes the oldest pods beyond the threshold, evicted ones before all others.
fn too_many(plan: &mut Plan, pods: &[Arc<Pod>], threshold: usize) {
    let mut ended: Vec<_> = pods.iter().filter(|pod| pod.is_finished()).collect();
    let excess = ended.len().saturating_sub(threshold);
    ended.sort_by_key(|pod| {
        let evicted = &*pod.status.reason == "Evicted";
        (
            !evicted,
            pod.metadata.creation_timestamp,
            pod.metadata.name.clone(),
        )
    });
    for pod in ended.into_iter().take(excess) {
        remove(plan, pod, None);
    }
}

/// Removes a pod at once. One that has not ended is marked as failed before.
fn remove(plan: &mut Plan, pod: &Pod, why: Option<Condition>) {
    if !pod.is_finished() {
        let mut status = json!({"phase": "Failed"});
        if let Some(why) = why {
            let mut conditions = pod.status.conditions.clone();
            condition::set(&mut conditions, why);
            status["conditions"] = json!(conditions);
        }
        plan.write(Write::status(pod, status));
    }
    plan.write(Write::delete(pod).within(0));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::Collector;
    use crate::given;
    use crate::write::Action;

    fn collector(pods: Value, nodes: Value, threshold: usize) -> Collector {
        Collector {
            pods: given::store(pods),
            nodes: given::store(nodes),
            threshold,
            missing: Mutex::new(HashMap::new()),
        }
    }

    fn removed(collector: &Collector, second: i64) -> Vec<String> {
        let plan = given::plan(collector, given::at(second), "", "");
        let mut names: Vec<_> = plan
            .writes
            .iter()
            .map(|write| match &write.action {
                Action::Delete {
                    name,
                    grace: Some(0),
                    ..
                } => format!("-{name}"),
                Action::Patch { name, changes, .. } => {
                    let status = &changes["status"];
                    let why = &status["conditions"][0]["reason"];
                    format!("{name}:{}:{}", status["phase"].as_str().unwrap(), why)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_of_too_many_ended_pods_go() {
        let pod = |name: &str, age: i64, phase: &str, reason: &str| {
            json!({"metadata": {"name": name, "namespace": "a", "creationTimestamp": given::at(age)},
                "status": {"phase": phase, "reason": reason}})
        };
        let pods = json!([
            pod("new", 9, "Failed", ""),
            pod("old", 1, "Succeeded", ""),
            pod("evicted", 8, "Failed", "Evicted"),
            pod("running", 0, "Running", ""),
        ]);
        assert_eq!(
            removed(&collector(pods.clone(), json!([]), 1), 20),
            ["-evicted", "-old"]
        );
        assert_eq!(removed(&collector(pods, json!([]), 0), 20), [""; 0]);
    }

    #[test]
    fn pods_of_nodes_that_are_gone_for_long_go() {
        let pods = json!([
            {"metadata": {"name": "lost", "namespace": "a"}, "spec": {"nodeName": "gone"},
                "status": {"phase": "Running"}},
            {"metadata": {"name": "kept", "namespace": "a"}, "spec": {"nodeName": "n"},
                "status": {"phase": "Running"}},
        ]);
        let collector = collector(pods, json!([{"metadata": {"name": "n"}}]), 0);
        assert_eq!(removed(&collector, 100), [""; 0]);
        assert_eq!(removed(&collector, 139), [""; 0]);
        assert_eq!(
            removed(&collector, 140),
            ["-lost", "lost:Failed:\"DeletionByPodGC\""]
        );
    }

    #[test]
    fn leaving_pods_that_no_kubelet_ends_go() {
        let pod = |name: &str, node: &str| {
            json!({"metadata": {"name": name, "namespace": "a", "deletionTimestamp": given::at(0)},
                "spec": {"nodeName": node}, "status": {"phase": "Pending"}})
        };
        let node = |name: &str, ready: &str, taint: &str| {
            json!({"metadata": {"name": name}, "spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        let out = "node.kubernetes.io/out-of-service";
        let nodes = json!([
            node("off", "False", out),
            node("odd", "True", out),
            node("slow", "False", "x")
        ]);
        let pods = json!([
            pod("a", ""),
            pod("b", "off"),
            pod("c", "odd"),
            pod("d", "slow")
        ]);
        assert_eq!(
            removed(&collector(pods, nodes, 0), 1),
            ["-a", "-b", "a:Failed:null", "b:Failed:null"]
        );
    }
}
