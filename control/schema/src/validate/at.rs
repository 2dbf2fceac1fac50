//! A place in a tree: a value with its path, for rules to read and to blame.

use keelson_api::validate::field::{ErrorList, Path};
use serde_json::Value;

static NOTHING: Value = Value::Null;

/// A value and where it is; null where there is none.
#[derive(Clone)]
pub(super) struct At<'v> {
    pub(super) value: &'v Value,
    pub(super) path: Path,
}

impl<'v> At<'v> {
    pub(super) fn root(value: &'v Value) -> Self {
        Self {
            value,
            path: Path::default(),
        }
    }

    pub(super) fn field(&self, name: &str) -> Self {
        let value = self.value.get(name).unwrap_or(&NOTHING);
        Self {
            value,
            path: self.path.child(name),
        }
    }

    /// The value at a path of names joined by dots.
    pub(super) fn at(&self, path: &str) -> Self {
        path.split('.')
            .fold(self.clone(), |at, name| at.field(name))
    }

    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'v> {
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        let path = self.path.clone();
        items.iter().enumerate().map(move |(at, value)| Self {
            value,
            path: path.index(at),
        })
    }

    /// The entries of a map; the path of an entry has its key in brackets.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v str, Self)> + use<'v> {
        let path = self.path.clone();
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| {
            (
                key.as_str(),
                Self {
                    value,
                    path: path.key(key),
                },
            )
        })
    }

    pub(super) fn is_given(&self) -> bool {
        !self.value.is_null()
    }

    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        }
    }

    pub(super) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    pub(super) fn texts(&self) -> Vec<&'v str> {
        let items = self.value.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).collect()
    }

    pub(super) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub(super) fn flag(&self) -> bool {
        self.value.as_bool().unwrap_or_default()
    }

    /// Complains where there is nothing; answers whether there is something.
    pub(super) fn need(&self, detail: &str, errors: &mut ErrorList) -> bool {
        if self.is_empty() {
            errors.required(&self.path, detail);
        }
        !self.is_empty()
    }

    /// Complains about a text that is given and none of the choices.
    pub(super) fn one_of(&self, choices: &[&str], errors: &mut ErrorList) {
        if self.is_given() && !choices.contains(&self.text()) {
            errors.not_supported(&self.path, self.text(), choices);
        }
    }

    /// Complains where there is nothing, and about a text that is none of the choices.
    pub(super) fn need_one_of(&self, choices: &[&str], errors: &mut ErrorList) {
        if self.need("", errors) {
            self.one_of(choices, errors);
        }
    }

    /// Complains about a number below zero.
    pub(super) fn not_negative(&self, errors: &mut ErrorList) {
        if let Some(number) = self.int() {
            errors.non_negative(&self.path, number);
        }
    }

    /// Complains about a number below one.
    pub(super) fn positive(&self, errors: &mut ErrorList) {
        if let Some(number) = self.int().filter(|number| *number < 1) {
            errors.invalid(&self.path, number, "must be greater than zero");
        }
    }

    /// Complains about a number out of bounds.
    pub(super) fn within(&self, low: i64, high: i64, errors: &mut ErrorList) {
        if let Some(number) = self.int() {
            errors.range(&self.path, number, low, high);
        }
    }

    /// Complains about a text that is given and not in a form.
    pub(super) fn form(&self, form: fn(&str) -> Vec<String>, errors: &mut ErrorList) {
        if !self.is_empty() {
            errors.check(&self.path, self.text(), form(self.text()));
        }
    }

    pub(super) fn invalid(&self, detail: impl Into<String>, errors: &mut ErrorList) {
        errors.invalid(&self.path, self.value.clone(), detail);
    }

    pub(super) fn forbidden(&self, detail: &str, errors: &mut ErrorList) {
        errors.forbidden(&self.path, detail);
    }
}
