//! Budgets for disruptions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keelson_api::IntOrString;
use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::{Condition, Meta, NAMESPACE, kind};

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DisruptionBudget {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: DisruptionBudgetSpec,
    /// `status`.
    pub status: DisruptionBudgetStatus,
}

kind!(
    DisruptionBudget,
    Resource::fixed(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        true
    ),
    vec![Index::new(NAMESPACE, |budget: &DisruptionBudget, words| {
        words.push(budget.metadata.namespace.to_string());
    })]
);

/// `spec` of a budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DisruptionBudgetSpec {
    /// How many pods, or which share, must stay.
    pub min_available: Option<IntOrString>,
    /// How many pods, or which share, may be missing.
    pub max_unavailable: Option<IntOrString>,
    /// Which pods.
    pub selector: Option<LabelSelector>,
}

/// `status` of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DisruptionBudgetStatus {
    /// The generation that this is about.
    pub observed_generation: i64,
    /// Pods whose eviction was granted, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disrupted_pods: BTreeMap<String, Timestamp>,
    /// How many more may be evicted now.
    pub disruptions_allowed: i32,
    /// How many pods are well.
    pub current_healthy: i32,
    /// How many must be.
    pub desired_healthy: i32,
    /// How many there should be.
    pub expected_pods: i32,
    /// `DisruptionAllowed`.
    pub conditions: Vec<Condition>,
}
