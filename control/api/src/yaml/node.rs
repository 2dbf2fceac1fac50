//! Values with their places: what a parsed document is made of before it becomes plain JSON.
//!
//! Must not know what YAML looks like; the parser hands it scalars.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

use super::Mark;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    at: Mark,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Mark, Node)>),
}

fn mark(location: Location) -> Mark {
    Mark {
        line: u32::try_from(location.line()).unwrap_or(0),
        column: u32::try_from(location.column()).unwrap_or(0),
    }
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Value::Null))
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, _, value)| (key.clone(), value.to_value()))
                    .collect(),
            ),
        }
    }

    /// The place of the deepest part of `path` that exists.
    pub(super) fn locate(&self, path: &str) -> Mark {
        let mut node = self;
        let mut found = self.at;
        let mut rest = path;
        while let Some((at, child, after)) = node.step(rest) {
            (found, node, rest) = (at, child, after);
        }
        found
    }

    /// One step along `path`: the child, its place, and what remains of the path.
    fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(Mark, &'a Self, &'p str)> {
        match &self.kind {
            Kind::Scalar(_) => None,
            Kind::List(items) => {
                let path = path.strip_prefix(['[', '.']).unwrap_or(path);
                let end = path.find(|c: char| !c.is_ascii_digit());
                let (digits, rest) = path.split_at(end.unwrap_or(path.len()));
                let item = items.get(digits.parse::<usize>().ok()?)?;
                Some((item.at, item, rest.strip_prefix(']').unwrap_or(rest)))
            }
            Kind::Map(entries) => entries
                .iter()
                .filter_map(|(key, at, value)| Some((*at, value, after_key(path, key)?)))
                .min_by_key(|(_, _, rest)| rest.len()),
        }
    }
}

/// What remains of `path` behind `key`, written `.key`, `key` or `[key]`. Keys may hold dots.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if key.is_empty() {
        return None;
    }
    if let Some(rest) = path.strip_prefix('[') {
        return rest.strip_prefix(key)?.strip_prefix(']');
    }
    let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self {
            at: mark(spanned.referenced),
            kind: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

fn scalar<E>(value: impl Into<Value>) -> Result<Kind, E> {
    Ok(Kind::Scalar(value.into()))
}

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        scalar(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        scalar(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        scalar(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        scalar(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        scalar(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        let number = Number::from_f64(value);
        number
            .map(|n| Kind::Scalar(Value::Number(n)))
            .ok_or_else(|| E::custom("infinity and NaN have no place in an object"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        scalar(value)
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        scalar(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let value = access.next_value()?;
            entries.push((key.value, mark(key.referenced), value));
        }
        Ok(Kind::Map(entries))
    }
}

/// A JSON value in which no object says a key twice.
pub(super) struct UniqueKeys(pub(super) Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(UniqueKeys(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let UniqueKeys(value) = access.next_value()?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
        }
        Ok(Value::Object(entries))
    }
}
