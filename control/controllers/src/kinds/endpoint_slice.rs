//! EndpointSlices, with every field that is written.

use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Meta, kind};

/// The index of slices by namespace and Service, as `namespace/name`.
pub const SERVICE: &str = "service";

/// The label that names a slice's Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Reads what Go writes as null when it is empty.
///
/// # Errors
/// It is neither null nor what is wanted.
pub fn null_is_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// An EndpointSlice (`discovery.k8s.io/v1`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    /// `metadata`.
    pub metadata: Meta,
    /// `addressType`: `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// `endpoints`.
    #[serde(deserialize_with = "null_is_default")]
    pub endpoints: Vec<Endpoint>,
    /// `ports`.
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<Port>,
}

kind!(
    EndpointSlice,
    Resource::fixed(
        "discovery.k8s.io",
        "v1",
        "endpointslices",
        "EndpointSlice",
        true
    ),
    vec![Index::new(SERVICE, |slice: &EndpointSlice, words| {
        if let Some(service) = slice.metadata.labels.get(SERVICE_NAME) {
            words.push(format!("{}/{service}", slice.metadata.namespace));
        }
    })]
);

/// Somebody who serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    /// `addresses`, of one pod.
    #[serde(deserialize_with = "null_is_default")]
    pub addresses: Vec<String>,
    /// `conditions`.
    pub conditions: Conditions,
    /// `hostname`, where the pod has a DNS name of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `targetRef`: the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// `nodeName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// `zone` of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// `hints`: who should use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hints: Option<Hints>,
}

/// What state an endpoint is in. Absent means unknown, to be read as ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Conditions {
    /// New connections are welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// It answers, be it ending or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// It is ending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

/// The object behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// `kind`.
    pub kind: String,
    /// `namespace`.
    pub namespace: String,
    /// `name`.
    pub name: String,
    /// `uid`.
    pub uid: String,
}

/// Who should use an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Hints {
    /// `forZones`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub for_zones: Vec<Hint>,
    /// `forNodes`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub for_nodes: Vec<Hint>,
}

/// A zone or a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Hint {
    /// Its name.
    pub name: String,
}

impl Hint {
    /// A list of one.
    #[must_use]
    pub fn only(name: &str) -> Vec<Self> {
        vec![Self {
            name: name.to_owned(),
        }]
    }
}

/// A port that all endpoints of a slice serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// `name`; empty for the only port of a Service.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// `port`; absent means any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// `protocol`.
    pub protocol: String,
    /// `appProtocol`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}
