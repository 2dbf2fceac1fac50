//! The columns that `kubectl get` shows: names, types, and how a cell is read off an object.

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
    Function(fn(&Value, jiff::Timestamp) -> Value),
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
            name: Name::Borrowed(name),
            kind: Name::Borrowed(kind),
            format: Name::Borrowed(format),
            description: Name::Borrowed(""),
            priority,
            cell,
        }
    }

    /// A column of text.
    #[must_use]
    pub const fn text(name: &'static str, cell: Cell) -> Self {
        Self::new(name, "string", "", 0, cell)
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
        Cell::Path(Name::Borrowed(".metadata.creationTimestamp")),
    ),
];
