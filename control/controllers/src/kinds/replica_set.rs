//! ReplicaSets and ReplicationControllers.

use keelson_api::meta::LabelSelector;
use keelson_api::selector::Selector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::template::Template;
use super::{Condition, Kind, Labels, Meta, NAMESPACE, kind};

/// A ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ReplicaSetSpec,
    /// `status`.
    pub status: ReplicaStatus,
}

kind!(
    ReplicaSet,
    Resource::fixed("apps", "v1", "replicasets", "ReplicaSet", true),
    vec![Index::new(NAMESPACE, |set: &ReplicaSet, words| {
        words.push(set.metadata.namespace.to_string());
    })]
);

/// `spec` of a ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSetSpec {
    /// How many pods there should be.
    pub replicas: Option<i32>,
    /// How long a pod is ready before it counts as available, in seconds.
    pub min_ready_seconds: i32,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// What pods are made from.
    pub template: Template,
}

/// `status` of a ReplicaSet or a ReplicationController.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Its pods.
    pub replicas: i32,
    /// Those with all labels of the template.
    pub fully_labeled_replicas: i32,
    /// Those that are ready.
    pub ready_replicas: i32,
    /// Those that were ready for long enough.
    pub available_replicas: i32,
    /// Those that are about to be gone. Not kept by ReplicationControllers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating_replicas: Option<i32>,
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// A ReplicationController.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicationController {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ReplicationControllerSpec,
    /// `status`.
    pub status: ReplicaStatus,
}

kind!(
    ReplicationController,
    Resource::fixed(
        "",
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        true
    ),
    vec![Index::new(
        NAMESPACE,
        |set: &ReplicationController, words| {
            words.push(set.metadata.namespace.to_string());
        }
    )]
);

/// `spec` of a ReplicationController.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicationControllerSpec {
    /// How many pods there should be.
    pub replicas: Option<i32>,
    /// How long a pod is ready before it counts as available, in seconds.
    pub min_ready_seconds: i32,
    /// Labels of the pods that are its own.
    pub selector: Labels,
    /// What pods are made from.
    pub template: Template,
}

/// What keeps a number of equal pods.
pub trait Replicated: Kind {
    /// Whether its status counts pods that are about to be gone.
    const HAS_TERMINATING: bool;
    /// How many pods there should be.
    fn replicas(&self) -> i32;
    /// How long a pod is ready before it counts as available, in seconds.
    fn min_ready_seconds(&self) -> i32;
    /// Which pods are its own; `None` where that cannot be said.
    fn selector(&self) -> Option<Selector>;
    /// What pods are made from.
    fn template(&self) -> &Template;
    /// What was last told.
    fn status(&self) -> &ReplicaStatus;
}

impl Replicated for ReplicaSet {
    const HAS_TERMINATING: bool = true;

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.min_ready_seconds
    }

    fn selector(&self) -> Option<Selector> {
        some_labels(&self.spec.selector)
    }

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn status(&self) -> &ReplicaStatus {
        &self.status
    }
}

impl Replicated for ReplicationController {
    const HAS_TERMINATING: bool = false;

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn min_ready_seconds(&self) -> i32 {
        self.spec.min_ready_seconds
    }

    fn selector(&self) -> Option<Selector> {
        some_labels(&LabelSelector {
            match_labels: Some(self.spec.selector.clone()),
            match_expressions: None,
        })
    }

    fn template(&self) -> &Template {
        &self.spec.template
    }

    fn status(&self) -> &ReplicaStatus {
        &self.status
    }
}

/// The selector, unless it is empty or makes no sense: such a one selects nothing here.
#[must_use]
pub fn some_labels(selector: &LabelSelector) -> Option<Selector> {
    Selector::of_object(selector).filter(|selector| !selector.requirements.is_empty())
}
