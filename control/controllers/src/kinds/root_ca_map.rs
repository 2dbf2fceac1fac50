//! The ConfigMaps that carry the cluster's CA. Other ConfigMaps are not watched.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Labels, Meta, kind};

/// The name of the ConfigMap in every namespace.
pub const NAME: &str = "kube-root-ca.crt";

/// A ConfigMap called [`NAME`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RootCaMap {
    /// `metadata`.
    pub metadata: Meta,
    /// `data`.
    pub data: Labels,
}

kind!(
    RootCaMap,
    Resource::fixed("", "v1", "configmaps", "ConfigMap", true),
    Vec::new(),
    "",
    "metadata.name=kube-root-ca.crt"
);
