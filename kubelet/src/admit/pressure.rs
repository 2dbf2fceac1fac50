//! Pods that would make pressure on the node worse.

use keelson_api::core::{Pod, Taint};
use keelson_api::qos::{self, QosClass};
use keelson_api::selector::tolerates;

use super::preempt::is_critical;
use super::{NodeFacts, Verdict, reject};
use crate::evict::Condition;
use crate::evict::message::refused;

/// While memory alone is low, pods that asked for some are taken; else only critical ones are.
pub(super) fn check(pod: &Pod, node: &NodeFacts) -> Option<Verdict> {
    if node.conditions.is_empty() || is_critical(pod) {
        return None;
    }
    let memory_alone = node
        .conditions
        .iter()
        .all(|c| *c == Condition::MemoryPressure);
    if memory_alone && (qos::class(pod) != QosClass::BestEffort || tolerates_memory_pressure(pod)) {
        return None;
    }
    Some(reject("Evicted", refused(&node.conditions)))
}

fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/memory-pressure".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_ref());
    tolerations
        .into_iter()
        .flatten()
        .any(|t| tolerates(t, &taint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(conditions: &[Condition], spec: Value, expected: bool) {
        let node = NodeFacts {
            conditions: conditions.iter().copied().collect(),
            ..NodeFacts::default()
        };
        let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let refused = super::check(&pod, &node);
        assert_eq!(refused.is_none(), expected, "{pod:?} on {conditions:?}");
        if let Some(Verdict::Reject { reason, message }) = refused {
            assert_eq!(reason, "Evicted");
            assert!(message.contains("The node had condition: ["), "{message}");
        }
    }

    #[test]
    fn who_is_taken_under_pressure() {
        let of = |extra: Value| {
            let mut spec = json!({ "containers": [{ "name": "c" }] });
            spec.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            spec
        };
        let asks = json!({ "requests": { "memory": "1Mi" } });
        let burstable = json!({ "containers": [{ "name": "c", "resources": asks }] });
        let key = "node.kubernetes.io/memory-pressure";
        let tolerant = json!({ "tolerations": [{ "key": key, "operator": "Exists" }] });
        let (memory, disk) = (Condition::MemoryPressure, Condition::DiskPressure);
        check(&[], of(json!({})), true);
        check(&[memory], of(json!({})), false);
        check(&[memory], burstable.clone(), true);
        check(&[memory], of(tolerant.clone()), true);
        check(&[disk], burstable.clone(), false);
        check(&[disk, memory], burstable, false);
        check(&[disk], of(tolerant), false);
        check(&[disk], of(json!({ "priority": 2_000_000_000 })), true);
    }
}
