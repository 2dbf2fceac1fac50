//! Custom resources: a definition becomes rows of the resource table and schemas, and its objects
//! are pruned, filled in and judged by them.

mod judge;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::apply::{Typed, Versions};
use crate::columns::{Cell, Column};
use crate::decode::{DecodeError, Finding, conform_lenient};
use crate::resource_table::{
    Durability, Name, Resource, Scope, Subresource, Verbs, row_api_version,
};
use crate::schema::{NodeId, Schema, Shape, structural};
use crate::strategy::Strategy;

pub use judge::judge;

/// A kind that a definition defines.
#[derive(Clone, Debug)]
pub struct CustomKind {
    /// Its versions, served or not, in the order of the definition.
    pub versions: Vec<CustomVersion>,
}

/// One version of a custom kind.
#[derive(Clone, Debug)]
pub struct CustomVersion {
    /// Its row in the resource table.
    pub row: Resource,
    /// Whether it is served.
    pub served: bool,
    /// Whether objects are stored in it.
    pub stored: bool,
    /// What is said to those who use it, where it is deprecated.
    pub deprecation: Option<String>,
    /// Where the scale subresource finds its numbers.
    pub scale: Option<ScalePaths>,
    /// Its type.
    pub schema: Schema,
    /// The type of a whole object.
    pub root: NodeId,
    /// Its schema as the definition has it, for validation and OpenAPI.
    pub source: Value,
}

/// The paths of a scale subresource, as JSON paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// How many there should be.
    pub wanted: String,
    /// How many there are.
    pub there: String,
    /// The selector of what is counted, as text.
    pub selector: Option<String>,
}

impl CustomKind {
    /// Reads a validated definition.
    #[must_use]
    pub fn read(definition: &Value) -> Self {
        let spec = &definition["spec"];
        let versions = list(spec, "versions")
            .iter()
            .map(|version| read_version(spec, version));
        Self {
            versions: versions.collect(),
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&CustomVersion> {
        self.versions
            .iter()
            .find(|version| version.row.version == name)
    }

    /// The version that objects are stored in.
    #[must_use]
    pub fn stored(&self) -> Option<&CustomVersion> {
        self.versions.iter().find(|version| version.stored)
    }
}

impl Versions for CustomKind {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        let (_, version) = crate::resource_table::split_api_version(api_version);
        let version = self.version(version)?;
        Some(Typed {
            schema: &version.schema,
            root: version.root,
        })
    }

    fn convert(&self, object: &Value, api_version: &str) -> Option<Value> {
        let mut converted = object.clone();
        converted["apiVersion"] = json!(api_version);
        Some(converted)
    }
}

impl CustomVersion {
    /// Prunes an object; what it holds is judged later, by [`judge`].
    ///
    /// # Errors
    /// Its metadata is not in the shape of metadata.
    pub fn conform(&self, object: &mut Value) -> Result<Vec<Finding>, DecodeError> {
        let Value::Object(fields) = object else {
            let expected = "map[string]interface {}".to_owned();
            return Err(DecodeError::NoObject {
                found: "value",
                expected,
            });
        };
        let mut metadata = fields.remove("metadata");
        let mut findings = conform_lenient(&self.schema, self.root, object);
        if let Some(metadata) = &mut metadata {
            findings.extend(crate::decode::conform_metadata(metadata)?);
        }
        if let (Some(metadata), Value::Object(fields)) = (metadata, object) {
            fields.insert("metadata".to_owned(), metadata);
        }
        Ok(findings)
    }

    /// Fills in the defaults of the schema.
    pub fn fill_in(&self, object: &mut Value) {
        fill_in(&self.schema, self.root, object);
    }

    /// Judges an object by the schema.
    #[must_use]
    pub fn judge(&self, object: &Value) -> keelson_api::validate::field::ErrorList {
        judge(&self.source, object)
    }
}

fn fill_in(schema: &Schema, node: NodeId, value: &mut Value) {
    match (&schema.node(node).shape, value) {
        (Shape::Object(object), Value::Object(fields)) => {
            for field in &schema.object(*object).fields {
                let missing = match fields.get(field.name.as_ref()) {
                    None => true,
                    Some(value) => value.is_null() && !schema.node(field.node).nullable,
                };
                if let (true, Some(default)) = (missing, &field.default) {
                    fields.insert(field.name.to_string(), default.clone());
                }
                if let Some(value) = fields.get_mut(field.name.as_ref()) {
                    fill_in(schema, field.node, value);
                }
            }
        }
        (Shape::Map(values), Value::Object(fields)) => {
            fields
                .values_mut()
                .for_each(|value| fill_in(schema, *values, value));
        }
        (Shape::List(items, _), Value::Array(list)) => {
            list.iter_mut()
                .for_each(|item| fill_in(schema, *items, item));
        }
        _ => {}
    }
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn name(value: &Value, field: &str) -> Name {
    Cow::Owned(
        value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    )
}

fn names(value: &Value, field: &str) -> Vec<Name> {
    let texts = list(value, field).iter().filter_map(Value::as_str);
    texts.map(|text| Cow::Owned(text.to_owned())).collect()
}

fn flag(value: &Value, field: &str) -> bool {
    value
        .get(field)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn read_version(spec: &Value, version: &Value) -> CustomVersion {
    let source = version.pointer("/schema/openAPIV3Schema").cloned();
    let source = source.unwrap_or_else(|| Value::Object(Map::new()));
    let (schema, root) = structural(&source);
    let deprecated = flag(version, "deprecated");
    let warning = version.get("deprecationWarning").and_then(Value::as_str);
    let row = row(spec, version);
    let standard = || {
        let api_version = row_api_version(&row.group, &row.version);
        format!("{api_version} {} is deprecated", row.kind)
    };
    CustomVersion {
        served: flag(version, "served"),
        stored: flag(version, "storage"),
        deprecation: deprecated.then(|| warning.map_or_else(standard, str::to_owned)),
        scale: version.pointer("/subresources/scale").map(scale_paths),
        schema,
        root,
        source,
        row,
    }
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let path = |field: &str| scale.get(field).and_then(Value::as_str).map(str::to_owned);
    ScalePaths {
        wanted: path("specReplicasPath").unwrap_or_default(),
        there: path("statusReplicasPath").unwrap_or_default(),
        selector: path("labelSelectorPath"),
    }
}

fn row(spec: &Value, version: &Value) -> Resource {
    let names_of = &spec["names"];
    let cluster = spec.get("scope").is_some_and(|scope| scope == "Cluster");
    let (group, version_name, kind) = (
        name(spec, "group"),
        name(version, "name"),
        name(names_of, "kind"),
    );
    let part = |part: &'static str, group: &Name, version: &Name, kind: Name| Subresource {
        name: Cow::Borrowed(part),
        group: group.clone(),
        version: version.clone(),
        kind,
        verbs: Verbs::CHANGE,
    };
    let mut subresources = Vec::new();
    if version.pointer("/subresources/status").is_some() {
        subresources.push(part("status", &group, &version_name, kind.clone()));
    }
    if version.pointer("/subresources/scale").is_some() {
        let (group, version) = (Cow::Borrowed("autoscaling"), Cow::Borrowed("v1"));
        subresources.push(part("scale", &group, &version, Cow::Borrowed("Scale")));
    }
    let selectable = list(version, "selectableFields").iter().map(|field| {
        let path = name(field, "jsonPath");
        Cow::Owned(path.trim_start_matches('.').to_owned())
    });
    Resource {
        list_kind: name(names_of, "listKind"),
        plural: name(names_of, "plural"),
        singular: name(names_of, "singular"),
        scope: if cluster {
            Scope::Cluster
        } else {
            Scope::Namespaced
        },
        verbs: Verbs::ALL,
        short_names: names(names_of, "shortNames"),
        categories: names(names_of, "categories"),
        subresources,
        type_name: Cow::Borrowed(""),
        selectable: selectable.collect(),
        durability: Durability::Durable,
        columns: columns(version),
        strategy: Strategy {
            generation: true,
            unconditional_update: false,
            ..Strategy::PLAIN
        },
        stored_as: None,
        group,
        version: version_name,
        kind,
    }
}

fn columns(version: &Value) -> Cow<'static, [Column]> {
    let given = list(version, "additionalPrinterColumns");
    if given.is_empty() {
        return Cow::Borrowed(crate::columns::AGED);
    }
    let column = |column: &Value| Column {
        name: name(column, "name"),
        kind: name(column, "type"),
        format: name(column, "format"),
        description: name(column, "description"),
        priority: column
            .get("priority")
            .and_then(Value::as_i64)
            .map_or(0, |p| i32::try_from(p).unwrap_or(i32::MAX)),
        cell: Cell::Path(name(column, "jsonPath")),
    };
    std::iter::once(Column::NAME)
        .chain(given.iter().map(column))
        .collect()
}

#[cfg(test)]
mod tests;
