//! Templates of pods and claims: passed on, compared and hashed, but not understood. Kept as text
//! with the fields in order, which is a fraction of what a tree takes and compares as one.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::Labels;

/// Letters and digits of hashes in names.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A part of an object, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Box<str>);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(|value| Self::of(&value))
    }
}

impl Template {
    /// The template that a value is. What is empty or null is left out, since an absent field means
    /// the same.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        let mut value = value.clone();
        prune(&mut value);
        Self(value.to_string().into())
    }

    /// As a tree.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The labels of what is made from it.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let value = self.value();
        serde_json::from_value(value["metadata"]["labels"].clone()).unwrap_or_default()
    }

    /// The text, fields in order.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Leaves out nulls and the times of objects that were never made.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// FNV-1a over texts, 32 bits.
#[must_use]
pub fn fnv(texts: &[&[u8]]) -> u32 {
    let bytes = texts.iter().copied().flatten();
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// A hash of a template that differs with each count of collisions, as it goes into names and
/// labels.
#[must_use]
pub fn hash(template: &Template, collisions: Option<i32>) -> String {
    let collisions = collisions.map(|count| count.to_le_bytes());
    let salt: &[u8] = collisions.as_ref().map_or(&[], |bytes| bytes);
    encode(fnv(&[template.text().as_bytes(), salt]))
}

/// A number as letters that make no words.
#[must_use]
pub fn encode(hash: u32) -> String {
    let mut digits = String::new();
    // Writing to a String does not fail.
    let _ = write!(digits, "{hash}");
    let letter = |digit: u8| char::from(LETTERS[usize::from(digit) % LETTERS.len()]);
    digits.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Template, hash};

    #[test]
    fn equal_templates_have_equal_text_and_hash() {
        let one = Template::of(&json!({"b": 1, "a": {"creationTimestamp": null, "c": []}}));
        let two: Template = serde_json::from_str(r#"{"a":{"c":[]},"b":1}"#).unwrap();
        assert_eq!(one, two);
        assert_eq!(hash(&one, None), hash(&two, None));
        assert_ne!(hash(&one, None), hash(&one, Some(1)));
        assert_ne!(hash(&one, Some(2)), hash(&one, Some(1)));
    }
}
