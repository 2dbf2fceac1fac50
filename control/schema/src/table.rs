//! `Table` and `PartialObjectMetadata`: what clients get that ask for no whole objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::columns::Column;

/// What a row of a table carries of its object: the parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the parameter; empty means the default.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// The headings of a table.
#[must_use]
pub fn headings(columns: &[Column]) -> Value {
    let heading = |column: &Column| {
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        })
    };
    columns.iter().map(heading).collect()
}

/// The row of an object.
#[must_use]
pub fn row(columns: &[Column], object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells: Vec<_> = columns
        .iter()
        .map(|column| column.cell(object, now))
        .collect();
    let mut row = json!({"cells": cells});
    match include {
        IncludeObject::None => {}
        IncludeObject::Metadata => row["object"] = partial(object),
        IncludeObject::Object => row["object"] = object.clone(),
    }
    row
}

/// A table of objects. `metadata` is that of the list, or of the one object; a watch event is a
/// table of one row, and only the first of a watch needs headings.
#[must_use]
pub fn table<'a>(
    columns: &[Column],
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let rows: Vec<_> = objects
        .into_iter()
        .map(|o| row(columns, o, include, now))
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": headings(columns),
        "rows": rows,
    })
}

/// An object's metadata as an object of its own.
#[must_use]
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// A list of objects' metadata.
#[must_use]
pub fn partial_list<'a>(objects: impl IntoIterator<Item = &'a Value>, metadata: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": objects.into_iter().map(partial).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{IncludeObject, partial_list, table};
    use crate::columns::AGED;

    #[test]
    fn a_table_has_headings_rows_and_metadata() {
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}});
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        let list = json!({"resourceVersion": "7"});
        let shown = table(AGED, [&object], &list, IncludeObject::Metadata, now);
        assert_eq!(shown["metadata"], list);
        assert_eq!(shown["columnDefinitions"][0]["format"], "name");
        assert_eq!(shown["rows"][0]["cells"], json!(["a", "5m"]));
        assert_eq!(shown["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(shown["rows"][0]["object"]["spec"], json!(null));
        let bare = table(AGED, [&object], &list, IncludeObject::None, now);
        assert_eq!(bare["rows"][0].get("object"), None);
        assert_eq!(
            partial_list([&object], &list)["items"][0]["metadata"]["name"],
            "a"
        );
    }
}
