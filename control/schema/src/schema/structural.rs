//! Structural schemas of custom resources become schemas of ours.
//!
//! What a value may be beyond its shape (bounds, patterns, choices) stays in the schema as it was
//! written, and is for validation.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::{Field, Node, NodeId, Object, ObjectId, PatchRule, Schema, Shape, Topology};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Builds the schema of a version from its `openAPIV3Schema`; answers it with its root.
///
/// The schema has been validated: what is not understood is taken for anything.
#[must_use]
pub fn structural(openapi: &Value) -> (Schema, NodeId) {
    let mut builder = Builder {
        schema: Schema::default(),
        metadata: None,
    };
    let root = builder.object(openapi, true);
    (builder.schema, root)
}

struct Builder {
    schema: Schema,
    metadata: Option<NodeId>,
}

impl Builder {
    fn node(&mut self, source: &Value) -> NodeId {
        let kind = source.get("type").and_then(Value::as_str);
        if has(source, "x-kubernetes-embedded-resource") {
            let id = self.object(source, true);
            return self.mark(id, source);
        }
        let shape = match kind {
            _ if has(source, "x-kubernetes-int-or-string") => Shape::IntOrString,
            Some("boolean") => Shape::Bool,
            Some("integer") => Shape::Int64,
            Some("number") => Shape::Number,
            Some("string") => Shape::Text,
            Some("array") => {
                let items = match source.get("items") {
                    Some(items) => self.node(items),
                    None => self.schema.add(Node::of(Shape::Any)),
                };
                Shape::List(items, topology(source))
            }
            Some("object") => {
                let id = self.object_or_map(source);
                return self.mark(id, source);
            }
            _ => Shape::Any,
        };
        let id = self.schema.add(Node::of(shape));
        self.mark(id, source)
    }

    fn mark(&mut self, id: NodeId, source: &Value) -> NodeId {
        let node = &mut self.schema.nodes[id.0 as usize];
        node.nullable = has(source, "nullable");
        node.atomic = source
            .get("x-kubernetes-map-type")
            .is_some_and(|t| t == "atomic");
        id
    }

    fn object_or_map(&mut self, source: &Value) -> NodeId {
        if source.get("properties").is_some() {
            return self.object(source, false);
        }
        let values = match source.get("additionalProperties") {
            None | Some(Value::Bool(false) | Value::Null) => return self.object(source, false),
            Some(values @ Value::Object(_)) => self.node(values),
            Some(_) => self.schema.add(Node::of(Shape::Any)),
        };
        self.schema.add(Node::of(Shape::Map(values)))
    }

    fn object(&mut self, source: &Value, whole: bool) -> NodeId {
        let required: Vec<_> = strings(source, "required").collect();
        let mut fields = Vec::new();
        for (name, property) in source
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if whole && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let node = self.node(property);
            let required = required.contains(&name.as_str());
            let default = property.get("default").cloned();
            fields.push(field(name, node, required, default));
        }
        if whole {
            let text = self.schema.add(Node::of(Shape::Text));
            let metadata = self.metadata();
            fields.push(field("apiVersion", text, false, None));
            fields.push(field("kind", text, false, None));
            fields.push(field("metadata", metadata, false, None));
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let open = has(source, "x-kubernetes-preserve-unknown-fields");
        let rest = open.then(|| self.schema.add(Node::of(Shape::Any)));
        let object = Object {
            name: Cow::Borrowed(""),
            fields,
            atomic: false,
            preserve_unknown: open,
            rest,
            description: u32::MAX,
        };
        let object = self.schema.add_object(object);
        let embedded = whole;
        self.schema.add(Node {
            embedded,
            ..Node::of(Shape::Object(object))
        })
    }

    /// The type of metadata, as built-in kinds have it.
    fn metadata(&mut self) -> NodeId {
        if let Some(node) = self.metadata {
            return node;
        }
        let builtin = Schema::builtin();
        let node = match builtin.named(OBJECT_META) {
            Some(node) => import(&mut self.schema, builtin, node, &mut HashMap::new()),
            None => self.schema.add(Node::of(Shape::Any)),
        };
        self.metadata = Some(node);
        node
    }
}

fn field(name: &str, node: NodeId, required: bool, default: Option<Value>) -> Field {
    Field {
        name: Cow::Owned(name.to_owned()),
        node,
        required,
        default,
        patch: PatchRule::default(),
        description: u32::MAX,
    }
}

/// Copies a type and all that it holds from another schema.
fn import(
    into: &mut Schema,
    from: &Schema,
    node: NodeId,
    known: &mut HashMap<ObjectId, NodeId>,
) -> NodeId {
    let mut copy = from.node(node).clone();
    match copy.shape {
        Shape::Object(object) => {
            if let Some(node) = known.get(&object) {
                return *node;
            }
            let mut fields = from.object(object).clone();
            for field in &mut fields.fields {
                field.node = import(into, from, field.node, known);
            }
            copy.shape = Shape::Object(into.add_object(fields));
            let node = into.add(copy);
            known.insert(object, node);
            return node;
        }
        Shape::Map(values) => copy.shape = Shape::Map(import(into, from, values, known)),
        Shape::List(items, topology) => {
            copy.shape = Shape::List(import(into, from, items, known), topology);
        }
        _ => {}
    }
    into.add(copy)
}

fn has(source: &Value, name: &str) -> bool {
    source
        .get(name)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn strings<'v>(source: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    source
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn topology(source: &Value) -> Topology {
    match source.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Topology::Set,
        Some("map") => {
            let keys = strings(source, "x-kubernetes-list-map-keys");
            Topology::Map(keys.map(|key| Cow::Owned(key.to_owned())).collect())
        }
        _ => Topology::Atomic,
    }
}
