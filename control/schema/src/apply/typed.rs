//! Trees with a type: which fields they set, how two of them differ and become one, what is left
//! when fields are taken out.

mod compare;
mod list;
mod merge;
mod remove;
mod validate;

use serde_json::Value;

use super::path::{Element, Path};
use super::set::Set;
use crate::schema::{NodeId, Schema, Shape, Topology};

pub use compare::Comparison;

/// A type: a node of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    /// The schema.
    pub schema: &'a Schema,
    /// The type of the whole object.
    pub root: NodeId,
}

/// How a value is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// As a whole.
    Leaf,
    /// Field by field.
    Fields(NodeId),
    /// Item by item.
    Items(NodeId, &'a Topology),
}

impl<'a> Typed<'a> {
    /// How a value of a node is treated; what is of no known shape is treated by its own.
    fn kind(self, node: NodeId, value: &Value) -> Kind<'a> {
        if self.schema.is_atomic(node) {
            return Kind::Leaf;
        }
        match &self.schema.node(node).shape {
            Shape::Object(_) | Shape::Map(_) => Kind::Fields(node),
            Shape::List(items, topology) => Kind::Items(*items, topology),
            Shape::Any if value.is_object() => Kind::Fields(node),
            _ => Kind::Leaf,
        }
    }

    /// Whether a name is a field of the node's type, and not a key of a map.
    fn is_named(self, node: NodeId, name: &str) -> bool {
        self.schema
            .object_of(node)
            .is_some_and(|object| object.field(name).is_some())
    }

    /// What a field holds; what the type does not know is of any shape.
    fn child(self, node: NodeId, name: &str) -> Option<NodeId> {
        self.schema.child(node, name)
    }

    /// The fields that a tree sets.
    #[must_use]
    pub fn field_set(self, value: &Value) -> Set {
        let mut set = Set::default();
        self.collect(self.root, value, &mut Vec::new(), &mut set);
        set
    }

    fn collect(self, node: NodeId, value: &Value, path: &mut Path, set: &mut Set) {
        match (self.kind(node, value), value) {
            (Kind::Leaf, _) => set.insert(path),
            (Kind::Fields(_), Value::Object(fields)) => {
                for (name, value) in fields {
                    let Some(child) = self.child(node, name) else {
                        continue;
                    };
                    path.push(Element::field(name));
                    self.collect(child, value, path, set);
                    let empty = value.is_null() || value.as_object().is_some_and(|o| o.is_empty());
                    if empty || !self.is_named(node, name) {
                        set.insert(path);
                    }
                    path.pop();
                }
            }
            (Kind::Items(items, topology), Value::Array(list)) => {
                let index = list::index(self, items, topology, list);
                for (element, values) in &index.values {
                    path.push(element.clone());
                    if let [value] = values[..] {
                        self.collect(items, value, path, set);
                    }
                    set.insert(path);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}
