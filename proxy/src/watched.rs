//! The objects that are kept of a watch: decoded straight into what a proxy uses of them.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use keelson_client::cache::Object;
use keelson_client::path::Resource;
use keelson_netlink::Cidr;
use serde::Deserialize;

use crate::dns::{Name, Named};
use crate::model::{EndpointSlice, Service, ServiceKey};
use crate::wire::{ServiceObject, SliceObject};

/// Services in the API.
pub const SERVICES: Resource = Resource::fixed("", "v1", "services", "Service", true);
/// EndpointSlices in the API.
pub const SLICES: Resource = Resource::fixed(
    "discovery.k8s.io",
    "v1",
    "endpointslices",
    "EndpointSlice",
    true,
);
/// Nodes in the API.
pub const NODES: Resource = Resource::fixed("", "v1", "nodes", "Node", false);

/// This process's node: what is local is settled when a slice is decoded, so that nobody has to
/// keep the names of nodes.
static HERE: OnceLock<Box<str>> = OnceLock::new();

/// Says which node this is, before the first slice is decoded. Later words are ignored.
pub fn set_node_name(name: &str) {
    let _ = HERE.set(name.into());
}

/// A Service of the API.
#[derive(Debug, Deserialize)]
#[serde(from = "ServiceObject")]
pub struct WatchedService {
    /// Namespace and name.
    pub key: ServiceKey,
    version: Box<str>,
    /// The Service, if it is a proxy's concern.
    pub service: Option<Arc<Service>>,
    /// What its name stands for.
    pub named: Option<Named>,
}

impl From<ServiceObject> for WatchedService {
    fn from(object: ServiceObject) -> Self {
        let whole = object.service().map(Arc::new);
        Self {
            key: object.key(),
            version: object.resource_version().into(),
            service: whole.clone().filter(|_| object.is_proxied()),
            named: match (object.external_name(), whole) {
                (Some(target), _) => Name::parse(target).map(Named::External),
                (None, Some(service)) => Some(Named::Cluster(service)),
                (None, None) => Some(Named::Headless),
            },
        }
    }
}

/// An EndpointSlice of the API.
#[derive(Debug, Deserialize)]
#[serde(from = "SliceObject")]
pub struct WatchedSlice {
    /// Namespace and name.
    pub key: ServiceKey,
    version: Box<str>,
    /// When that happened which its last change tells of.
    pub cause: Option<Timestamp>,
    /// The slice, if it is a proxy's concern.
    pub slice: Option<Arc<EndpointSlice>>,
    /// The slice, whoever serves its Service.
    pub whole: Option<Arc<EndpointSlice>>,
}

impl From<SliceObject> for WatchedSlice {
    fn from(object: SliceObject) -> Self {
        let here = HERE.get().map_or("", |name| name);
        let whole = object.slice(here).map(Arc::new);
        Self {
            key: object.name(),
            version: object.resource_version().into(),
            cause: object.cause(),
            slice: whole.clone().filter(|_| object.is_proxied()),
            whole,
        }
    }
}

/// The Node object of this node.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "NodeObject")]
pub struct WatchedNode {
    name: Box<str>,
    version: Box<str>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// `status.addresses`, internal ones first.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<Cidr>,
    /// Whether load balancers should leave this node: it is being deleted.
    pub leaving: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeObject {
    metadata: NodeMetadata,
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeMetadata {
    name: Box<str>,
    resource_version: Box<str>,
    deletion_timestamp: Option<String>,
    labels: NodeLabels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeLabels {
    #[serde(rename = "topology.kubernetes.io/zone")]
    zone: Option<Arc<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
    taints: Vec<Taint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Taint {
    key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    r#type: String,
    address: String,
}

/// Taint of nodes that the autoscaler is about to remove.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

impl From<NodeObject> for WatchedNode {
    fn from(object: NodeObject) -> Self {
        let of_type = |kind: &str| -> Vec<IpAddr> {
            let all = object.status.addresses.iter();
            all.filter(|address| address.r#type == kind)
                .filter_map(|address| address.address.parse().ok())
                .collect()
        };
        let tainted = object.spec.taints.iter().any(|t| t.key == TO_BE_DELETED);
        Self {
            addresses: [of_type("InternalIP"), of_type("ExternalIP")].concat(),
            name: object.metadata.name,
            version: object.metadata.resource_version,
            zone: object.metadata.labels.zone,
            pod_cidrs: object
                .spec
                .pod_cidrs
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            leaving: tainted || object.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Object for WatchedService {
    fn namespace(&self) -> &str {
        self.key.namespace()
    }

    fn name(&self) -> &str {
        self.key.name()
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

impl Object for WatchedSlice {
    fn namespace(&self) -> &str {
        self.key.namespace()
    }

    fn name(&self) -> &str {
        self.key.name()
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

impl Object for WatchedNode {
    fn namespace(&self) -> &str {
        ""
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_is_decoded() {
        let object = json!({"kind": "Node", "metadata": {"name": "n", "resourceVersion": "7",
                "labels": {"topology.kubernetes.io/zone": "z", "a": "b"}},
            "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd01::/64"],
                "taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]},
            "status": {"addresses": [{"type": "Hostname", "address": "n"},
                {"type": "ExternalIP", "address": "192.0.2.1"},
                {"type": "InternalIP", "address": "10.0.0.1"}]}});
        let node: WatchedNode = serde_json::from_value(object).unwrap();
        assert_eq!(node.zone.as_deref(), Some("z"));
        assert_eq!(node.addresses[0], IpAddr::from([10, 0, 0, 1]));
        assert_eq!(node.pod_cidrs.len(), 2);
        assert!(node.leaving);
        assert_eq!((node.name(), node.resource_version()), ("n", "7"));
    }
}
