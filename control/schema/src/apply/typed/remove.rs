//! Taking fields out of a tree.

use serde_json::{Map, Value};

use super::{Element, Kind, Set, Typed, list};
use crate::schema::NodeId;

impl Typed<'_> {
    /// The tree without some fields; what is empty after that goes too.
    #[must_use]
    pub fn remove(self, value: &Value, gone: &Set) -> Value {
        self.rest(self.root, value, gone)
            .unwrap_or_else(|| Value::Object(Map::new()))
    }

    fn rest(self, node: NodeId, value: &Value, gone: &Set) -> Option<Value> {
        match (self.kind(node, value), value) {
            (Kind::Fields(_), Value::Object(fields)) => {
                let rest: Map<_, _> = fields
                    .iter()
                    .filter_map(|(name, value)| {
                        let element = Element::field(name);
                        self.kept(self.child(node, name), value, gone, &element)
                            .map(|value| (name.clone(), value))
                    })
                    .collect();
                (!rest.is_empty()).then_some(Value::Object(rest))
            }
            (Kind::Items(items, topology), Value::Array(list)) => {
                let rest: Vec<_> = list
                    .iter()
                    .filter_map(|item| match list::element(self, items, topology, item) {
                        Ok(element) => self.kept(Some(items), item, gone, &element),
                        Err(_) => Some(item.clone()),
                    })
                    .collect();
                (!rest.is_empty()).then_some(Value::Array(rest))
            }
            _ => Some(value.clone()),
        }
    }

    fn kept(
        self,
        node: Option<NodeId>,
        value: &Value,
        gone: &Set,
        element: &Element,
    ) -> Option<Value> {
        if gone.members.contains(element) {
            return None;
        }
        match (gone.below(element), node) {
            (Some(below), Some(node)) => {
                // A parent that loses all it has stays, as a null that decoding drops.
                Some(self.rest(node, value, below).unwrap_or(Value::Null))
            }
            _ => Some(value.clone()),
        }
    }
}
