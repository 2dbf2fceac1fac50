//! One version of one object, as bytes: the `resourceVersion` is spliced in once, labels and
//! selectable fields are read off once. Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::Value;

mod extract;

pub(crate) use extract::{Facts, Field, facts};

/// One version of one object.
#[derive(Debug)]
pub(crate) struct Version {
    /// `NAMESPACE/NAME`, or `NAME` for what lives in the cluster.
    pub(crate) key: Box<str>,
    /// The revision it was written at: its `resourceVersion`.
    pub(crate) revision: u64,
    /// The JSON that clients get.
    pub(crate) body: Bytes,
    /// What selectors look at.
    pub(crate) facts: Facts,
}

impl Version {
    /// A version from what the store keeps.
    pub(crate) fn new(key: &str, revision: u64, stored: &Bytes, fields: &[Field]) -> Self {
        Self {
            key: key.into(),
            revision,
            body: splice(stored, revision),
            facts: facts(stored, fields),
        }
    }

    /// The same object, gone at a later revision.
    pub(crate) fn gone(&self, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            body: splice_anew(&self.body, self.revision, revision),
            facts: self.facts.clone(),
        }
    }

    /// The name without its namespace.
    pub(crate) fn name(&self) -> &str {
        self.key
            .rsplit_once('/')
            .map_or(&self.key, |(_, name)| name)
    }

    /// The namespace; empty for what lives in the cluster.
    pub(crate) fn namespace(&self) -> &str {
        self.key
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }
}

/// The stored form of an object: kind, version and metadata first, so that splicing finds its
/// place at once, and no `resourceVersion`, which the store counts.
pub(crate) fn encode(object: &Value) -> Bytes {
    let Value::Object(fields) = object else {
        return Bytes::from(object.to_string());
    };
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    let order = ["kind", "apiVersion", "metadata"];
    let first = order
        .iter()
        .filter_map(|name| Some((*name, fields.get(*name)?)));
    let rest = fields.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in first.chain(rest.filter(|(name, _)| !order.contains(name))) {
        if out.len() > 1 {
            out.push(b',');
        }
        write(&mut out, name);
        out.push(b':');
        match (name, value) {
            ("metadata", Value::Object(metadata)) => write_metadata(&mut out, metadata),
            _ => write(&mut out, value),
        }
    }
    out.push(b'}');
    out.shrink_to_fit();
    Bytes::from(out)
}

fn write_metadata(out: &mut Vec<u8>, metadata: &serde_json::Map<String, Value>) {
    out.push(b'{');
    let kept = metadata
        .iter()
        .filter(|(name, _)| *name != "resourceVersion");
    for (at, (name, value)) in kept.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, name.as_str());
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}

fn write<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing JSON values into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// Puts `resourceVersion` into the metadata of stored JSON. What has no metadata stays as it is.
pub(crate) fn splice(stored: &Bytes, revision: u64) -> Bytes {
    let Some(at) = metadata_start(stored) else {
        return stored.clone();
    };
    let (head, tail) = stored.split_at(at);
    let comma = if tail.first() == Some(&b'}') { "" } else { "," };
    let field = format!("\"resourceVersion\":\"{revision}\"{comma}");
    let mut out = BytesMut::with_capacity(stored.len() + field.len());
    out.put_slice(head);
    out.put_slice(field.as_bytes());
    out.put_slice(tail);
    out.freeze()
}

/// Replaces a version that was spliced in.
fn splice_anew(body: &Bytes, old: u64, new: u64) -> Bytes {
    let field = format!("\"resourceVersion\":\"{old}\"");
    let place = metadata_start(body).filter(|at| body[*at..].starts_with(field.as_bytes()));
    let Some(at) = place else {
        return body.clone();
    };
    let mut out = BytesMut::with_capacity(body.len() + 8);
    out.put_slice(&body[..at]);
    out.put_slice(format!("\"resourceVersion\":\"{new}\"").as_bytes());
    out.put_slice(&body[at + field.len()..]);
    out.freeze()
}

/// The place behind the brace of the object's own `metadata`.
fn metadata_start(json: &[u8]) -> Option<usize> {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => {
                let end = string_end(json, at)?;
                let is_key = depth == 1 && json[at..end] == *b"\"metadata\"";
                if is_key && json.get(end..end + 2) == Some(b":{") {
                    return Some(end + 2);
                }
                at = end;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place behind the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match json.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(stored: &str, expected: &str) {
        let found = splice(&Bytes::from(stored.to_owned()), 7);
        assert_eq!(std::str::from_utf8(&found).unwrap(), expected);
    }

    #[test]
    fn the_version_goes_into_the_objects_own_metadata() {
        check(
            r#"{"metadata":{}}"#,
            r#"{"metadata":{"resourceVersion":"7"}}"#,
        );
        check(
            r#"{"spec":{"metadata":{"a":1}},"data":"\"metadata\":{","metadata":{"name":"x"}}"#,
            r#"{"spec":{"metadata":{"a":1}},"data":"\"metadata\":{","metadata":{"resourceVersion":"7","name":"x"}}"#,
        );
        check(r#"{"a":["metadata"]}"#, r#"{"a":["metadata"]}"#);
    }

    #[test]
    fn a_deletion_has_a_version_of_its_own() {
        let stored = Bytes::from_static(br#"{"metadata":{"name":"x"}}"#);
        let version = Version::new("x", 9, &stored, &[]);
        let expected = r#"{"metadata":{"resourceVersion":"10","name":"x"}}"#;
        assert_eq!(version.gone(10).body, expected);
    }

    #[test]
    fn the_stored_form_begins_with_what_it_is() {
        let object = json!({"data": {"a": "b"}, "metadata": {"name": "x", "resourceVersion": "3"},
            "kind": "ConfigMap", "apiVersion": "v1"});
        let expected =
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":"b"}}"#;
        assert_eq!(encode(&object), expected);
    }

    proptest! {
        #[test]
        fn splicing_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = splice(&Bytes::from(bytes), 1);
        }

        #[test]
        fn what_is_spliced_is_read_back(name in ".*", extra in ".*") {
            let object = json!({"metadata": {"name": name}, extra: "x"});
            let spliced = splice(&encode(&object), 42);
            let back: Value = serde_json::from_slice(&spliced).unwrap();
            if back["metadata"].is_object() {
                prop_assert_eq!(&back["metadata"]["resourceVersion"], "42");
            }
        }
    }
}
