//! DaemonSets.

use keelson_api::IntOrString;
use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::{Condition, Meta, NAMESPACE, Template, kind};

/// A DaemonSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: DaemonSetSpec,
    /// `status`.
    pub status: DaemonSetStatus,
}

kind!(
    DaemonSet,
    Resource::fixed("apps", "v1", "daemonsets", "DaemonSet", true),
    vec![Index::new(NAMESPACE, |set: &DaemonSet, words| {
        words.push(set.metadata.namespace.to_string());
    })]
);

/// `spec` of a DaemonSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetSpec {
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// What pods are made from.
    pub template: Template,
    /// How pods of an old template are replaced.
    pub update_strategy: UpdateStrategy,
    /// How long a pod is ready before it counts as available, in seconds.
    pub min_ready_seconds: i32,
    /// How many old templates are kept.
    pub revision_history_limit: Option<i32>,
}

/// `spec.updateStrategy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// `RollingUpdate` or `OnDelete`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// How much of a rolling update goes on at once.
    pub rolling_update: Option<RollingUpdate>,
}

/// `rollingUpdate` of a strategy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    /// On how many nodes the pod may be missing.
    pub max_unavailable: Option<IntOrString>,
    /// On how many nodes there may be an old and a new pod.
    pub max_surge: Option<IntOrString>,
    /// StatefulSets: the first ordinal that is updated.
    pub partition: Option<i32>,
}

/// `status` of a DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetStatus {
    /// Nodes that should have the pod and have it.
    pub current_number_scheduled: i32,
    /// Nodes that have it and should not.
    pub number_misscheduled: i32,
    /// Nodes that should have it.
    pub desired_number_scheduled: i32,
    /// Nodes whose pod is ready.
    pub number_ready: i32,
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Nodes whose pod is of the current template.
    pub updated_number_scheduled: i32,
    /// Nodes whose pod was ready for long enough.
    pub number_available: i32,
    /// Nodes whose pod was not.
    pub number_unavailable: i32,
    /// How often a hash was taken by another template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}
