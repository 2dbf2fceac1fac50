//! The types of the built-in kinds, read from the table that the build made of k8s-openapi.
//!
//! Names are borrowed from the program itself. Nodes are interned: two lists of the same type
//! that merge alike are one node.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::facts::{self, Facts};
use super::{Field, Name, Node, NodeId, Object, ObjectId, PatchRule, Schema, Shape, Topology};

const TYPES: &str = include_str!(concat!(env!("OUT_DIR"), "/types.txt"));

pub(super) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Builder::new(TYPES, facts::read()).build(TYPES))
}

struct Builder {
    schema: Schema,
    /// The type whose fields are being read.
    owner: &'static str,
    interned: HashMap<(Shape, bool), NodeId>,
    objects: HashMap<&'static str, ObjectId>,
    facts: Facts,
}

impl Builder {
    fn new(types: &'static str, facts: Facts) -> Self {
        let names = types.lines().filter_map(|line| line.strip_prefix('@'));
        let objects = names
            .enumerate()
            .map(|(at, name)| (name, ObjectId(super::index(at))));
        let objects = objects.collect();
        Self {
            schema: Schema::default(),
            owner: "",
            interned: HashMap::new(),
            objects,
            facts,
        }
    }

    fn build(mut self, types: &'static str) -> Schema {
        for (at, line) in types.lines().enumerate() {
            let description = super::index(at);
            match line.strip_prefix('@') {
                Some(name) => self.begin(name, description),
                None => self.field(line, description),
            }
        }
        self.schema.nodes.shrink_to_fit();
        self.schema.objects.shrink_to_fit();
        self.schema
    }

    fn begin(&mut self, name: &'static str, description: u32) {
        self.owner = name;
        let object = Object {
            name: Name::Borrowed(name),
            fields: Vec::new(),
            atomic: self.facts.atomic_types.contains(name),
            preserve_unknown: false,
            rest: None,
            description,
        };
        let id = self.schema.add_object(object);
        let node = self.intern(Shape::Object(id), false);
        self.schema.names.insert(Name::Borrowed(name), node);
    }

    fn field(&mut self, line: &'static str, description: u32) {
        let at = line.find([':', '!']).unwrap_or(line.len());
        let (name, shape) = line.split_at(at);
        let required = shape.starts_with('!');
        let fact = self
            .facts
            .fields
            .remove(&(self.owner, name))
            .unwrap_or_default();
        let node = self.shape(
            shape.get(1..).unwrap_or_default(),
            fact.topology,
            fact.atomic,
        );
        let field = Field {
            name: Name::Borrowed(name),
            node,
            required,
            default: fact.default,
            patch: fact.patch,
            description,
        };
        if let Some(object) = self.schema.objects.last_mut() {
            let at = object.fields.partition_point(|f| f.name < field.name);
            object.fields.insert(at, field);
        }
    }

    fn shape(&mut self, text: &'static str, topology: Topology, atomic: bool) -> NodeId {
        let rest = text.get(1..).unwrap_or_default();
        let shape = match text.as_bytes().first() {
            Some(b'[') => Shape::List(self.shape(rest, Topology::Atomic, false), topology),
            Some(b'{') => Shape::Map(self.shape(rest, Topology::Atomic, false)),
            Some(b'#') => match self.objects.get(rest) {
                Some(object) => Shape::Object(*object),
                None => Shape::Any,
            },
            Some(letter) => plain(*letter),
            None => Shape::Any,
        };
        self.intern(shape, atomic || text == "*")
    }

    fn intern(&mut self, shape: Shape, atomic: bool) -> NodeId {
        let schema = &mut self.schema;
        *self
            .interned
            .entry((shape, atomic))
            .or_insert_with_key(|(shape, atomic)| {
                schema.add(Node {
                    atomic: *atomic,
                    ..Node::of(shape.clone())
                })
            })
    }
}

fn plain(letter: u8) -> Shape {
    match letter {
        b'b' => Shape::Bool,
        b'i' => Shape::Int32,
        b'l' => Shape::Int64,
        b'n' => Shape::Number,
        b's' => Shape::Text,
        b'y' => Shape::Bytes,
        b't' => Shape::Time,
        b'u' => Shape::MicroTime,
        b'q' => Shape::Quantity,
        b'o' => Shape::IntOrString,
        _ => Shape::Any,
    }
}

/// What a field without facts is.
impl Default for facts::Fact {
    fn default() -> Self {
        Self {
            topology: Topology::Atomic,
            atomic: false,
            default: None,
            patch: PatchRule::default(),
        }
    }
}
