//! Reading and changing the fields of objects that are JSON trees.
//!
//! Paths are JSON pointers. What is absent or of another type reads as empty: decoding has refused
//! such objects long before.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Stands for what is not there.
pub static NULL: Value = Value::Null;

/// The text at a path, or an empty one.
#[must_use]
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    optional_text(object, path).unwrap_or_default()
}

/// The text at a path.
#[must_use]
pub fn optional_text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

/// The boolean at a path.
#[must_use]
pub fn flag(object: &Value, path: &str) -> Option<bool> {
    object.pointer(path).and_then(Value::as_bool)
}

/// The whole number at a path.
#[must_use]
pub fn number(object: &Value, path: &str) -> Option<i64> {
    object.pointer(path).and_then(Value::as_i64)
}

/// The list at a path, or an empty one.
#[must_use]
pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    let found = object.pointer(path).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// The value at a path, or null.
#[must_use]
pub fn value<'a>(object: &'a Value, path: &str) -> &'a Value {
    object.pointer(path).unwrap_or(&NULL)
}

/// The map at a path.
#[must_use]
pub fn map<'a>(object: &'a Value, path: &str) -> Option<&'a Map<String, Value>> {
    object.pointer(path).and_then(Value::as_object)
}

/// The texts in the list at a path.
pub fn texts<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a str> {
    list(object, path).iter().filter_map(Value::as_str)
}

/// The texts in the map at a path.
#[must_use]
pub fn text_map(object: &Value, path: &str) -> BTreeMap<String, String> {
    let pairs = map(object, path).into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The object's labels.
#[must_use]
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    text_map(object, "/metadata/labels")
}

/// An annotation. Their keys have slashes, so they are no part of paths.
#[must_use]
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    map(object, "/metadata/annotations")?.get(key)?.as_str()
}

/// The object's own name.
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The `name` of a reference to another object.
#[must_use]
pub fn name_of_reference(reference: &Value) -> &str {
    text(reference, "/name")
}

/// The typed form of a part; what does not fit reads as its default.
#[must_use]
pub fn typed<T: DeserializeOwned + Default>(object: &Value) -> T {
    T::deserialize(object).unwrap_or_default()
}

/// The place named by the steps, made of objects where there is nothing yet.
#[must_use]
pub fn place<'a>(object: &'a mut Value, steps: &[&str]) -> &'a mut Value {
    let mut at = object;
    for step in steps {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*step];
    }
    at
}

/// Puts a value in.
pub fn put(object: &mut Value, steps: &[&str], value: impl Into<Value>) {
    *place(object, steps) = value.into();
}

/// Takes a field out of the object that the steps lead to.
pub fn remove(object: &mut Value, steps: &[&str], field: &str) {
    let mut at = object;
    for step in steps {
        match at.get_mut(*step) {
            Some(next) => at = next,
            None => return,
        }
    }
    if let Some(fields) = at.as_object_mut() {
        fields.remove(field);
    }
}

/// The list named by the steps, made where there is none.
#[must_use]
pub fn list_mut<'a>(object: &'a mut Value, steps: &[&str]) -> &'a mut Vec<Value> {
    let at = place(object, steps);
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    match at {
        Value::Array(list) => list,
        _ => unreachable!("just made a list"),
    }
}

/// The containers of every kind of a pod's specification: ordinary, init and ephemeral ones, each
/// with the field it is in.
pub fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(move |field| {
            let found = spec.get(field).and_then(Value::as_array);
            let all = found.map_or(&[][..], Vec::as_slice).iter().enumerate();
            all.map(move |(at, container)| (field, at, container))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_is_there() {
        let object = json!({"spec": {"a": "x", "b": [1, "y"], "c": true, "n": 3}});
        assert_eq!(text(&object, "/spec/a"), "x");
        assert_eq!(text(&object, "/spec/z"), "");
        assert_eq!(texts(&object, "/spec/b").collect::<Vec<_>>(), ["y"]);
        assert_eq!(flag(&object, "/spec/c"), Some(true));
        assert_eq!(number(&object, "/spec/n"), Some(3));
        assert_eq!(list(&object, "/nothing").len(), 0);
    }

    #[test]
    fn makes_room_for_what_is_put_in() {
        let mut object = json!({"metadata": null});
        put(&mut object, &["metadata", "labels", "a/b"], "c");
        list_mut(&mut object, &["spec", "list"]).push(json!(1));
        let expected = json!({"metadata": {"labels": {"a/b": "c"}}, "spec": {"list": [1]}});
        assert_eq!(object, expected);
        remove(&mut object, &["metadata", "labels"], "a/b");
        remove(&mut object, &["no", "such"], "place");
        assert_eq!(object["metadata"], json!({"labels": {}}));
    }

    #[test]
    fn visits_all_containers() {
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]});
        let found: Vec<_> = containers(&spec)
            .map(|(field, at, c)| (field, at, text(c, "/name")))
            .collect();
        assert_eq!(found, [("initContainers", 0, "b"), ("containers", 0, "a")]);
    }
}
