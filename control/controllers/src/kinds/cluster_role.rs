//! ClusterRoles.

use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use serde::Deserialize;
use serde_json::Value;

use super::{Meta, kind};

/// A ClusterRole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterRole {
    /// `metadata`.
    pub metadata: Meta,
    /// Where its rules come from, if it has none of its own.
    pub aggregation_rule: Option<AggregationRule>,
    /// `rules`, which are passed on as they are.
    pub rules: Option<Vec<Value>>,
}

kind!(
    ClusterRole,
    Resource::fixed(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterroles",
        "ClusterRole",
        false
    )
);

/// `aggregationRule`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AggregationRule {
    /// The roles whose rules are gathered.
    pub cluster_role_selectors: Vec<LabelSelector>,
}
