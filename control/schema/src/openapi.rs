//! OpenAPI documents: version 3 per group and version, version 2 as one document.
//!
//! They are written from the resource table and the schemas, with the operation ids, extensions
//! and parameters that clients look for. A document is built when it is asked for and is large:
//! keep its bytes, compressed, rather than its tree.

mod definitions;
mod operations;
mod protobuf;

use serde_json::{Map, Value, json};

use crate::custom::CustomVersion;
use crate::resource_table::{Group, Resource};

use definitions::Definitions;
pub use definitions::custom_type_name;

/// Which dialect a document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAPI 2.0, also known as Swagger.
    V2,
    /// OpenAPI 3.0.
    V3,
}

impl Dialect {
    /// A reference to a type by its name.
    fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }
}

/// `GET /openapi/v3`: where the documents are. `hash` names the state of a document, so that
/// clients may keep it.
#[must_use]
pub fn index(groups: &[Group], hash: impl Fn(&str) -> String) -> Value {
    let mut paths = Map::new();
    for group in groups {
        for version in &group.versions {
            let path = root(&group.name, version);
            let url = format!("/openapi/v3/{path}?hash={}", hash(&path));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The root of a group's version, as paths begin: `api/v1`, `apis/apps/v1`.
#[must_use]
pub fn root(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

/// `GET /openapi/v3/ROOT`: the document of one version of one group.
#[must_use]
pub fn v3<'a>(
    (group, version): (&str, &str),
    release: &str,
    rows: impl IntoIterator<Item = &'a Resource>,
    customs: impl IntoIterator<Item = &'a CustomVersion>,
) -> Value {
    let is_here = |row: &Resource| row.group == group && row.version == version;
    let rows: Vec<_> = rows.into_iter().filter(|row| is_here(row)).collect();
    let customs: Vec<_> = customs.into_iter().filter(|c| is_here(&c.row)).collect();
    let (paths, schemas) = document(Dialect::V3, &rows, &customs);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "description": "Bearer Token authentication",
                "name": "authorization", "in": "header",
            }},
        },
    })
}

/// `GET /openapi/v2`: the document of everything.
#[must_use]
pub fn v2<'a>(
    release: &str,
    rows: impl IntoIterator<Item = &'a Resource>,
    customs: impl IntoIterator<Item = &'a CustomVersion>,
) -> Value {
    let (rows, customs): (Vec<_>, Vec<_>) =
        (rows.into_iter().collect(), customs.into_iter().collect());
    let (paths, definitions) = document(Dialect::V2, &rows, &customs);
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": release},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "description": "Bearer Token authentication",
            "name": "authorization", "in": "header",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// The answer of [`v2`] as the protobuf message that Go clients ask for, gnostic's
/// `openapi.v2.Document`.
#[must_use]
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    protobuf::document(document)
}

fn document(dialect: Dialect, rows: &[&Resource], customs: &[&CustomVersion]) -> (Value, Value) {
    let mut paths = Map::new();
    let mut definitions = Definitions::new(dialect);
    for row in rows {
        definitions.add_kind(row);
        operations::add(dialect, row, &row.type_name, &mut paths);
    }
    for custom in customs {
        let name = definitions.add_custom(custom);
        operations::add(dialect, &custom.row, &name, &mut paths);
    }
    (Value::Object(paths), Value::Object(definitions.finish()))
}

#[cfg(test)]
mod tests;
