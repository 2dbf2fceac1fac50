//! Bytes become an object of a kind: read, checked against the type, pruned, brought into the
//! form in which objects are kept.
//!
//! Two kinds of trouble are told apart. What does not fit its type is an error, whatever the
//! caller asked for. Fields that are unknown or given twice are findings: whether they are
//! ignored, warned about or refused is for [`FieldValidation`] to say.

mod conform;
mod tree;

use std::fmt;

pub(crate) use conform::format_time;
pub use conform::{conform, conform_lenient, conform_metadata};
pub use tree::{Parsed, parse};

/// What happens to fields that are unknown or given twice: the parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the answer carries a warning for each.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

impl FieldValidation {
    /// Reads the parameter; empty means the default.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

/// A field that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The type has no such field.
    Unknown(String),
    /// The field was given before.
    Duplicate(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field \"{path}\""),
            Self::Duplicate(path) => write!(f, "duplicate field \"{path}\""),
        }
    }
}

/// Findings as the answer to a strict request names them.
#[must_use]
pub fn strict_error(findings: &[Finding]) -> String {
    let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
    format!("strict decoding error: {}", texts.join(", "))
}

/// Why bytes are no object of the kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are no JSON.
    #[error("{0}")]
    Syntax(String),
    /// The value is no object.
    #[error("json: cannot unmarshal {found} into Go value of type {expected}")]
    NoObject {
        /// What there is.
        found: &'static str,
        /// What there should be.
        expected: String,
    },
    /// A field holds what its type can't.
    #[error(
        "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {expected}"
    )]
    Mismatch {
        /// What there is.
        found: String,
        /// The type that has the field.
        owner: String,
        /// The field's path, without places in lists.
        path: String,
        /// What there should be.
        expected: String,
    },
    /// A text is not in the form that its type asks for.
    #[error("{path}: {message}")]
    Malformed {
        /// The field's path.
        path: String,
        /// What is wrong with the text.
        message: String,
    },
}

/// The answer's message for an object that could not be read: status reason `BadRequest`.
#[must_use]
pub fn bad_request(kind: &str, version: &str, error: &str) -> String {
    format!("{kind} in version {version:?} cannot be handled as a {kind}: {error}")
}

#[cfg(test)]
mod tests;
