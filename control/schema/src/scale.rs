//! The `Scale` of an object: how many there should be, how many there are, and which.

use keelson_api::validate::field::ErrorList;
use serde_json::{Map, Value, json};

use crate::columns::path::find;
use crate::custom::ScalePaths;

impl ScalePaths {
    /// The paths of built-in workloads.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            wanted: ".spec.replicas".to_owned(),
            there: ".status.replicas".to_owned(),
            selector: Some(".spec.selector".to_owned()),
        }
    }
}

/// The scale of an object.
#[must_use]
pub fn read(object: &Value, paths: &ScalePaths) -> Value {
    let number = |path: &str| {
        find(object, path)
            .first()
            .and_then(|v| v.as_i64())
            .unwrap_or(0)
    };
    let mut status = json!({"replicas": number(&paths.there)});
    let selector = paths
        .selector
        .as_deref()
        .and_then(|path| find(object, path).first().copied());
    match selector {
        Some(Value::String(text)) => status["selector"] = json!(text),
        Some(selector) => status["selector"] = json!(selector_text(selector)),
        None => {}
    }
    let metadata = |field: &str| object.pointer(&format!("/metadata/{field}")).cloned();
    let mut kept = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        kept.extend(metadata(field).map(|value| (field.to_owned(), value)));
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": number(&paths.wanted)},
        "status": status,
    })
}

/// Labels as a selector's text: those of a plain map, or of a label selector.
fn selector_text(selector: &Value) -> String {
    if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
        let typed = serde_json::from_value(selector.clone()).ok();
        let parsed = typed.and_then(|typed| keelson_api::selector::Selector::of_object(&typed));
        if parsed.is_none() {
            return String::new();
        }
    }
    let text = crate::columns::selector_text(selector);
    if text == "<none>" {
        String::new()
    } else {
        text
    }
}

/// Judges a scale.
#[must_use]
pub fn judge(scale: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    let path = keelson_api::validate::field::Path::new("spec").child("replicas");
    let replicas = scale
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    errors.non_negative(&path, replicas);
    errors
}

/// Sets how many there should be. The path leads through objects, which are made where they are
/// missing; answers whether it could be set.
#[must_use]
pub fn write(object: &mut Value, paths: &ScalePaths, replicas: i64) -> bool {
    let mut at = object;
    for name in paths.wanted.split('.').filter(|name| !name.is_empty()) {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let Some(fields) = at.as_object_mut() else {
            return false;
        };
        at = fields.entry(name).or_insert(Value::Null);
    }
    *at = json!(replicas);
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{judge, read, write};
    use crate::custom::ScalePaths;

    #[test]
    fn a_workload_has_a_scale() {
        let mut object = json!({"metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}, "status": {"replicas": 2}});
        let paths = ScalePaths::builtin();
        let scale = read(&object, &paths);
        assert_eq!(scale["spec"], json!({"replicas": 3}));
        assert_eq!(scale["status"], json!({"replicas": 2, "selector": "a=b"}));
        assert_eq!(scale["metadata"], json!({"name": "a"}));
        assert!(write(&mut object, &paths, 5));
        assert_eq!(object["spec"]["replicas"], 5);
        let plain = json!({"spec": {"selector": {"a": "b", "c": "d"}}});
        assert_eq!(read(&plain, &paths)["status"]["selector"], "a=b,c=d");
    }

    #[test]
    fn custom_paths_are_made() {
        let paths = ScalePaths {
            wanted: ".spec.size.count".into(),
            there: ".status.n".into(),
            selector: None,
        };
        let mut object = json!({"spec": {}});
        assert!(write(&mut object, &paths, 2));
        assert_eq!(object, json!({"spec": {"size": {"count": 2}}}));
        assert_eq!(read(&object, &paths)["spec"]["replicas"], 2);
        assert!(!write(&mut json!({"spec": 1}), &paths, 2));
    }

    #[test]
    fn less_than_none_is_refused() {
        let errors = judge(&json!({"spec": {"replicas": -1}}));
        assert_eq!(
            errors.to_string(),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
    }
}
