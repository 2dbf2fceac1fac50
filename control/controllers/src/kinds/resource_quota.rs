//! Quotas: what a namespace may use in all.

use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Labels, Meta, NAMESPACE, kind};

/// A ResourceQuota.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceQuota {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: QuotaSpec,
    /// `status`.
    pub status: QuotaStatus,
}

kind!(
    ResourceQuota,
    Resource::fixed("", "v1", "resourcequotas", "ResourceQuota", true),
    vec![Index::new(NAMESPACE, |quota: &ResourceQuota, words| {
        words.push(quota.metadata.namespace.to_string());
    })]
);

/// `spec` of a quota, as far as it tells what is counted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct QuotaSpec {
    /// How much there may be of what.
    pub hard: Labels,
}

/// `status` of a quota.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct QuotaStatus {
    /// What was enforced when it was last counted.
    pub hard: Labels,
    /// How much there is.
    pub used: Labels,
}
