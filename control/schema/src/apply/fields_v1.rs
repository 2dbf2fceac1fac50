//! Sets of paths as `fieldsV1` writes them: `{"f:spec":{".":{},"f:replicas":{}}}`.

use serde_json::{Map, Value};

use super::path::Element;
use super::set::Set;

/// Writes a set.
#[must_use]
pub fn to_fields_v1(set: &Set) -> Value {
    let mut fields = Map::new();
    for element in &set.members {
        if !set.children.contains_key(element) {
            fields.insert(element.encode(), Value::Object(Map::new()));
        }
    }
    for (element, below) in &set.children {
        let mut inner = match to_fields_v1(below) {
            Value::Object(inner) => inner,
            _ => Map::new(),
        };
        if set.members.contains(element) {
            // A member with something below says so; one with nothing below is an empty object.
            if !inner.is_empty() {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
        } else if inner.is_empty() {
            continue;
        }
        fields.insert(element.encode(), Value::Object(inner));
    }
    Value::Object(fields)
}

/// Reads a set; none where it is malformed.
#[must_use]
pub fn from_fields_v1(value: &Value) -> Option<Set> {
    let mut set = Set::default();
    for (name, inner) in value.as_object()? {
        if name == "." {
            continue;
        }
        let element = Element::parse(name)?;
        let fields = inner.as_object()?;
        if fields.is_empty() || fields.contains_key(".") {
            set.members.insert(element.clone());
        }
        let below = from_fields_v1(inner)?;
        if !below.is_empty() {
            set.children.insert(element, below);
        }
    }
    Some(set)
}
