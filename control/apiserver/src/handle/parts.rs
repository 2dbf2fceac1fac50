//! What a write through a subresource may change: everything else stays as it was. Pure.

use serde_json::{Value, json};

/// The new object of a write to `part`: the old one with what the part owns taken from `new`.
pub(crate) fn merge(part: &str, mut new: Value, old: &Value) -> Value {
    if !matches!(
        part,
        "ephemeralcontainers" | "finalize" | "resize" | "approval"
    ) {
        return new;
    }
    let mut merged = old.clone();
    match part {
        "ephemeralcontainers" => take(&mut merged, &new, &["spec", "ephemeralContainers"]),
        "finalize" => take(&mut merged, &new, &["spec", "finalizers"]),
        "resize" => resize(&mut merged, &new),
        "approval" => take(&mut merged, &new, &["status", "conditions"]),
        _ => {}
    }
    merged["metadata"] = new["metadata"].take();
    merged
}

/// Puts a field of `new` in the place of the old one.
fn take(merged: &mut Value, new: &Value, path: &[&str; 2]) {
    let [outer, inner] = path;
    match &new[outer][inner] {
        Value::Null => {
            if let Some(fields) = merged[outer].as_object_mut() {
                fields.remove(*inner);
            }
        }
        value if merged[outer].is_object() => merged[outer][inner] = value.clone(),
        value => merged[outer] = json!({*inner: value}),
    }
}

/// Dates conditions that say nothing of when they were written, or became what they are.
pub(crate) fn date_conditions(new: &mut Value, old: &Value, now: &str) {
    let known = old["status"]["conditions"].as_array();
    let conditions = new.pointer_mut("/status/conditions");
    let conditions = conditions.and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let Some(fields) = condition.as_object_mut() else {
            continue;
        };
        let get = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let (kind, status) = (get("type"), get("status"));
        let mut same = known.into_iter().flatten();
        let same = same.find(|one| one["type"] == kind && one["status"] == status);
        let since = same.map(|one| one["lastTransitionTime"].clone());
        let since = since.filter(Value::is_string);
        let since = since.unwrap_or_else(|| now.into());
        for (name, time) in [
            ("lastUpdateTime", now.into()),
            ("lastTransitionTime", since),
        ] {
            if !fields.get(name).is_some_and(Value::is_string) {
                fields.insert(name.to_owned(), time);
            }
        }
    }
}

/// Takes the containers' resources and how they are resized.
fn resize(merged: &mut Value, new: &Value) {
    for list in ["containers", "initContainers"] {
        let wanted = new["spec"][list].as_array().into_iter().flatten();
        for wanted in wanted {
            let own = merged["spec"][list].as_array_mut().into_iter().flatten();
            for container in own.filter(|container| container["name"] == wanted["name"]) {
                take_given(container, wanted, &["resources", "resizePolicy"]);
            }
        }
    }
    if !new["spec"]["resources"].is_null() {
        merged["spec"]["resources"] = new["spec"]["resources"].clone();
    }
}

/// Takes those of the fields that are given.
fn take_given(target: &mut Value, given: &Value, fields: &[&str]) {
    for field in fields.iter().filter(|field| !given[**field].is_null()) {
        target[*field] = given[*field].clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part: &str, new: Value, old: Value, expected: Value) {
        assert_eq!(merge(part, new, &old), expected, "{part}");
    }

    #[test]
    fn a_part_changes_what_it_owns() {
        check(
            "finalize",
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": []}, "status": 1}),
            json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"], "x": 1}, "status": 2}),
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": [], "x": 1}, "status": 2}),
        );
        check(
            "approval",
            json!({"metadata": {}, "spec": 2, "status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}]}}),
            json!({"metadata": {}, "spec": 1, "status": {"certificate": "x"}}),
            json!({"metadata": {}, "spec": 1, "status": {"certificate": "x", "conditions": [{"type": "Approved"}, {"type": "Failed"}]}}),
        );
        check(
            "resize",
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "new", "resources": {"limits": {"cpu": 2}}}]}}),
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "old"}]}}),
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "old", "resources": {"limits": {"cpu": 2}}}]}}),
        );
    }

    #[test]
    fn conditions_are_dated_once() {
        let old = json!({"status": {"conditions": [{"type": "A", "status": "True", "lastTransitionTime": "before"}]}});
        let mut new = json!({"status": {"conditions": [
            {"type": "A", "status": "True"}, {"type": "B", "status": "True", "lastUpdateTime": "mine"}]}});
        date_conditions(&mut new, &old, "now");
        let expected = json!([
            {"type": "A", "status": "True", "lastUpdateTime": "now", "lastTransitionTime": "before"},
            {"type": "B", "status": "True", "lastUpdateTime": "mine", "lastTransitionTime": "now"}]);
        assert_eq!(new["status"]["conditions"], expected);
        let mut silent = json!({"status": {}});
        date_conditions(&mut silent, &old, "now");
        assert_eq!(silent, json!({"status": {}}));
    }
}
