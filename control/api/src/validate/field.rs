//! Errors of fields: a path, a kind, the value, and what would be right; written as upstream
//! writes them.

use std::fmt;

use serde_json::Value;

use crate::go_quote::go_quote;

/// The path of a field, grown from its parent: `spec.containers[0].ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a field of the object itself.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A field of this field.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match self.0.as_str() {
            "" => Self(name.to_owned()),
            path => Self(format!("{path}.{name}")),
        }
    }

    /// An item of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// A value of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It must be given.
    Required,
    /// Another item holds the same value.
    Duplicate,
    /// The value is malformed or out of bounds.
    Invalid,
    /// The value is none of those that are known.
    NotSupported,
    /// The value refers to something that is not there.
    NotFound,
    /// The value may not be given here.
    Forbidden,
    /// The value is too long.
    TooLong,
    /// The list has too many items.
    TooMany,
}

impl ErrorKind {
    fn label(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::NotFound => "Not found",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    /// The reason in a `StatusCause`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong)
    }
}

/// One problem with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The path of the field.
    pub path: String,
    /// What is wrong.
    pub kind: ErrorKind,
    /// The value to blame.
    pub value: Value,
    /// What would be right, or why.
    pub detail: String,
}

impl FieldError {
    /// The error without its path.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.label().to_owned();
        if self.kind.shows_value() {
            let value = match &self.value {
                Value::String(text) => go_quote(text),
                other => other.to_string(),
            };
            text = format!("{text}: {value}");
        }
        if self.detail.is_empty() {
            text
        } else {
            format!("{text}: {}", self.detail)
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// Problems in the order they were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorList(Vec<FieldError>);

impl ErrorList {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The problems, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    fn push(&mut self, path: &Path, kind: ErrorKind, value: Value, detail: impl Into<String>) {
        self.0.push(FieldError {
            path: path.as_str().to_owned(),
            kind,
            value,
            detail: detail.into(),
        });
    }

    /// The field must be given.
    pub fn required(&mut self, path: &Path, detail: impl Into<String>) {
        self.push(path, ErrorKind::Required, Value::Null, detail);
    }

    /// The value is there already.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(path, ErrorKind::Duplicate, value.into(), "");
    }

    /// The value is malformed or out of bounds.
    pub fn invalid(&mut self, path: &Path, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(path, ErrorKind::Invalid, value.into(), detail);
    }

    /// The value refers to something that is not there.
    pub fn not_found(&mut self, path: &Path, value: impl Into<Value>) {
        self.push(path, ErrorKind::NotFound, value.into(), "");
    }

    /// The value may not be given here.
    pub fn forbidden(&mut self, path: &Path, detail: impl Into<String>) {
        self.push(path, ErrorKind::Forbidden, Value::Null, detail);
    }

    /// The value has more than `limit` bytes.
    pub fn too_long(&mut self, path: &Path, limit: usize) {
        let detail = format!("may not be more than {limit} bytes");
        self.push(path, ErrorKind::TooLong, Value::Null, detail);
    }

    /// The list has `count` items, more than `limit`.
    pub fn too_many(&mut self, path: &Path, count: usize, limit: usize) {
        let detail = format!("must have at most {limit} items");
        self.push(path, ErrorKind::TooMany, count.into(), detail);
    }

    /// The value is none of `choices`.
    pub fn not_supported(&mut self, path: &Path, value: &str, choices: &[&str]) {
        let quoted: Vec<_> = choices.iter().map(|c| go_quote(c)).collect();
        let detail = format!("supported values: {}", quoted.join(", "));
        self.push(path, ErrorKind::NotSupported, value.into(), detail);
    }

    /// Refuses a value that is none of `choices`.
    pub fn choice(&mut self, path: &Path, value: &str, choices: &[&str]) {
        if !choices.contains(&value) {
            self.not_supported(path, value, choices);
        }
    }

    /// Refuses a negative number.
    pub fn non_negative(&mut self, path: &Path, value: i64) {
        if value < 0 {
            self.invalid(path, value, "must be greater than or equal to 0");
        }
    }

    /// Refuses a number outside of `low..=high`.
    pub fn range(&mut self, path: &Path, value: i64, low: i64, high: i64) {
        if !(low..=high).contains(&value) {
            self.invalid(
                path,
                value,
                format!("must be between {low} and {high}, inclusive"),
            );
        }
    }

    /// Refuses a value for each thing that a check finds wrong with it.
    pub fn check(&mut self, path: &Path, value: &str, wrong: Vec<String>) {
        for detail in wrong {
            self.invalid(path, value, detail);
        }
    }

    /// Takes over the problems of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        match texts.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl<'a> IntoIterator for &'a ErrorList {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorList, Path};

    #[test]
    fn writes_errors_as_upstream_does() {
        let path = Path::new("spec")
            .child("containers")
            .index(0)
            .child("env")
            .key("a");
        let mut errors = ErrorList::default();
        errors.required(&path, "");
        errors.required(&path, "because");
        errors.duplicate(&path, "x");
        errors.invalid(&path, 5, "must be less");
        errors.not_supported(&path, "q", &["a", "b"]);
        errors.forbidden(&path, "not here");
        errors.not_found(&path, "v");
        errors.too_long(&path, 10);
        let texts: Vec<_> = errors.iter().map(|e| e.to_string()).collect();
        let at = "spec.containers[0].env[a]: ";
        let expected = [
            "Required value",
            "Required value: because",
            "Duplicate value: \"x\"",
            "Invalid value: 5: must be less",
            "Unsupported value: \"q\": supported values: \"a\", \"b\"",
            "Forbidden: not here",
            "Not found: \"v\"",
            "Too long: may not be more than 10 bytes",
        ];
        assert_eq!(texts, expected.map(|e| format!("{at}{e}")));
        assert!(errors.to_string().starts_with('['));
    }
}
