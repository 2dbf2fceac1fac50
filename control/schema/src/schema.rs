//! The schema engine: interned types that say what an object may hold and how it merges.
//!
//! One [`Schema`] describes all built-in kinds; every custom resource version has a small one of
//! its own. Decoding, defaults, patches, server-side apply and OpenAPI all walk the same nodes.

mod builtin;
pub mod describe;
mod facts;
mod structural;
pub use structural::structural;

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

/// Text that is a constant for built-in types and owned for custom ones.
pub type Name = Cow<'static, str>;

/// A node of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// What a value looks like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Anything. Lists in it are owned whole; maps in it key by key, unless it is atomic.
    Any,
    /// A boolean.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Number,
    /// A text.
    Text,
    /// Bytes in base64.
    Bytes,
    /// A time, to the second.
    Time,
    /// A time, to the microsecond.
    MicroTime,
    /// An amount.
    Quantity,
    /// A number or a text.
    IntOrString,
    /// An object with named fields.
    Object(ObjectId),
    /// Values by name.
    Map(NodeId),
    /// Values in order.
    List(NodeId, Topology),
}

/// How two lists become one, and who owns what in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Topology {
    /// As a whole.
    #[default]
    Atomic,
    /// Value by value.
    Set,
    /// Item by item, known by these fields.
    Map(Vec<Name>),
}

/// A node: a shape with what custom resources may say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What the value looks like.
    pub shape: Shape,
    /// Whether the value is owned and replaced as a whole, although it has parts.
    pub atomic: bool,
    /// Whether null is a value and not an absence.
    pub nullable: bool,
    /// Whether the value is an object of the API, with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
}

impl Node {
    pub(crate) fn of(shape: Shape) -> Self {
        Self {
            shape,
            atomic: false,
            nullable: false,
            embedded: false,
        }
    }
}

/// An object type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u32);

/// An object with named fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The type's name in OpenAPI; empty for a part of a custom resource.
    pub name: Name,
    /// The fields, sorted by name.
    pub fields: Vec<Field>,
    /// Whether it is owned and replaced as a whole wherever it stands.
    pub atomic: bool,
    /// Whether fields that are not named are kept.
    pub preserve_unknown: bool,
    /// What fields that are not named hold.
    pub rest: Option<NodeId>,
    /// Where its description is.
    pub description: u32,
}

impl Object {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self
            .fields
            .binary_search_by(|f| f.name.as_ref().cmp(name))
            .ok()?;
        self.fields.get(at)
    }
}

/// A field of an object type.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// What it holds.
    pub node: NodeId,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is left out.
    pub default: Option<Value>,
    /// How a strategic merge patch treats it.
    pub patch: PatchRule,
    /// Where its description is.
    pub description: u32,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PatchRule {
    /// Lists are merged, not replaced.
    pub merge: bool,
    /// The value is replaced, although it is an object.
    pub replace: bool,
    /// Fields that the patch does not name in `$retainKeys` go.
    pub retain_keys: bool,
    /// The field that items of a merged list are known by; none for lists of plain values.
    pub merge_key: Option<Name>,
}

/// A set of types.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    nodes: Vec<Node>,
    objects: Vec<Object>,
    names: HashMap<Name, NodeId>,
}

impl Schema {
    /// The types of all built-in kinds.
    #[must_use]
    pub fn builtin() -> &'static Self {
        builtin::schema()
    }

    /// The node of a type by its name in OpenAPI.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// An object type.
    #[must_use]
    pub fn object(&self, id: ObjectId) -> &Object {
        &self.objects[id.0 as usize]
    }

    /// The object type of a node, if it is one.
    #[must_use]
    pub fn object_of(&self, id: NodeId) -> Option<&Object> {
        match self.node(id).shape {
            Shape::Object(object) => Some(self.object(object)),
            _ => None,
        }
    }

    /// All object types, in order of their names for the built-in ones.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// What a field of this name holds; for maps, any name is a field.
    #[must_use]
    pub fn child(&self, id: NodeId, name: &str) -> Option<NodeId> {
        match &self.node(id).shape {
            Shape::Object(object) => {
                let object = self.object(*object);
                object.field(name).map(|f| f.node).or(object.rest)
            }
            Shape::Map(values) => Some(*values),
            Shape::Any => Some(id),
            _ => None,
        }
    }

    /// Whether a value of this node is owned and replaced as a whole.
    #[must_use]
    pub fn is_atomic(&self, id: NodeId) -> bool {
        let node = self.node(id);
        match &node.shape {
            Shape::Object(object) => node.atomic || self.object(*object).atomic,
            Shape::List(_, topology) => node.atomic || *topology == Topology::Atomic,
            _ => node.atomic,
        }
    }

    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(index(self.nodes.len() - 1))
    }

    pub(crate) fn add_object(&mut self, object: Object) -> ObjectId {
        self.objects.push(object);
        ObjectId(index(self.objects.len() - 1))
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
