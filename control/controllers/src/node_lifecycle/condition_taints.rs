//! Decides the taints that keep pods from being scheduled to a node, from its conditions.

use jiff::Timestamp;
use keelson_api::core::Taint;
use keelson_api::meta::Time;
use serde_json::json;

use crate::controller::Plan;
use crate::kinds::Node;
use crate::kinds::condition::{self, whole_seconds};
use crate::write::Write;

/// The effect that keeps new pods away.
const NO_SCHEDULE: &str = "NoSchedule";
/// The taint of a cordoned node.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, its status and the taint that this means.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The taint of a node that says that it isn't ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that says nothing.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Adds and removes taints so that they follow the node's conditions.
pub fn plan(plan: &mut Plan, now: Timestamp, node: &Node) {
    let wanted = wanted(node);
    let is_ours = |taint: &Taint| {
        let mut known = TAINTS.iter().map(|(_, _, key)| *key);
        taint.effect == NO_SCHEDULE
            && (taint.key == UNSCHEDULABLE || known.any(|key| key == taint.key))
    };
    let mut taints: Vec<Taint> = node.spec.taints.clone();
    taints.retain(|taint| !is_ours(taint) || wanted.contains(&taint.key.as_str()));
    for key in wanted {
        let mut there = taints.iter();
        if !there.any(|taint| taint.key == key && taint.effect == NO_SCHEDULE) {
            taints.push(taint(key, NO_SCHEDULE, now));
        }
    }
    if taints != node.spec.taints {
        plan.write(Write::patch(node, json!({"spec": {"taints": taints}})));
    }
}

fn wanted(node: &Node) -> Vec<&'static str> {
    let mut wanted: Vec<_> = TAINTS
        .iter()
        .filter(|(kind, status, _)| {
            let found = condition::find(&node.status.conditions, kind);
            found.is_some_and(|found| &*found.status == *status)
        })
        .map(|(_, _, key)| *key)
        .collect();
    if node.spec.unschedulable {
        wanted.push(UNSCHEDULABLE);
    }
    wanted
}

/// A taint that is put on now.
#[must_use]
pub fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        value: None,
        time_added: Some(Time(whole_seconds(now))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::plan;
    use crate::controller::Plan;
    use crate::given;
    use crate::kinds::Node;
    use crate::write::Action;

    #[test]
    fn taints_follow_conditions() {
        let check = |spec: Value, conditions: &[(&str, &str)], expected: Option<&[&str]>| {
            let conditions: Vec<_> = conditions
                .iter()
                .map(|(kind, status)| json!({"type": kind, "status": status}))
                .collect();
            let node: Node = given::read(json!({
                "metadata": {"name": "n", "uid": "u"}, "spec": spec,
                "status": {"conditions": conditions},
            }));
            let mut made = Plan::default();
            plan(&mut made, given::at(5), &node);
            let taints = made.writes.first().map(|write| {
                let Action::Patch { changes, .. } = &write.action else {
                    panic!("{write:?}");
                };
                let taints = changes["spec"]["taints"].as_array().unwrap().clone();
                let keys = taints.iter().map(|t| {
                    let short = t["key"]
                        .as_str()
                        .unwrap()
                        .trim_start_matches("node.kubernetes.io/");
                    format!("{short}:{}", t["effect"].as_str().unwrap())
                });
                keys.collect::<Vec<_>>()
            });
            assert_eq!(
                taints,
                expected.map(|keys| keys.iter().map(|k| (*k).to_owned()).collect())
            );
        };
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        check(json!({}), &[("Ready", "True")], None);
        check(
            json!({}),
            &[("Ready", "False")],
            Some(&["not-ready:NoSchedule"]),
        );
        check(
            json!({"taints": [taint("node.kubernetes.io/not-ready", "NoSchedule"), taint("own", "NoSchedule")]}),
            &[("Ready", "Unknown"), ("DiskPressure", "True")],
            Some(&[
                "own:NoSchedule",
                "unreachable:NoSchedule",
                "disk-pressure:NoSchedule",
            ]),
        );
        // Taints that evict are somebody else's business.
        check(
            json!({"taints": [taint("node.kubernetes.io/not-ready", "NoExecute")]}),
            &[("Ready", "True")],
            None,
        );
        check(
            json!({"unschedulable": true}),
            &[],
            Some(&["unschedulable:NoSchedule"]),
        );
        check(
            json!({"taints": [taint("node.kubernetes.io/unschedulable", "NoSchedule")]}),
            &[],
            Some(&[]),
        );
    }
}
