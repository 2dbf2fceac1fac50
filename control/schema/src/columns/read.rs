//! Small readings of trees that columns share.

use serde_json::Value;

/// What a column shows where there is nothing.
pub(super) const NONE: &str = "<none>";
/// What a column shows where nothing was said.
pub(super) const UNSET: &str = "<unset>";

/// A text at a pointer; empty where there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number at a pointer; zero where there is none.
pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

/// A boolean at a pointer; false where there is none.
pub(super) fn flag(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

/// The items of a list at a pointer.
pub(super) fn items<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The texts of a list at a pointer.
pub(super) fn texts<'v>(object: &'v Value, pointer: &str) -> Vec<&'v str> {
    items(object, pointer)
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// How many entries a map at a pointer has.
pub(super) fn entries(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

/// A text as a cell, `<none>` where it is empty.
pub(super) fn or_none(text: impl Into<String>) -> Value {
    let text = text.into();
    Value::String(if text.is_empty() {
        NONE.to_owned()
    } else {
        text
    })
}

/// A number or a text, as text; empty where there is none.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Labels or a plain selector: `a=b,c=d`.
pub(super) fn labels(map: Option<&Value>) -> String {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<_> = fields
        .map(|(k, v)| format!("{k}={}", shown(Some(v))))
        .collect();
    pairs.join(",")
}

/// A label selector as text.
pub(super) fn selector(selector: Option<&Value>) -> Value {
    let Some(selector) = selector.filter(|s| s.is_object()) else {
        return or_none("");
    };
    let mut parts = Vec::new();
    let equal = labels(selector.get("matchLabels"));
    if !equal.is_empty() {
        parts.push(equal);
    }
    for term in items(selector, "/matchExpressions") {
        let key = text(term, "/key");
        let values = texts(term, "/values").join(",");
        parts.push(match text(term, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    or_none(parts.join(","))
}

/// Names and images of the containers of a template.
pub(super) fn containers(object: &Value, spec: &str) -> (String, String) {
    let list = items(object, &format!("{spec}/containers"));
    let join = |field: &str| {
        list.iter()
            .map(|c| text(c, field))
            .collect::<Vec<_>>()
            .join(",")
    };
    (join("/name"), join("/image"))
}

/// The condition of a type.
pub(super) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    items(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)
}
