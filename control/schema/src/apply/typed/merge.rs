//! Two trees become one: what the new one says counts, and what it does not say stays.

use serde_json::{Map, Value};

use super::{Element, Kind, Typed, list};
use crate::schema::{NodeId, Topology};

impl Typed<'_> {
    /// Merges a new tree into an old one.
    #[must_use]
    pub fn merge(self, old: &Value, new: &Value) -> Value {
        self.merged(self.root, old, new)
    }

    fn merged(self, node: NodeId, old: &Value, new: &Value) -> Value {
        let (kind, before) = (self.kind(node, new), self.kind(node, old));
        match (kind, old, new) {
            (kind, ..) if kind != before => new.clone(),
            (Kind::Fields(_), Value::Object(_), Value::Null)
            | (Kind::Items(..), Value::Array(_), Value::Null) => old.clone(),
            (Kind::Fields(_), Value::Object(old), Value::Object(new)) => {
                Value::Object(self.fields(node, old, new))
            }
            (Kind::Items(items, topology), Value::Array(old), Value::Array(new)) => {
                Value::Array(self.items(items, topology, old, new))
            }
            _ => new.clone(),
        }
    }

    fn fields(
        self,
        node: NodeId,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut merged = old.clone();
        for (name, value) in new {
            let value = match (old.get(name), self.child(node, name)) {
                (Some(old), Some(child)) => self.merged(child, old, value),
                _ => value.clone(),
            };
            merged.insert(name.clone(), value);
        }
        merged
    }

    /// Merges lists item by item. Items of the new list keep its order; items that only the old
    /// one has stay where they were between those that both have.
    fn items(
        self,
        items: NodeId,
        topology: &Topology,
        old_list: &[Value],
        new_list: &[Value],
    ) -> Vec<Value> {
        let old = list::index(self, items, topology, old_list);
        let new = list::index(self, items, topology, new_list);
        let elements: Vec<Element> = old_list
            .iter()
            .filter_map(|item| list::element(self, items, topology, item).ok())
            .collect();
        let known = |element: &Element| new.values.contains_key(element);
        let mut merged = Vec::new();
        let mut shared = new
            .order
            .iter()
            .filter(|e| old.values.contains_key(*e))
            .peekable();
        let (mut left, mut right) = (0, 0);
        let mut done: Vec<&Element> = Vec::new();
        while left < elements.len() || right < new.order.len() {
            if let (Some(l), Some(r)) = (elements.get(left), new.order.get(right))
                && l != r
                && known(l)
                && shared.peek().is_some_and(|next| *next != l)
            {
                // It comes later, where the new list has it.
                left += 1;
                continue;
            }
            if let Some(l) = elements.get(left)
                && new.order.get(right) != Some(l)
            {
                if !known(l) {
                    merged.push(old_list[left].clone());
                    left += 1;
                    continue;
                }
                if done.contains(&l) {
                    left += 1;
                }
            }
            if let Some(r) = new.order.get(right) {
                if elements.get(left) == Some(r) {
                    left += 1;
                }
                merged.push(self.item(items, old.values.get(r), &new.values[r]));
                done.push(r);
                right += 1;
                shared.next_if_eq(&r);
            }
        }
        merged
    }

    fn item(self, items: NodeId, old: Option<&Vec<&Value>>, new: &[&Value]) -> Value {
        let new = new.first().copied().unwrap_or(&Value::Null);
        match old.map(Vec::as_slice) {
            Some([old]) => self.merged(items, old, new),
            _ => new.clone(),
        }
    }
}
