//! JSON into a tree, with an eye on fields that are given twice.
//!
//! As Go's decoder does, the last of two equal fields wins; here each of them is also reported.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{DecodeError, Finding};

/// A tree and what was odd about its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The tree.
    pub value: Value,
    /// Fields that were given twice, by path.
    pub duplicates: Vec<Finding>,
}

/// Reads JSON.
///
/// # Errors
/// The text is no JSON, or there is more behind it.
pub fn parse(bytes: &[u8]) -> Result<Parsed, DecodeError> {
    let mut reader = Reader {
        path: String::new(),
        duplicates: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let syntax = |error: serde_json::Error| DecodeError::Syntax(error.to_string());
    let value = Seed(&mut reader)
        .deserialize(&mut deserializer)
        .map_err(syntax)?;
    deserializer.end().map_err(syntax)?;
    Ok(Parsed {
        value,
        duplicates: reader.duplicates,
    })
}

struct Reader {
    path: String,
    duplicates: Vec<Finding>,
}

struct Seed<'a>(&'a mut Reader);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let (mut list, depth) = (Vec::new(), self.0.path.len());
        loop {
            self.0.path.push_str(&format!("[{}]", list.len()));
            let item = items.next_element_seed(Seed(self.0))?;
            self.0.path.truncate(depth);
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let (mut map, depth) = (Map::new(), self.0.path.len());
        while let Some(name) = fields.next_key::<String>()? {
            if depth > 0 {
                self.0.path.push('.');
            }
            self.0.path.push_str(&name);
            if map.contains_key(&name) {
                let finding = Finding::Duplicate(self.0.path.clone());
                if !self.0.duplicates.contains(&finding) {
                    self.0.duplicates.push(finding);
                }
            }
            let value = fields.next_value_seed(Seed(self.0))?;
            self.0.path.truncate(depth);
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
