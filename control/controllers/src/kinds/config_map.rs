//! ConfigMaps: those few that controllers keep or sign. Others are not watched.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Labels, Meta, Scope, kind};

/// The name of the ConfigMap with the cluster's CA, in every namespace.
pub const ROOT_CA_NAME: &str = "kube-root-ca.crt";

/// The ConfigMaps that carry the cluster's CA.
pub const ROOT_CA: Scope = Scope {
    namespace: "",
    fields: "metadata.name=kube-root-ca.crt",
};

/// The ConfigMap by which who joins finds the cluster.
pub const CLUSTER_INFO: Scope = Scope {
    namespace: "kube-public",
    fields: "metadata.name=cluster-info",
};

/// A ConfigMap.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// `metadata`.
    pub metadata: Meta,
    /// `data`.
    pub data: Labels,
}

kind!(
    ConfigMap,
    Resource::fixed("", "v1", "configmaps", "ConfigMap", true)
);
