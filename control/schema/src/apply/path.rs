//! The path of a field: names, keys of list items, values of sets, places.

use std::fmt;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A field of an object, or a key of a map.
    Field(String),
    /// An item of a list, by the fields that it is known by and their values in JSON.
    Key(Vec<(String, String)>),
    /// An item of a set, by its value in JSON.
    Value(String),
    /// An item of a list, by its place.
    Index(i64),
}

/// A path from the root of an object.
pub type Path = Vec<Element>;

impl Element {
    /// A field by its name.
    #[must_use]
    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// Reads the form that `fieldsV1` uses: `f:NAME`, `k:{...}`, `v:VALUE`, `i:PLACE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::field(rest)),
            "v" => Some(Self::Value(
                serde_json::from_str::<Value>(rest).ok()?.to_string(),
            )),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => {
                let fields: Map<String, Value> = serde_json::from_str(rest).ok()?;
                // The map is sorted by name.
                Some(Self::Key(
                    fields
                        .into_iter()
                        .map(|(n, v)| (n, v.to_string()))
                        .collect(),
                ))
            }
            _ => None,
        }
    }

    /// The form that `fieldsV1` uses.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(place) => format!("i:{place}"),
            Self::Key(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{value}", quote(name)));
                format!("k:{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn quote(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(place) => write!(f, "[{place}]"),
            Self::Key(fields) => {
                let fields: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
                write!(f, "[{}]", fields.join(","))
            }
        }
    }
}

/// A path as messages show it: `.spec.containers[name="a"].image`.
pub(super) fn display(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}
