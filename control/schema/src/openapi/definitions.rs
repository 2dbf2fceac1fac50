//! The types of a document: those of its kinds, of their lists, and all that they refer to.

use serde_json::{Map, Value, json};

use super::Dialect;
use crate::custom::CustomVersion;
use crate::resource_table::{Resource, Verb, builtin};
use crate::schema::describe::Descriptions;
use crate::schema::{Field, NodeId, Object, Schema, Shape, Topology};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

pub(super) struct Definitions {
    dialect: Dialect,
    descriptions: Descriptions,
    done: Map<String, Value>,
    wanted: Vec<String>,
}

impl Definitions {
    pub(super) fn new(dialect: Dialect) -> Self {
        let wanted = [
            "DeleteOptions",
            "Status",
            "APIResourceList",
            "WatchEvent",
            "ListMeta",
        ];
        let mut definitions = Self {
            dialect,
            descriptions: Descriptions::unpack(),
            done: Map::new(),
            wanted: wanted.iter().map(|name| format!("{META}.{name}")).collect(),
        };
        definitions.add_plain();
        definitions
    }

    /// Types that are no objects.
    fn add_plain(&mut self) {
        let (quantity, either) = match self.dialect {
            Dialect::V2 => (
                json!({"type": "string"}),
                json!({"type": "string", "format": "int-or-string"}),
            ),
            Dialect::V3 => (
                json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
            ),
        };
        let time = json!({"type": "string", "format": "date-time"});
        for (name, schema) in [
            (QUANTITY.to_owned(), quantity),
            (INT_OR_STRING.to_owned(), either),
            (format!("{META}.Time"), time.clone()),
            (format!("{META}.MicroTime"), time),
            (format!("{META}.Patch"), json!({"type": "object"})),
        ] {
            self.done.insert(name, schema);
        }
    }

    /// Adds a built-in kind, its list, and what its subresources take.
    pub(super) fn add_kind(&mut self, row: &Resource) {
        self.wanted.push(row.type_name.to_string());
        for part in &row.subresources {
            if let Some(name) = type_name(&part.group, &part.version, &part.kind) {
                self.wanted.push(name);
            }
        }
        if row.verbs.has(Verb::List) {
            self.add_list(row, &row.type_name);
        }
    }

    fn add_list(&mut self, row: &Resource, of: &str) {
        let name = list_name(row, of);
        let items = json!({
            "type": "array",
            "description": format!("The {}.", row.plural),
            "items": self.with_default(self.dialect.reference(of)),
        });
        let list_meta = format!("{META}.ListMeta");
        let list = json!({
            "type": "object",
            "description": format!("{} is a list of {}.", row.list_kind, row.kind),
            "required": ["items"],
            "properties": {
                "apiVersion": self.type_meta("apiVersion"),
                "kind": self.type_meta("kind"),
                "metadata": self.reference(&list_meta, "Standard metadata of a list."),
                "items": items,
            },
            "x-kubernetes-group-version-kind":
                [{"group": row.group, "version": row.version, "kind": row.list_kind}],
        });
        self.done.insert(name, list);
    }

    /// The description of a field that every kind has.
    fn type_meta(&self, field: &str) -> Value {
        let schema = Schema::builtin();
        let pod = schema
            .named("io.k8s.api.core.v1.Pod")
            .and_then(|node| schema.object_of(node));
        let field = pod.and_then(|pod| pod.field(field));
        let description = field.map_or("", |field| self.descriptions.at(field.description));
        json!({"type": "string", "description": description})
    }

    /// Adds a custom kind and its list; answers the name of its type.
    pub(super) fn add_custom(&mut self, custom: &CustomVersion) -> String {
        let row = &custom.row;
        let name = custom_type_name(row);
        let mut schema = custom.source.clone();
        if !schema.is_object() {
            schema = json!({"type": "object"});
        }
        if self.dialect == Dialect::V2 {
            strip_for_v2(&mut schema);
        }
        let properties = &mut schema["properties"];
        properties["apiVersion"] = self.type_meta("apiVersion");
        properties["kind"] = self.type_meta("kind");
        properties["metadata"] = self.reference(
            &format!("{META}.ObjectMeta"),
            "Standard metadata of an object.",
        );
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": row.group, "version": row.version, "kind": row.kind}]);
        self.done.insert(name.clone(), schema);
        self.wanted.push(format!("{META}.ObjectMeta"));
        self.add_list(row, &name);
        name
    }

    /// Adds all that is referred to, and gives up the types.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let schema = Schema::builtin();
        while let Some(name) = self.wanted.pop() {
            if self.done.contains_key(&name) {
                continue;
            }
            let Some(object) = schema.named(&name).and_then(|node| schema.object_of(node)) else {
                continue;
            };
            let rendered = self.object(schema, object);
            self.done.insert(name, rendered);
        }
        self.done
    }

    fn object(&mut self, schema: &Schema, object: &Object) -> Value {
        let mut properties = Map::new();
        for field in &object.fields {
            properties.insert(field.name.to_string(), self.field(schema, field));
        }
        let mut rendered = json!({
            "type": "object",
            "description": self.descriptions.at(object.description),
        });
        if !properties.is_empty() {
            rendered["properties"] = Value::Object(properties);
        }
        let required: Vec<_> = object
            .fields
            .iter()
            .filter(|f| f.required)
            .map(|f| f.name.as_ref())
            .collect();
        if !required.is_empty() {
            rendered["required"] = json!(required);
        }
        if object.atomic {
            rendered["x-kubernetes-map-type"] = json!("atomic");
        }
        let kinds = kinds(&object.name);
        if !kinds.is_empty() {
            rendered["x-kubernetes-group-version-kind"] = Value::Array(kinds);
        }
        rendered
    }

    fn field(&mut self, schema: &Schema, field: &Field) -> Value {
        let mut rendered = self.node(schema, field.node);
        let description = self.descriptions.at(field.description).to_owned();
        if rendered.get("$ref").is_some() {
            rendered = self.described(rendered, &description);
        } else if let Some(fields) = rendered.as_object_mut() {
            fields.insert("description".to_owned(), Value::String(description));
        }
        if let Some(default) = &field.default {
            rendered["default"] = default.clone();
        }
        let rule = &field.patch;
        let strategies = [
            (rule.merge, "merge"),
            (rule.replace, "replace"),
            (rule.retain_keys, "retainKeys"),
        ];
        let strategies: Vec<_> = strategies
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| *name)
            .collect();
        if !strategies.is_empty() {
            rendered["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
        }
        if let Some(key) = &rule.merge_key {
            rendered["x-kubernetes-patch-merge-key"] = json!(key);
        }
        rendered
    }

    fn node(&mut self, schema: &Schema, id: NodeId) -> Value {
        let node = schema.node(id);
        let mut rendered = match &node.shape {
            Shape::Any if node.atomic => json!({}),
            Shape::Any => json!({"type": "object"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Number => json!({"type": "number", "format": "double"}),
            Shape::Text => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Time => self.dialect.reference(&format!("{META}.Time")),
            Shape::MicroTime => self.dialect.reference(&format!("{META}.MicroTime")),
            Shape::Quantity => self.dialect.reference(QUANTITY),
            Shape::IntOrString => self.dialect.reference(INT_OR_STRING),
            Shape::Object(object) => {
                let name = schema.object(*object).name.to_string();
                let reference = self.dialect.reference(&name);
                self.wanted.push(name);
                return reference;
            }
            Shape::Map(values) => {
                let values = self.node(schema, *values);
                json!({"type": "object", "additionalProperties": self.with_default(values)})
            }
            Shape::List(items, topology) => {
                let items = self.node(schema, *items);
                list(self.with_default(items), topology)
            }
        };
        if node.atomic && matches!(node.shape, Shape::Map(_)) {
            rendered["x-kubernetes-map-type"] = json!("atomic");
        }
        rendered
    }

    /// What a list or a map holds; version 3 says what it is when it is left out.
    fn with_default(&self, schema: Value) -> Value {
        match self.dialect {
            Dialect::V3 if schema.get("$ref").is_some() => {
                json!({"allOf": [schema], "default": {}})
            }
            _ => schema,
        }
    }

    fn reference(&self, name: &str, description: &str) -> Value {
        self.described(self.dialect.reference(name), description)
    }

    /// A reference with a description of its own.
    fn described(&self, mut reference: Value, description: &str) -> Value {
        match self.dialect {
            Dialect::V2 => {
                reference["description"] = json!(description);
                reference
            }
            Dialect::V3 => json!({"allOf": [reference], "description": description}),
        }
    }
}

fn list(items: Value, topology: &Topology) -> Value {
    let mut rendered = json!({"type": "array", "items": items});
    match topology {
        Topology::Atomic => rendered["x-kubernetes-list-type"] = json!("atomic"),
        Topology::Set => rendered["x-kubernetes-list-type"] = json!("set"),
        Topology::Map(keys) => {
            rendered["x-kubernetes-list-type"] = json!("map");
            rendered["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    rendered
}

/// The kinds that a type is the type of.
fn kinds(type_name: &str) -> Vec<Value> {
    let rows = builtin().iter().filter(|row| row.type_name == type_name);
    let mut kinds: Vec<_> = rows
        .map(|row| json!({"group": row.group, "version": row.version, "kind": row.kind}))
        .collect();
    for row in builtin() {
        for part in &row.subresources {
            let name = self::type_name(&part.group, &part.version, &part.kind);
            let kind = json!({"group": part.group, "version": part.version, "kind": part.kind});
            if name.as_deref() == Some(type_name) && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    kinds
}

/// The name of a kind's type, where it has one.
pub(super) fn type_name(group: &str, version: &str, kind: &str) -> Option<String> {
    let schema = Schema::builtin();
    let package = match group {
        "" => "core",
        other => other.split('.').next().unwrap_or(other),
    };
    let name = format!("io.k8s.api.{package}.{version}.{kind}");
    schema.named(&name).map(|_| name)
}

/// The name of a list's type.
pub(super) fn list_name(row: &Resource, of: &str) -> String {
    let package = of.rsplit_once('.').map_or("", |(package, _)| package);
    format!("{package}.{}", row.list_kind)
}

/// The name of a custom kind's type: its group backwards, its version, its kind.
#[must_use]
pub fn custom_type_name(row: &Resource) -> String {
    let mut group: Vec<_> = row.group.split('.').collect();
    group.reverse();
    format!("{}.{}.{}", group.join("."), row.version, row.kind)
}

/// Version 2 knows no `nullable`, no logic and no unions.
fn strip_for_v2(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for keyword in ["oneOf", "anyOf", "allOf", "not", "nullable"] {
                if fields.get(keyword).is_none_or(|v| v.get("type").is_none()) {
                    fields.remove(keyword);
                }
            }
            fields.values_mut().for_each(strip_for_v2);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_for_v2),
        _ => {}
    }
}
