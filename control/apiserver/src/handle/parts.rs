//! What a write through a subresource may change: everything else stays as it was. Pure.

use serde_json::{Value, json};

/// The new object of a write to `part`: the old one with what the part owns taken from `new`.
pub(crate) fn merge(part: &str, new: &Value, old: &Value) -> Value {
    let mut merged = old.clone();
    match part {
        "ephemeralcontainers" => take(&mut merged, new, &["spec", "ephemeralContainers"]),
        "finalize" => take(&mut merged, new, &["spec", "finalizers"]),
        "resize" => resize(&mut merged, new),
        "approval" => {
            let conditions = of_approval(new, true);
            let rest = of_approval(old, false);
            set_conditions(&mut merged, conditions.into_iter().chain(rest).collect());
        }
        _ => return new.clone(),
    }
    merged["metadata"] = new["metadata"].clone();
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
        value => merged[outer][inner] = value.clone(),
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

/// The conditions that are about approval, or those that are not.
fn of_approval(object: &Value, wanted: bool) -> Vec<Value> {
    let conditions = object["status"]["conditions"].as_array();
    let about = |condition: &&Value| {
        matches!(condition["type"].as_str(), Some("Approved" | "Denied")) == wanted
    };
    conditions
        .into_iter()
        .flatten()
        .filter(about)
        .cloned()
        .collect()
}

fn set_conditions(object: &mut Value, conditions: Vec<Value>) {
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    object["status"]["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part: &str, new: Value, old: Value, expected: Value) {
        assert_eq!(merge(part, &new, &old), expected, "{part}");
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
            json!({"metadata": {}, "spec": 1, "status": {"certificate": "x", "conditions": [{"type": "Approved"}]}}),
        );
        check(
            "resize",
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "new", "resources": {"limits": {"cpu": 2}}}]}}),
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "old"}]}}),
            json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "old", "resources": {"limits": {"cpu": 2}}}]}}),
        );
    }
}
