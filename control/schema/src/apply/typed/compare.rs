//! How two trees of one type differ.

use serde_json::{Map, Value};

use super::list::{self, Index};
use super::{Element, Kind, Path, Set, Typed};
use crate::schema::{NodeId, Topology};

/// The fields in which a new tree differs from an old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Fields that only the old one has.
    pub removed: Set,
    /// Fields with other values.
    pub modified: Set,
    /// Fields that only the new one has.
    pub added: Set,
}

impl Comparison {
    /// Whether the trees say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// The comparison without some fields and what lies below them.
    #[must_use]
    pub fn without(&self, fields: &Set) -> Self {
        Self {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }
}

type Pair<'v> = (Option<&'v Value>, Option<&'v Value>);

impl Typed<'_> {
    /// Compares an old tree with a new one.
    #[must_use]
    pub fn compare(self, old: &Value, new: &Value) -> Comparison {
        let mut comparison = Comparison::default();
        let mut walk = Walk {
            typed: self,
            path: Vec::new(),
            out: &mut comparison,
        };
        walk.values(self.root, (Some(old), Some(new)));
        comparison
    }
}

struct Walk<'a, 'o> {
    typed: Typed<'a>,
    path: Path,
    out: &'o mut Comparison,
}

impl Walk<'_, '_> {
    fn values(&mut self, node: NodeId, pair: Pair<'_>) {
        let kinds = (
            pair.0.map(|value| self.typed.kind(node, value)),
            pair.1.map(|value| self.typed.kind(node, value)),
        );
        let leaf = match kinds {
            (None, None) => return,
            (Some(old), Some(new)) if old != new => {
                // What was looked at in parts is gone in parts, and the rest as a whole.
                self.by_kind(node, &old, pair);
                self.by_kind(node, &new, pair)
            }
            (_, Some(kind)) | (Some(kind), None) => self.by_kind(node, &kind, pair),
        };
        if leaf {
            return;
        }
        match pair {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            _ => {}
        }
    }

    /// Compares values that are treated alike; answers whether that was as a whole.
    fn by_kind(&mut self, node: NodeId, kind: &Kind<'_>, pair: Pair<'_>) -> bool {
        match kind {
            Kind::Leaf => self.leaf(pair),
            Kind::Fields(_) => {
                let (old, new) = (fields(pair.0), fields(pair.1));
                if old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty) {
                    return self.leaf(pair);
                }
                self.fields(node, old, new);
                false
            }
            Kind::Items(items, topology) => {
                let (old, new) = (items_of(pair.0), items_of(pair.1));
                if old.is_empty() && new.is_empty() {
                    return self.leaf(pair);
                }
                self.items(*items, topology, old, new);
                false
            }
        }
    }

    fn leaf(&mut self, pair: Pair<'_>) -> bool {
        match pair {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if old != new => self.out.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn fields(
        &mut self,
        node: NodeId,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
    ) {
        let all = old.into_iter().chain(new).flat_map(Map::keys);
        let mut names: Vec<&String> = all.collect();
        names.sort();
        names.dedup();
        for name in names {
            let pair = (old.and_then(|m| m.get(name)), new.and_then(|m| m.get(name)));
            // Most of an object stays as it is, and equal trees have nothing to tell.
            if pair.0 == pair.1 {
                continue;
            }
            let Some(child) = self.typed.child(node, name) else {
                continue;
            };
            self.path.push(Element::Field(name.clone()));
            self.values(child, pair);
            self.path.pop();
        }
    }

    fn items(&mut self, items: NodeId, topology: &Topology, old: &[Value], new: &[Value]) {
        let old = list::index(self.typed, items, topology, old);
        let new = list::index(self.typed, items, topology, new);
        let more = new.order.iter().filter(|e| !old.values.contains_key(*e));
        let all: Vec<_> = old.order.iter().chain(more).cloned().collect();
        for element in all {
            let (was, is) = (of(&old, &element), of(&new, &element));
            self.path.push(element);
            match (was, is) {
                ([], [item]) => self.values(items, (None, Some(item))),
                ([item], []) => self.values(items, (Some(item), None)),
                ([was], [is]) => self.values(items, (Some(was), Some(is))),
                // Duplicates are compared together.
                ([], _) => self.out.added.insert(&self.path),
                (_, []) => self.out.removed.insert(&self.path),
                (was, is) if was != is => self.out.modified.insert(&self.path),
                _ => {}
            }
            self.path.pop();
        }
    }
}

fn of<'i, 'v>(index: &'i Index<'v>, element: &Element) -> &'i [&'v Value] {
    index.values.get(element).map_or(&[], Vec::as_slice)
}

fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn items_of(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
