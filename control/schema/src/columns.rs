//! The columns that `kubectl get` shows: names, types, and how a cell is read off an object.

pub mod age;
pub mod auth;
pub mod cluster;
pub mod network;
pub mod path;
pub mod pods;
mod read;
pub mod storage;
pub mod workloads;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use crate::resource_table::Name;

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its heading.
    pub name: Name,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: Name,
    /// `name` for the column that holds the object's name; else empty.
    pub format: Name,
    /// What it shows.
    pub description: Name,
    /// 0 for columns that are always shown, 1 for those of `-o wide`.
    pub priority: i32,
    /// How its cell is found.
    pub cell: Cell,
}

/// How a cell is found.
#[derive(Clone, Debug)]
pub enum Cell {
    /// `metadata.name`.
    Name,
    /// How long ago `metadata.creationTimestamp` was, in short form.
    Age,
    /// A function of the object and of now.
    Function(fn(&Value, Timestamp) -> Value),
    /// A JSON path, as custom resources give them.
    Path(Name),
}

impl Column {
    /// The column `Name` of every kind.
    pub const NAME: Self = Self::new("Name", "string", "name", 0, Cell::Name);
    /// The column `Age` of nearly every kind.
    pub const AGE: Self = Self::text("Age", Cell::Age);

    const fn new(
        name: &'static str,
        kind: &'static str,
        format: &'static str,
        priority: i32,
        cell: Cell,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed(kind),
            format: Cow::Borrowed(format),
            description: Cow::Borrowed(""),
            priority,
            cell,
        }
    }

    /// A column of text.
    #[must_use]
    pub const fn text(name: &'static str, cell: Cell) -> Self {
        Self::new(name, "string", "", 0, cell)
    }

    /// A column of text that a function finds.
    const fn of(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self::text(name, Cell::Function(cell))
    }

    /// A column of text that is shown with `-o wide`.
    const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self::new(name, "string", "", 1, Cell::Function(cell))
    }

    /// A column of whole numbers.
    const fn count(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self::new(name, "integer", "", 0, Cell::Function(cell))
    }

    /// A column of text at a path.
    const fn at(name: &'static str, path: &'static str) -> Self {
        Self::text(name, Cell::Path(Cow::Borrowed(path)))
    }

    /// The cell of an object.
    #[must_use]
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.cell {
            Cell::Name => object
                .pointer("/metadata/name")
                .cloned()
                .unwrap_or_default(),
            Cell::Age => {
                let created = object
                    .pointer("/metadata/creationTimestamp")
                    .and_then(Value::as_str);
                Value::String(age::since(created, now))
            }
            Cell::Function(function) => function(object, now),
            Cell::Path(path) => path::cell(object, path, &self.kind, now),
        }
    }
}

/// A selector as text: of a label selector or of a plain map of labels; `<none>` for none.
pub(crate) fn selector_text(selector: &Value) -> String {
    let shown = match read::selector(Some(selector)) {
        Value::String(text) => text,
        _ => String::new(),
    };
    let is_plain = shown == read::NONE && selector.as_object().is_some_and(|map| !map.is_empty());
    if is_plain {
        read::labels(Some(selector))
    } else {
        shown
    }
}

/// The columns of a kind that has none of its own.
pub const GENERIC: &[Column] = &[
    Column::NAME,
    Column::new(
        "Created At",
        "date",
        "",
        0,
        Cell::Path(Cow::Borrowed(".metadata.creationTimestamp")),
    ),
];

/// Name and age.
pub const AGED: &[Column] = &[Column::NAME, Column::AGE];

#[cfg(test)]
mod tests;
