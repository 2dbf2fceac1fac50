//! Whether a tree can be merged: known fields, values of the right shape, no duplicates.

use serde_json::Value;

use super::super::path;
use super::{Element, Kind, Path, Typed, list};
use crate::schema::{NodeId, Shape};

impl Typed<'_> {
    /// The first thing that is wrong with a tree.
    ///
    /// # Errors
    /// A field is unknown, a value is of the wrong shape, or an item is there twice.
    pub fn validate(self, value: &Value) -> Result<(), String> {
        self.check(self.root, value, &mut Vec::new())
    }

    fn check(self, node: NodeId, value: &Value, path: &mut Path) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let shape = &self.schema.node(node).shape;
        if let Some(expected) = wrong(shape, value) {
            return Err(format!(
                "{}: expected {expected}, got {value}",
                path::display(path)
            ));
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    path.push(Element::field(name));
                    match self.child(node, name) {
                        Some(child) => self.check(child, value, path)?,
                        None if self.keeps_unknown(node) => {}
                        None => {
                            let path = path::display(path);
                            return Err(format!("{path}: field not declared in schema"));
                        }
                    }
                    path.pop();
                }
                Ok(())
            }
            Value::Array(items) => self.check_items(node, items, path),
            _ => Ok(()),
        }
    }

    fn keeps_unknown(self, node: NodeId) -> bool {
        self.schema
            .object_of(node)
            .is_some_and(|object| object.preserve_unknown)
    }

    fn check_items(self, node: NodeId, items: &[Value], path: &mut Path) -> Result<(), String> {
        let Shape::List(of, _) = &self.schema.node(node).shape else {
            return Ok(());
        };
        let mut seen = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let mut element = Element::Index(i64::try_from(at).unwrap_or(i64::MAX));
            if let Kind::Items(of, topology) = self.kind(node, &Value::Null) {
                element = list::element(self, of, topology, item)
                    .map_err(|error| format!("{}: element {at}: {error}", path::display(path)))?;
                if seen.contains(&element) {
                    let path = path::display(path);
                    return Err(format!("{path}: duplicate entries for key {element}"));
                }
                seen.push(element.clone());
            }
            path.push(element);
            self.check(*of, item, path)?;
            path.pop();
        }
        Ok(())
    }
}

/// What a value should be, where it is not.
fn wrong(shape: &Shape, value: &Value) -> Option<&'static str> {
    let (fits, expected) = match shape {
        Shape::Any | Shape::Quantity => (true, ""),
        Shape::Bool => (value.is_boolean(), "boolean"),
        Shape::Int32 | Shape::Int64 | Shape::Number => {
            (value.is_number(), "numeric (int or float)")
        }
        Shape::Text | Shape::Bytes | Shape::Time | Shape::MicroTime => {
            (value.is_string(), "string")
        }
        Shape::IntOrString => (value.is_string() || value.is_number(), "string or number"),
        Shape::Object(_) | Shape::Map(_) => (value.is_object(), "map"),
        Shape::List(..) => (value.is_array(), "list"),
    };
    (!fits).then_some(expected)
}
