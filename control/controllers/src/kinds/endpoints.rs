//! Endpoints, the older form of EndpointSlices, with every field that is written.

use keelson_client::Resource;
use serde::{Deserialize, Serialize};

use super::endpoint_slice::{Port, TargetRef};
use super::{Meta, kind};

/// An Endpoints object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// `metadata`.
    pub metadata: Meta,
    /// `subsets`.
    #[serde(deserialize_with = "super::endpoint_slice::null_is_default")]
    pub subsets: Vec<Subset>,
}

kind!(
    Endpoints,
    Resource::fixed("", "v1", "endpoints", "Endpoints", true)
);

/// Addresses that share their ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Those that are ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Those that aren't.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ready_addresses: Vec<Address>,
    /// The ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Address {
    /// `ip`.
    pub ip: String,
    /// `hostname`, where the pod has a DNS name of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// `nodeName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
}
