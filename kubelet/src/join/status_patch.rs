//! From the status that the API has and the one that is true to the patch between them. Pure.
//!
//! Conditions of others (readiness gates, the scheduler's) are left alone; lists that the API
//! merges by key lose what is no longer true by name.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

use crate::status::{is_ours, is_passing};

/// Lists of a pod's status that are merged by a key.
const KEYED: [(&str, &str); 3] = [("conditions", "type"), ("podIPs", "ip"), ("hostIPs", "ip")];
/// Fields of a pod's status that others write.
const FOREIGN: [&str; 4] = [
    "nominatedNodeName",
    "resize",
    "resourceClaimStatuses",
    "extendedResourceClaimStatus",
];

/// The strategic merge patch that makes the API's status ours; `None` if it is so already. It
/// holds the uid, so that it never meets another pod of the same name.
#[must_use]
pub fn patch(api: &Pod, ours: &PodStatus) -> Option<Value> {
    let has = object(serde_json::to_value(&api.status).unwrap_or_default());
    let mut wants = object(serde_json::to_value(ours).unwrap_or_default());
    if let Some(Value::Array(conditions)) = wants.get_mut("conditions") {
        // What we know of others' may be old.
        conditions.retain(|condition| condition["type"].as_str().is_some_and(is_ours));
    }
    let mut status = Map::new();
    for (field, value) in &wants {
        let old = has.get(field).unwrap_or(&Value::Null);
        let change = match key_of(field) {
            Some(key) => keyed_change(key, field, old, value),
            None => (old != value).then(|| value.clone()),
        };
        if let Some(change) = change {
            status.insert(field.clone(), change);
        }
    }
    for (field, old) in &has {
        if wants.contains_key(field) || FOREIGN.contains(&field.as_str()) {
            continue;
        }
        let gone = match key_of(field) {
            Some(key) => keyed_change(key, field, old, &json!([])),
            None => Some(Value::Null),
        };
        if let Some(gone) = gone {
            status.insert(field.clone(), gone);
        }
    }
    if status.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": api.metadata.uid}, "status": status}))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn key_of(field: &str) -> Option<&'static str> {
    let found = KEYED.iter().find(|(name, _)| *name == field);
    found.map(|(_, key)| *key)
}

/// Items to add or change, and those to take away. Only our own conditions are ever taken away,
/// of which most we never stop to report.
fn keyed_change(key: &str, field: &str, old: &Value, new: &Value) -> Option<Value> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (old, new) = (items(old), items(new));
    let named = |list: &[Value], item: &Value| list.iter().find(|i| i[key] == item[key]).cloned();
    let changed = new.iter().filter_map(|item| match named(&old, item) {
        Some(old) => item_change(item, &old),
        None => Some(item.clone()),
    });
    let gone = old
        .iter()
        .filter(|item| field != "conditions" || item["type"].as_str().is_some_and(is_passing))
        .filter(|item| named(&new, item).is_none())
        .map(|item| json!({key: item[key], "$patch": "delete"}));
    let change: Vec<Value> = changed.chain(gone).collect();
    (!change.is_empty()).then(|| change.into())
}

/// Our item, with null for what it no longer says; nothing if it is there already.
fn item_change(ours: &Value, theirs: &Value) -> Option<Value> {
    let (mut change, theirs) = (object(ours.clone()), object(theirs.clone()));
    for field in theirs.keys().filter(|field| ours.get(field).is_none()) {
        change.insert(field.clone(), Value::Null);
    }
    let same = |(field, value): (&String, &Value)| theirs.get(field) == Some(value);
    (!change.iter().all(same)).then(|| change.into())
}

#[cfg(test)]
mod tests {
    use super::patch;
    use serde_json::{Value, json};

    fn check(api: Value, ours: Value, expected: Option<Value>) {
        let pod = json!({"metadata": {"uid": "u"}, "status": api});
        let pod = serde_json::from_value(pod).unwrap();
        let ours = serde_json::from_value(ours).unwrap();
        let expected = expected.map(|status| json!({"metadata": {"uid": "u"}, "status": status}));
        assert_eq!(patch(&pod, &ours), expected);
    }

    #[test]
    fn says_only_what_changed() {
        check(
            json!({"phase": "Pending", "qosClass": "Burstable"}),
            json!({"phase": "Running", "qosClass": "Burstable"}),
            Some(json!({"phase": "Running"})),
        );
        check(
            json!({"phase": "Running"}),
            json!({"phase": "Running"}),
            None,
        );
    }

    #[test]
    fn takes_back_what_is_no_longer_true_and_leaves_what_is_not_ours() {
        check(
            json!({"reason": "X", "nominatedNodeName": "n", "podIPs": [{"ip": "1"}, {"ip": "2"}]}),
            json!({"podIPs": [{"ip": "2"}]}),
            Some(json!({"reason": null, "podIPs": [{"ip": "1", "$patch": "delete"}]})),
        );
        check(
            json!({"hostIPs": [{"ip": "1"}]}),
            json!({}),
            Some(json!({"hostIPs": [{"ip": "1", "$patch": "delete"}]})),
        );
    }

    #[test]
    fn conditions_of_others_stay() {
        let gate = json!({"type": "example.com/gate", "status": "True"});
        let scheduled = json!({"type": "PodScheduled", "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        check(
            json!({"conditions": [gate, scheduled]}),
            json!({"conditions": [{"type": "PodScheduled", "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
            None,
        );
        check(
            json!({"conditions": [gate, scheduled]}),
            json!({"conditions": [{"type": "example.com/gate", "status": "False"}, scheduled]}),
            None,
        );
        let ready = json!({"type": "Ready", "status": "False"});
        check(
            json!({"conditions": [gate, {"type": "Ready", "status": "True"}]}),
            json!({"conditions": [ready]}),
            Some(json!({"conditions": [ready]})),
        );
    }

    #[test]
    fn a_condition_that_holds_again_loses_its_reason() {
        check(
            json!({"conditions": [{"type": "Ready", "status": "False", "reason": "R", "message": "m"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            Some(json!({"conditions": [
                {"type": "Ready", "status": "True", "reason": null, "message": null}]})),
        );
    }

    #[test]
    fn container_statuses_are_sent_whole() {
        let of = |restarts: i32| {
            json!([{"name": "c", "image": "i", "imageID": "", "ready": true,
                "restartCount": restarts}])
        };
        check(
            json!({"containerStatuses": of(0)}),
            json!({"containerStatuses": of(1)}),
            Some(json!({"containerStatuses": of(1)})),
        );
    }
}
