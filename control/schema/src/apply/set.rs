//! A set of paths, as a tree: what is a member at each level, and what lies below.

use std::collections::{BTreeMap, BTreeSet};

use super::path::{Element, Path};
use crate::schema::{NodeId, Schema, Shape};

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub(super) members: BTreeSet<Element>,
    pub(super) children: BTreeMap<Element, Set>,
}

impl Set {
    /// The set of these paths of field names.
    #[must_use]
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(
                &path
                    .iter()
                    .map(|name| Element::field(name))
                    .collect::<Vec<_>>(),
            );
        }
        set
    }

    /// Adds a path; the empty path is no member of any set.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the path is a member.
    #[must_use]
    pub fn has(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self
                .children
                .get(first)
                .is_some_and(|below| below.has(rest)),
        }
    }

    /// Whether there is no path in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// What lies below an element.
    pub(super) fn below(&self, element: &Element) -> Option<&Self> {
        self.children.get(element).filter(|set| !set.is_empty())
    }

    /// The paths of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (element, set) in &other.children {
            let below = union.children.entry(element.clone()).or_default();
            *below = below.union(set);
        }
        union
    }

    /// The paths of both, made of them.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        self.members.extend(other.members);
        for (element, set) in other.children {
            let below = self.children.entry(element).or_default();
            *below = std::mem::take(below).joined(set);
        }
        self
    }

    /// The paths that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let below = |(element, set): (&Element, &Self)| {
            let below = set.intersection(other.children.get(element)?);
            (!below.is_empty()).then(|| (element.clone(), below))
        };
        Self {
            members: self.members.intersection(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(below).collect(),
        }
    }

    /// The paths that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.minus(other, false)
    }

    /// The paths that are not in the other, nor below one that is.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.minus(other, true)
    }

    fn minus(&self, other: &Self, recursive: bool) -> Self {
        let below = |(element, set): (&Element, &Self)| {
            if recursive && other.members.contains(element) {
                return None;
            }
            let below = match other.children.get(element) {
                Some(other) => set.minus(other, recursive),
                None => set.clone(),
            };
            (!below.is_empty()).then(|| (element.clone(), below))
        };
        Self {
            members: self.members.difference(&other.members).cloned().collect(),
            children: self.children.iter().filter_map(below).collect(),
        }
    }

    /// The paths, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Path, paths: &mut Vec<Path>) {
        for element in &self.members {
            prefix.push(element.clone());
            paths.push(prefix.clone());
            prefix.pop();
        }
        for (element, below) in &self.children {
            prefix.push(element.clone());
            below.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// The set with every named field that something lies below as a member.
    pub(super) fn with_parents(&self, schema: &Schema, node: Option<NodeId>) -> Self {
        let mut members = self.members.clone();
        let object = node.and_then(|node| schema.object_of(node));
        for element in self.children.keys() {
            if let (Element::Field(name), Some(object)) = (element, object)
                && object.field(name).is_some()
            {
                members.insert(element.clone());
            }
        }
        let below = |(element, set): (&Element, &Self)| {
            let child = node.and_then(|node| step(schema, node, element));
            (element.clone(), set.with_parents(schema, child))
        };
        Self {
            members,
            children: self.children.iter().map(below).collect(),
        }
    }
}

/// The node that an element of a path leads to.
fn step(schema: &Schema, node: NodeId, element: &Element) -> Option<NodeId> {
    match (element, &schema.node(node).shape) {
        (Element::Field(name), _) => schema.child(node, name),
        (Element::Key(_), Shape::List(items, _)) => Some(*items),
        _ => None,
    }
}
