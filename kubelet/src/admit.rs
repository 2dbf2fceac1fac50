//! Admission of a pod to this node, in upstream's words.
//!
//! Pure. Decides once per pod, when its source first wants it: taken, refused for good with the
//! reason that its status will show, or not yet. It knows the node as values only.

mod fit;
mod preempt;
mod pressure;
pub mod resize;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use keelson_api::core::{Pod, Taint};
use keelson_api::resources::Amounts;
use keelson_api::selector::{Labels, node_matches, tolerates};

use crate::evict::Condition;

/// What the node is and can do.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// What pods may use together, `pods` included.
    pub allocatable: Amounts,
    /// The node's labels, `kubernetes.io/os` among them.
    pub labels: Labels,
    /// The node's taints.
    pub taints: Vec<Taint>,
    /// Whether the kernel has AppArmor enabled.
    pub app_armor: bool,
    /// `allowedUnsafeSysctls`: names, or prefixes ending in `*`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// The conditions that pressure on the node gives it.
    pub conditions: BTreeSet<Condition>,
    /// Extended resources whose provider has been here before but has not come back yet, by name
    /// with what is waited for. Pods that ask for them are put off instead of refused.
    pub awaited: BTreeMap<String, String>,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Admit,
    /// It may run once these pods, by index into those admitted, are ended.
    Preempt {
        /// Which admitted pods must end, by index.
        victims: Vec<usize>,
    },
    /// It fails, for good.
    Reject {
        /// `status.reason`.
        reason: String,
        /// `status.message`.
        message: String,
    },
    /// It waits: what it needs is expected to come.
    NotYet {
        /// What is waited for.
        message: String,
    },
}

/// A verdict that is not admission, for the checks below.
fn reject(reason: impl Into<String>, message: impl Into<String>) -> Verdict {
    Verdict::Reject {
        reason: reason.into(),
        message: message.into(),
    }
}

/// Judges one pod, beside those that were admitted and have not ended.
#[must_use]
pub fn admit(pod: &Pod, node: &NodeFacts, admitted: &[&Pod]) -> Verdict {
    let checks: [fn(&Pod, &NodeFacts) -> Option<Verdict>; 6] = [
        pressure::check,
        operating_system,
        security::check,
        selectors,
        taints,
        awaited,
    ];
    for check in checks {
        if let Some(verdict) = check(pod, node) {
            return verdict;
        }
    }
    let ports = fit::taken_ports(pod, admitted);
    let short = fit::shortages(pod, node, admitted);
    if ports.is_empty() && short.is_empty() {
        return Verdict::Admit;
    }
    if ports.is_empty() && preempt::is_critical(pod) {
        return preempt::verdict(pod, node, admitted, &short);
    }
    fit::rejection(&ports, &short)
}

/// Whether the node must not end a pod to help itself: those from its manifests, and those of
/// system priority.
#[must_use]
pub fn is_critical(pod: &Pod) -> bool {
    preempt::is_critical(pod)
}

/// Whether a pod comes from a manifest of this node.
fn is_static(pod: &Pod) -> bool {
    let source = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|a| a.get("kubernetes.io/config.source"));
    source.is_some_and(|source| source != "api")
}

fn operating_system(pod: &Pod, _: &NodeFacts) -> Option<Verdict> {
    let spec = pod.spec.as_ref()?;
    if let Some(os) = spec.os.as_ref().filter(|os| os.name != "linux") {
        let message = format!(
            "Failed to admit pod as its OS {:?} doesn't match node OS \"linux\"",
            os.name
        );
        return Some(reject("PodOSNotSupported", message));
    }
    let label = spec.node_selector.as_ref()?.get("kubernetes.io/os")?;
    (label != "linux").then(|| {
        let message =
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label";
        reject("PodOSSelectorNodeLabelDoesNotMatch", message)
    })
}

/// Selectors and node affinity, which the scheduler heeds but a manifest may break.
fn selectors(pod: &Pod, node: &NodeFacts) -> Option<Verdict> {
    let spec = pod.spec.as_ref()?;
    let wanted = spec.node_selector.iter().flatten();
    let labels = wanted
        .clone()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    let affinity = required.is_none_or(|s| node_matches(s, &node.name, &node.labels));
    (!labels || !affinity).then(|| {
        reject(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )
    })
}

/// `NoExecute` taints keep out pods that do not tolerate them; static pods come in regardless.
fn taints(pod: &Pod, node: &NodeFacts) -> Option<Verdict> {
    if is_static(pod) {
        return None;
    }
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_ref());
    let tolerated = |taint: &Taint| {
        tolerations
            .into_iter()
            .flatten()
            .any(|t| tolerates(t, taint))
    };
    let taint = node
        .taints
        .iter()
        .find(|t| t.effect == "NoExecute" && !tolerated(t))?;
    let value = taint.value.clone().unwrap_or_default();
    let message = format!(
        "Predicate TaintToleration failed: node(s) had untolerated taint {{{}: {value}}}",
        taint.key
    );
    Some(reject("TaintToleration", message))
}

/// Extended resources whose provider is on its way.
fn awaited(pod: &Pod, node: &NodeFacts) -> Option<Verdict> {
    let requested = keelson_api::resources::pod_requests(pod);
    let (name, what) = node
        .awaited
        .iter()
        .find(|(name, _)| requested.contains_key(*name))?;
    Some(Verdict::NotYet {
        message: format!("the pod asks for {name}: waiting for {what}"),
    })
}

#[cfg(test)]
mod tests;
