//! Filling in: rules of path and value, applied to a tree.
//!
//! A path is made of names joined by dots. A name ending in `?` is only entered where it is
//! there, one ending in `[]` is a list whose items are all entered; other objects on the way are
//! made. What is null counts as absent.

use keelson_api::core::PodSpec;
use serde_json::{Map, Value};

/// A default: where, and what.
pub type Rule = (&'static str, Default);

/// What a field is set to, and when.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// A text, where there is none or an empty one.
    Text(&'static str),
    /// A text, where there is none.
    AbsentText(&'static str),
    /// A number, where there is none.
    Number(i64),
    /// A boolean, where there is none.
    Bool(bool),
    /// An empty object, where there is none.
    Object,
    /// A list of texts, where there is none or an empty one.
    List(&'static [&'static str]),
}

impl Default {
    fn value(self) -> Value {
        match self {
            Self::Text(text) | Self::AbsentText(text) => Value::from(text),
            Self::Number(number) => Value::from(number),
            Self::Bool(flag) => Value::Bool(flag),
            Self::Object => Value::Object(Map::new()),
            Self::List(items) => items.iter().map(|i| Value::from(*i)).collect(),
        }
    }

    fn applies(self, found: Option<&Value>) -> bool {
        match (self, found) {
            (_, None | Some(Value::Null)) => true,
            (Self::Text(_), Some(Value::String(text))) => text.is_empty(),
            (Self::List(_), Some(Value::Array(items))) => items.is_empty(),
            _ => false,
        }
    }
}

/// Applies rules in order.
pub fn apply_rules(value: &mut Value, rules: &[Rule]) {
    for (path, default) in rules {
        apply(value, path, *default);
    }
}

fn apply(value: &mut Value, path: &str, default: Default) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    let Some((name, rest)) = path.split_once('.') else {
        if default.applies(fields.get(path)) {
            fields.insert(path.to_owned(), default.value());
        }
        return;
    };
    if let Some(name) = name.strip_suffix("[]") {
        for item in fields
            .get_mut(name)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            apply(item, rest, default);
        }
    } else if let Some(name) = name.strip_suffix('?') {
        if let Some(inner) = fields.get_mut(name) {
            apply(inner, rest, default);
        }
    } else {
        apply(enter(fields, name), rest, default);
    }
}

/// The object in a field, made where it is missing.
pub(super) fn enter<'a>(fields: &'a mut Map<String, Value>, name: &str) -> &'a mut Value {
    let slot = fields.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot
}

/// The object at a path of names, if it is there.
pub(super) fn at<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    let mut value = value;
    for name in path {
        value = value.get_mut(name)?;
    }
    value.as_object_mut()
}

/// The items of a list in a field.
pub(super) fn items<'a>(
    value: &'a mut Value,
    path: &[&str],
) -> impl Iterator<Item = &'a mut Value> {
    let (last, parents) = path
        .split_last()
        .map_or(("", path), |(last, rest)| (*last, rest));
    let list = at(value, parents)
        .and_then(|o| o.get_mut(last))
        .and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

/// A text field; empty where it is missing.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Fills in a pod's spec that sits in a field of a template. What does not read as one is left
/// for validation.
pub(super) fn pod_spec(holder: Option<&mut Map<String, Value>>) {
    let Some(holder) = holder else { return };
    let slot = enter(holder, "spec");
    let Ok(mut spec) = serde_json::from_value::<PodSpec>(slot.clone()) else {
        return;
    };
    keelson_api::defaults::pod::apply_spec(&mut spec);
    let Ok(filled) = serde_json::to_value(&spec) else {
        return;
    };
    *slot = filled;
    for list in ["containers", "initContainers"] {
        for container in items(slot, &[list]) {
            apply(container, "resources", Default::Object);
        }
    }
}
