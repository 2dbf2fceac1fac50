//! Which nodes suit the pods of a DaemonSet.

use jiff::Timestamp;
use keelson_api::core::{NodeSelector, Taint, Toleration};
use keelson_api::selector::{Labels, node_matches, tolerates};
use serde::Deserialize;

use crate::kinds::pod::Affinity;
use crate::kinds::{Node, Pod, Template};

/// Whether a node gets a pod, and whether one that is there stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// It gets one.
    pub runs: bool,
    /// One that is there stays.
    pub stays: bool,
}

/// What a template says about nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodShape {
    node_name: String,
    node_selector: Labels,
    affinity: Affinity,
    tolerations: Vec<Toleration>,
    host_network: bool,
}

impl PodShape {
    /// Reads a template.
    #[must_use]
    pub fn of(template: &Template) -> Self {
        let spec = template.value()["spec"].take();
        let mut shape: Self = serde_json::from_value(spec).unwrap_or_default();
        let host_network = shape.host_network;
        shape.tolerations.extend(tolerations(host_network));
        shape
    }

    /// Whether a node suits.
    #[must_use]
    pub fn fit(&self, node: &Node) -> Fit {
        let name = &*node.metadata.name;
        let labels = &node.metadata.labels;
        let named = self.node_name.is_empty() || self.node_name == name;
        let chosen = self
            .node_selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        let required = self
            .required()
            .is_none_or(|terms| node_matches(terms, name, labels));
        if !named || !chosen || !required {
            return Fit {
                runs: false,
                stays: false,
            };
        }
        let open = |effects: &[&str]| {
            let mut taints = node.spec.taints.iter();
            !taints.any(|taint| effects.contains(&&*taint.effect) && !self.tolerates(taint))
        };
        Fit {
            runs: open(&["NoSchedule", "NoExecute"]),
            stays: open(&["NoExecute"]),
        }
    }

    fn required(&self) -> Option<&NodeSelector> {
        required(&self.affinity)
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations
            .iter()
            .any(|toleration| tolerates(toleration, taint))
    }
}

fn required(affinity: &Affinity) -> Option<&NodeSelector> {
    let towards = affinity.node_affinity.as_ref()?;
    towards
        .required_during_scheduling_ignored_during_execution
        .as_ref()
}

/// What daemon pods tolerate beyond what they say: they are there for nodes in trouble too.
pub fn tolerations(host_network: bool) -> impl Iterator<Item = Toleration> {
    const ALL: [(&str, &str); 7] = [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
        ("node.kubernetes.io/network-unavailable", "NoSchedule"),
    ];
    let count = if host_network { 7 } else { 6 };
    ALL.into_iter().take(count).map(|(key, effect)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..Toleration::default()
    })
}

/// The node that a pod is on or for.
#[must_use]
pub fn node_of(pod: &Pod) -> Option<&str> {
    if !pod.spec.node_name.is_empty() {
        return Some(&pod.spec.node_name);
    }
    let terms = &required(pod.spec.affinity.as_deref()?)?.node_selector_terms;
    let mut fields = terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten());
    let field = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
    field.values.as_ref()?.first().map(String::as_str)
}

/// Pods that are bound come first, then older ones.
#[must_use]
pub fn seniority(pod: &Pod) -> (bool, Option<Timestamp>, Box<str>) {
    let meta = &pod.metadata;
    (
        pod.spec.node_name.is_empty(),
        meta.creation_timestamp,
        meta.name.clone(),
    )
}
