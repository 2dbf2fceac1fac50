//! Affinity, selectors, tolerations and spread constraints.

use serde::Deserialize;

use super::null_is_default;
use crate::intern::Word;
use crate::model::pod::Otherwise;
use crate::model::taint::Compare;
use crate::model::{
    Effect, Labels, NodeTerm, PodTerm, Requirement, Selector, Spread, Test, Toleration,
};

/// A label selector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    #[serde(deserialize_with = "super::labels")]
    match_labels: Labels,
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: Word,
    operator: String,
    #[serde(deserialize_with = "null_is_default")]
    values: Vec<Word>,
}

impl Expression {
    fn requirement(self) -> Requirement {
        Requirement::new(self.key, &self.operator, self.values)
    }
}

/// An absent selector selects nothing.
#[must_use]
pub fn selector(selector: Option<LabelSelector>) -> Selector {
    let Some(selector) = selector else {
        return Selector::Nothing;
    };
    let labels = selector.match_labels.pairs().iter().cloned();
    let labels = labels.map(|(key, value)| Requirement::equal(key, value));
    let expressions = selector.match_expressions.into_iter();
    Selector::All(
        labels
            .chain(expressions.map(Expression::requirement))
            .collect(),
    )
}

/// Reads a label selector.
pub(crate) fn read_selector<'de, D>(from: D) -> Result<Selector, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Option::deserialize(from).map(selector)
}

/// A term of a node selector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelectorTerm {
    #[serde(deserialize_with = "null_is_default")]
    match_expressions: Vec<Expression>,
    #[serde(deserialize_with = "null_is_default")]
    match_fields: Vec<Expression>,
}

impl NodeSelectorTerm {
    /// As scheduling sees it. The only field there is is the node's name.
    #[must_use]
    pub fn term(self) -> NodeTerm {
        let labels = self.match_expressions.into_iter();
        let names = self.match_fields.into_iter();
        NodeTerm {
            labels: labels.map(Expression::requirement).collect(),
            names: names
                .map(|field| match field.key.text() {
                    "metadata.name" => field.requirement().test,
                    _ => Test::Never,
                })
                .collect(),
        }
    }
}

/// A node selector.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSelector {
    #[serde(deserialize_with = "null_is_default")]
    node_selector_terms: Vec<NodeSelectorTerm>,
}

impl NodeSelector {
    /// Its terms.
    #[must_use]
    pub fn terms(self) -> Vec<NodeTerm> {
        let terms = self.node_selector_terms.into_iter();
        terms.map(NodeSelectorTerm::term).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PreferredNode {
    weight: i32,
    preference: NodeSelectorTerm,
}

/// Node affinity.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(
        rename = "preferredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "null_is_default"
    )]
    preferred: Vec<PreferredNode>,
}

impl NodeAffinity {
    /// Required terms, and preferred ones with weights. Preferred terms without requirements and
    /// without weight count for nothing.
    #[must_use]
    pub fn terms(self) -> (Option<Vec<NodeTerm>>, Vec<(i32, NodeTerm)>) {
        let preferred = self.preferred.into_iter();
        let preferred = preferred.filter(|term| term.weight != 0);
        (
            self.required.map(NodeSelector::terms),
            preferred
                .map(|term| (term.weight, term.preference.term()))
                .collect(),
        )
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodAffinityTerm {
    label_selector: Option<LabelSelector>,
    #[serde(deserialize_with = "null_is_default")]
    namespaces: Vec<Word>,
    namespace_selector: Option<LabelSelector>,
    topology_key: Word,
    #[serde(deserialize_with = "null_is_default")]
    match_label_keys: Vec<Word>,
    #[serde(deserialize_with = "null_is_default")]
    mismatch_label_keys: Vec<Word>,
}

impl PodAffinityTerm {
    fn term(self, namespace: &Word, labels: &Labels) -> PodTerm {
        let mut namespaces = self.namespaces;
        if namespaces.is_empty() && self.namespace_selector.is_none() {
            namespaces.push(namespace.clone());
        }
        let mut selector = selector(self.label_selector);
        for key in self.match_label_keys {
            if let Some(value) = labels.value(&key) {
                selector.require(Requirement::equal(key, value.clone()));
            }
        }
        for key in self.mismatch_label_keys {
            if let Some(value) = labels.value(&key) {
                let test = Test::NotIn(vec![value.clone()]);
                selector.require(Requirement { key, test });
            }
        }
        PodTerm {
            topology: self.topology_key,
            selector,
            namespaces,
            namespace_selector: self::selector(self.namespace_selector),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PreferredPod {
    weight: i32,
    pod_affinity_term: PodAffinityTerm,
}

/// Pod affinity or anti-affinity.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    #[serde(
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "null_is_default"
    )]
    required: Vec<PodAffinityTerm>,
    #[serde(
        rename = "preferredDuringSchedulingIgnoredDuringExecution",
        deserialize_with = "null_is_default"
    )]
    preferred: Vec<PreferredPod>,
}

impl PodAffinity {
    /// Required terms, and preferred ones with weights, of a pod in this namespace with these
    /// labels.
    #[must_use]
    pub fn terms(self, namespace: &Word, labels: &Labels) -> (Vec<PodTerm>, Vec<(i32, PodTerm)>) {
        let required = self.required.into_iter();
        let preferred = self.preferred.into_iter();
        (
            required.map(|term| term.term(namespace, labels)).collect(),
            preferred
                .map(|term| (term.weight, term.pod_affinity_term.term(namespace, labels)))
                .collect(),
        )
    }
}

/// `spec.affinity`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: Option<NodeAffinity>,
    /// To pods.
    pub pod_affinity: Option<PodAffinity>,
    /// Against pods.
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// A toleration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TolerationObject {
    key: Word,
    operator: String,
    value: Word,
    effect: String,
}

impl TolerationObject {
    /// As scheduling sees it; `None` for an effect that there is not.
    #[must_use]
    pub fn toleration(self) -> Option<Toleration> {
        let effect = match self.effect.as_str() {
            "" => None,
            name => Some(Effect::of(name)?),
        };
        Some(Toleration {
            key: self.key,
            value: self.value,
            compare: match self.operator.as_str() {
                "" | "Equal" => Compare::Equal,
                "Exists" => Compare::Exists,
                _ => Compare::Never,
            },
            effect,
        })
    }
}

/// A topology spread constraint.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SpreadObject {
    max_skew: i32,
    topology_key: Word,
    when_unsatisfiable: String,
    label_selector: Option<LabelSelector>,
    min_domains: Option<i32>,
    node_affinity_policy: Option<String>,
    node_taints_policy: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    match_label_keys: Vec<Word>,
}

impl SpreadObject {
    /// As scheduling sees it, for a pod with these labels.
    #[must_use]
    pub fn spread(self, labels: &Labels) -> Spread {
        let mut selector = selector(self.label_selector);
        for key in self.match_label_keys {
            if let Some(value) = labels.value(&key) {
                selector.require(Requirement::equal(key, value.clone()));
            }
        }
        Spread {
            max_skew: self.max_skew,
            topology: self.topology_key,
            otherwise: match self.when_unsatisfiable.as_str() {
                "ScheduleAnyway" => Otherwise::Anyway,
                _ => Otherwise::Wait,
            },
            selector,
            min_domains: self.min_domains.unwrap_or(1),
            honour_affinity: self.node_affinity_policy.as_deref() != Some("Ignore"),
            honour_taints: self.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}
