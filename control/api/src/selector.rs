//! Selectors: which labels match, for objects and for nodes; and which taints are tolerated.
//!
//! Decides matches of values that have been validated. What cannot be read matches nothing.

mod parse;

use std::collections::{BTreeMap, BTreeSet};

use crate::core::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};
use crate::meta::LabelSelector;

pub use parse::SelectorError;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// How a label is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of these.
    In(BTreeSet<String>),
    /// The value is none of these, or the label is absent.
    NotIn(BTreeSet<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The value is a whole number greater than this.
    GreaterThan(i64),
    /// The value is a whole number less than this.
    LessThan(i64),
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
}

/// Conditions that must all hold. No condition matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The conditions.
    pub requirements: Vec<Requirement>,
}

impl Requirement {
    /// Whether the labels satisfy this.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.holds_for(labels.get(&self.key).map(String::as_str))
    }

    /// Whether the label's value, if there is one, satisfies this.
    #[must_use]
    pub fn holds_for(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.operator {
            Operator::In(set) => value.is_some_and(|v| set.contains(v)),
            Operator::NotIn(set) => value.is_none_or(|v| !set.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => number().is_some_and(|n| n > *bound),
            Operator::LessThan(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

impl Selector {
    /// Reads a selector as written in URLs and flags: `a=b,c!=d,e in (x,y),f,!g,h>1`.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::parse(text)
    }

    /// Whether the labels satisfy every condition.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether labels that are kept in another form satisfy every condition: `value` looks one up.
    #[must_use]
    pub fn matches_by<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| r.holds_for(value(&r.key)))
    }

    /// The selector of an object's field. `None` when an operator is unknown or its values do not
    /// fit it; such a selector matches nothing.
    #[must_use]
    pub fn of_object(selector: &LabelSelector) -> Option<Self> {
        let labels = selector.match_labels.iter().flatten().map(|(key, value)| {
            Some(Requirement {
                key: key.clone(),
                operator: Operator::In(BTreeSet::from([value.clone()])),
            })
        });
        let expressions = selector.match_expressions.iter().flatten().map(|e| {
            let values = e.values.clone().unwrap_or_default();
            requirement(&e.key, &e.operator, values)
        });
        let requirements = labels.chain(expressions).collect::<Option<_>>()?;
        Some(Self { requirements })
    }
}

fn requirement(key: &str, operator: &str, values: Vec<String>) -> Option<Requirement> {
    let bound = |values: &[String]| match values {
        [value] => value.parse().ok(),
        _ => None,
    };
    let set = !values.is_empty();
    let operator = match operator {
        "In" if set => Operator::In(values.into_iter().collect()),
        "NotIn" if set => Operator::NotIn(values.into_iter().collect()),
        "Exists" if !set => Operator::Exists,
        "DoesNotExist" if !set => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan(bound(&values)?),
        "Lt" => Operator::LessThan(bound(&values)?),
        _ => return None,
    };
    Some(Requirement {
        key: key.to_owned(),
        operator,
    })
}

/// Whether a node satisfies one of the terms. A term without conditions matches no node.
#[must_use]
pub fn node_matches(selector: &NodeSelector, node_name: &str, labels: &Labels) -> bool {
    let fields = Labels::from([("metadata.name".to_owned(), node_name.to_owned())]);
    selector
        .node_selector_terms
        .iter()
        .any(|term| term_matches(term, &fields, labels))
}

fn term_matches(term: &NodeSelectorTerm, fields: &Labels, labels: &Labels) -> bool {
    let count = |list: &Option<Vec<NodeSelectorRequirement>>| list.as_ref().map_or(0, Vec::len);
    if count(&term.match_expressions) + count(&term.match_fields) == 0 {
        return false;
    }
    let holds = |list: &Option<Vec<NodeSelectorRequirement>>, labels: &Labels| {
        list.iter().flatten().all(|r| {
            let values = r.values.clone().unwrap_or_default();
            requirement(&r.key, &r.operator, values).is_some_and(|r| r.matches(labels))
        })
    };
    holds(&term.match_expressions, labels) && holds(&term.match_fields, fields)
}

/// Whether a toleration covers a taint.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "" | "Equal" => text(&toleration.value) == text(&taint.value),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
