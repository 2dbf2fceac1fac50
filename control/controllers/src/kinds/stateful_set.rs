//! StatefulSets, and the claims that they make.

use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::daemon_set::UpdateStrategy;
use super::{Condition, Meta, NAMESPACE, Template, kind};

/// A StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: StatefulSetSpec,
    /// `status`.
    pub status: StatefulSetStatus,
}

kind!(
    StatefulSet,
    Resource::fixed("apps", "v1", "statefulsets", "StatefulSet", true),
    vec![Index::new(NAMESPACE, |set: &StatefulSet, words| {
        words.push(set.metadata.namespace.to_string());
    })]
);

/// `spec` of a StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetSpec {
    /// How many pods there should be.
    pub replicas: Option<i32>,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// What pods are made from.
    pub template: Template,
    /// The claims that each pod gets.
    pub volume_claim_templates: Vec<Template>,
    /// The Service below which pods are known.
    pub service_name: Box<str>,
    /// `OrderedReady` or `Parallel`.
    pub pod_management_policy: Box<str>,
    /// How pods of an old template are replaced.
    pub update_strategy: UpdateStrategy,
    /// How many old templates are kept.
    pub revision_history_limit: Option<i32>,
    /// How long a pod is ready before it counts as available, in seconds.
    pub min_ready_seconds: i32,
    /// What becomes of claims.
    pub persistent_volume_claim_retention_policy: Option<Retention>,
    /// Where ordinals start.
    pub ordinals: Option<Ordinals>,
}

/// `spec.persistentVolumeClaimRetentionPolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Retention {
    /// `Retain` or `Delete`: when the set is removed.
    pub when_deleted: Box<str>,
    /// `Retain` or `Delete`: when a pod is no longer wanted.
    pub when_scaled: Box<str>,
}

/// `spec.ordinals`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ordinals {
    /// The first.
    pub start: i32,
}

/// `status` of a StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// All pods.
    pub replicas: i32,
    /// Those that are ready.
    pub ready_replicas: i32,
    /// Those of the current revision.
    pub current_replicas: i32,
    /// Those of the revision to come.
    pub updated_replicas: i32,
    /// Those that were ready for long enough.
    pub available_replicas: i32,
    /// The revision that pods had before the update that goes on.
    pub current_revision: Box<str>,
    /// The revision of the template.
    pub update_revision: Box<str>,
    /// How often a hash was taken by another template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

impl StatefulSet {
    /// How many pods there should be.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// The first ordinal.
    #[must_use]
    pub fn start(&self) -> i32 {
        self.spec
            .ordinals
            .as_ref()
            .map_or(0, |ordinals| ordinals.start)
    }

    /// The ordinal from which on pods are updated.
    #[must_use]
    pub fn partition(&self) -> i32 {
        let update = self.spec.update_strategy.rolling_update.as_ref();
        update.and_then(|update| update.partition).unwrap_or(0)
    }
}
