//! Services.

use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Labels, Meta, NAMESPACE, kind};

/// A Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ServiceSpec,
}

kind!(
    Service,
    Resource::fixed("", "v1", "services", "Service", true),
    vec![Index::new(NAMESPACE, |service: &Service, words| {
        words.push(service.metadata.namespace.to_string());
    })]
);

/// `spec` of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Which pods serve. None: somebody else writes the endpoints.
    pub selector: Option<Labels>,
    /// Its address; `None` for a headless one.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    /// `IPv4`, `IPv6` or both.
    pub ip_families: Vec<Box<str>>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Whether pods that aren't ready are published as if they were.
    pub publish_not_ready_addresses: bool,
    /// Which endpoints are preferred.
    pub traffic_distribution: Option<Box<str>>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; empty if it is the only one.
    pub name: Box<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// The number at the Service's address.
    pub port: i32,
    /// The number or name at the pods.
    pub target_port: TargetPort,
    /// The protocol above that, as a hint.
    pub app_protocol: Option<Box<str>>,
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// A number; 0 if none was given.
    Number(i32),
    /// The name of a container's port.
    Name(Box<str>),
}

impl Default for TargetPort {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Service {
    /// Whether it has an address of its own.
    #[must_use]
    pub fn has_address(&self) -> bool {
        !matches!(&*self.spec.cluster_ip, "" | "None")
    }

    /// The labels of the pods that serve, unless somebody else writes its endpoints.
    #[must_use]
    pub fn pod_labels(&self) -> Option<&Labels> {
        if &*self.spec.kind == "ExternalName" {
            return None;
        }
        self.spec
            .selector
            .as_ref()
            .filter(|labels| !labels.is_empty())
    }
}
