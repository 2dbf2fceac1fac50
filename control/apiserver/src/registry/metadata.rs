//! The metadata that the server keeps: names, identity, versions, deletion. Pure.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The text of a metadata field; empty if there is none.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Namespace and name.
pub(crate) fn place(object: &Value) -> (&str, &str) {
    (text(object, "namespace"), text(object, "name"))
}

/// The metadata as a map, made if it is not there.
pub(crate) fn fields(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut()
}

/// Sets a metadata field.
pub(crate) fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(metadata) = fields(object) {
        metadata.insert(field.to_owned(), value);
    }
}

/// Takes a metadata field away.
pub(crate) fn unset(object: &mut Value, field: &str) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove(field);
    }
}

/// The names of the finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether the object is on its way out.
pub(crate) fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// A time as the API writes it: whole seconds.
pub(crate) fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a new object gets from the server, and what its sender has no say in.
pub(crate) fn begin(object: &mut Value, namespace: &str, uid: &str, now: Timestamp) {
    let Some(metadata) = fields(object) else {
        return;
    };
    let kept_by_server = [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
        "generation",
    ];
    for field in kept_by_server {
        metadata.remove(field);
    }
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".into(), namespace.into());
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), time(now).into());
}

/// What stays as it was when an object is replaced.
pub(crate) fn carry(new: &mut Value, old: &Value) {
    let kept = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ];
    for field in kept {
        match &old["metadata"][field] {
            Value::Null if field == "generateName" => {}
            Value::Null => unset(new, field),
            value => set(new, field, value.clone()),
        }
    }
    unset(new, "selfLink");
}

/// Letters and digits of generated names: none that make words or are mistaken for each other.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How much of a generated name is random.
const SUFFIX: usize = 5;
/// The longest beginning of a generated name.
const MAX_BASE: usize = 63 - SUFFIX;

/// A name that begins with `base` and ends at random.
pub(crate) fn generate(base: &str, random: [u8; 8]) -> String {
    let base: String = base.chars().take(MAX_BASE).collect();
    let mut seed = u64::from_le_bytes(random);
    let mut name = base;
    for _ in 0..SUFFIX {
        let at = seed % LETTERS.len() as u64;
        seed /= LETTERS.len() as u64;
        name.push(usize::try_from(at).map_or('b', |at| char::from(LETTERS[at])));
    }
    name
}

/// Random bytes as a UUID of version 4.
pub(crate) fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let hex = hex::encode(random);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_fit_a_label() {
        assert_eq!(generate("web-", [0; 8]), "web-bbbbb");
        assert_eq!(generate(&"x".repeat(100), [7; 8]).len(), 63);
    }

    #[test]
    fn uuids_say_their_version() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn a_replacement_keeps_its_identity() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "generation": 2}});
        let mut new =
            json!({"metadata": {"name": "b", "deletionTimestamp": "x", "labels": {"a": "b"}}});
        carry(&mut new, &old);
        let expected = json!({"name": "a", "uid": "1", "generation": 2, "labels": {"a": "b"}});
        assert_eq!(new["metadata"], expected);
    }
}
