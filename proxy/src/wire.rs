//! What the API says of Services and EndpointSlices, decoded with only the fields a proxy uses:
//! the rest is never kept. Knows JSON's shape; decides only what is no concern of ours.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use keelson_netlink::Cidr;
use serde::{Deserialize, Deserializer};

use crate::model::endpoint::NodeHint;
use crate::model::{
    EndpointSlice, Protocol, Service, ServiceKey, ServicePort, SliceEndpoint, SlicePort,
};

/// Label of Services that another proxy serves.
pub const SERVICE_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// Label of Services and slices that no proxy serves.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Label that names a slice's Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// What the API defaults `timeoutSeconds` to.
const AFFINITY_SECONDS: u32 = 10_800;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    resource_version: String,
    #[serde(deserialize_with = "null_is_default")]
    labels: Labels,
    #[serde(deserialize_with = "null_is_default")]
    annotations: Annotations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    trigger: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service_name: Option<String>,
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    proxy_name: Option<String>,
    #[serde(rename = "service.kubernetes.io/headless")]
    headless: Option<String>,
}

/// Go writes an empty list as null.
fn null_is_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A Service object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceObject {
    metadata: Metadata,
    spec: ServiceSpec,
    status: ServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceSpec {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_default")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "null_is_default")]
    external_ips: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    ports: Vec<Port>,
    session_affinity: String,
    session_affinity_config: Option<AffinityConfig>,
    internal_traffic_policy: Option<String>,
    external_traffic_policy: Option<String>,
    external_name: String,
    #[serde(deserialize_with = "null_is_default")]
    load_balancer_source_ranges: Vec<String>,
    health_check_node_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    protocol: Option<String>,
    port: u16,
    node_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientIp {
    timeout_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    #[serde(deserialize_with = "null_is_default")]
    ingress: Vec<Ingress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ingress {
    ip: String,
    ip_mode: Option<String>,
}

impl ServiceObject {
    /// `metadata.resourceVersion`.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        ServiceKey::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// The Service, where a proxy has to serve it.
    #[must_use]
    pub fn into_service(self) -> Option<Service> {
        self.is_proxied().then(|| self.service())?
    }

    /// Whether it is this proxy's concern, if it has addresses at all.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        let labels = &self.metadata.labels;
        labels.proxy_name.is_none() && labels.headless.is_none()
    }

    /// `spec.externalName` of a Service that is another name.
    #[must_use]
    pub fn external_name(&self) -> Option<&str> {
        (self.spec.r#type == "ExternalName").then_some(&self.spec.external_name)
    }

    /// The Service, where it has cluster addresses, whoever serves it.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        let spec = &self.spec;
        if spec.r#type == "ExternalName" {
            return None;
        }
        let cluster_ips = cluster_ips(spec);
        if cluster_ips.is_empty() {
            return None;
        }
        let external_local = spec.is_external_local();
        let health = spec.health_check_node_port;
        let checked = spec.r#type == "LoadBalancer" && external_local && health != 0;
        Some(Service {
            key: self.key(),
            cluster_ips,
            ports: spec.ports.iter().filter_map(service_port).collect(),
            external_ips: ips(spec.external_ips.iter().map(String::as_str)),
            load_balancer_ips: ips(self.status.virtual_ips()),
            source_ranges: ranges(&spec.load_balancer_source_ranges),
            affinity: spec.affinity_seconds(),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local,
            health_check_node_port: checked.then_some(health),
        })
    }
}

impl ServiceSpec {
    fn is_external_local(&self) -> bool {
        let external = matches!(self.r#type.as_str(), "NodePort" | "LoadBalancer")
            || !self.external_ips.is_empty();
        external && self.external_traffic_policy.as_deref() == Some("Local")
    }

    fn affinity_seconds(&self) -> Option<u32> {
        if self.session_affinity != "ClientIP" {
            return None;
        }
        let config = self.session_affinity_config.as_ref();
        let client = config.and_then(|config| config.client_ip.as_ref());
        let seconds = client.and_then(|client| client.timeout_seconds);
        Some(seconds.unwrap_or(AFFINITY_SECONDS))
    }
}

impl ServiceStatus {
    fn virtual_ips(&self) -> impl Iterator<Item = &str> {
        let all = self.load_balancer.ingress.iter();
        all.filter(|ingress| ingress.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
            .map(|ingress| ingress.ip.as_str())
    }
}

/// One address of each family; `None` and an empty text are no addresses.
fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let all = spec.cluster_ips.iter().chain(Some(&spec.cluster_ip));
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in all.filter_map(|text| parse_ip(text)) {
        if found.iter().all(|other| other.is_ipv6() != ip.is_ipv6()) {
            found.push(ip);
        }
    }
    found
}

fn service_port(port: &Port) -> Option<ServicePort> {
    Some(ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::parse(port.protocol.as_deref().unwrap_or_default())?,
        port: Some(port.port).filter(|number| *number != 0)?,
        node_port: Some(port.node_port).filter(|number| *number != 0),
    })
}

fn ips<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = texts.filter_map(parse_ip).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn ranges(texts: &[String]) -> Vec<Cidr> {
    let mut found: Vec<Cidr> = texts
        .iter()
        .filter_map(|text| text.trim().parse().ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// An address, with leading zeros read as decimal: old objects hold such.
fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let parts: Vec<String> = text
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0".to_owned(),
            rest => rest.to_owned(),
        })
        .collect();
    parts.join(".").parse().ok()
}

/// An EndpointSlice object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SliceObject {
    metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    endpoints: Vec<EndpointObject>,
    ports: Option<Vec<SlicePortObject>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointObject {
    #[serde(deserialize_with = "null_is_default")]
    addresses: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Conditions,
    node_name: Option<String>,
    hostname: Option<String>,
    hints: Option<Hints>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Hints {
    #[serde(deserialize_with = "null_is_default")]
    for_zones: Vec<Hint>,
    #[serde(deserialize_with = "null_is_default")]
    for_nodes: Vec<Hint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hint {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SlicePortObject {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<u16>,
}

impl SliceObject {
    /// `metadata.resourceVersion`.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Namespace and name of the slice, as one text.
    #[must_use]
    pub fn name(&self) -> ServiceKey {
        ServiceKey::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// When the change of pods or of the Service happened that this slice tells of.
    #[must_use]
    pub fn cause(&self) -> Option<Timestamp> {
        self.metadata.annotations.trigger.as_deref()?.parse().ok()
    }

    /// The slice as the node `here` sees it, where a proxy has to look at it.
    #[must_use]
    pub fn into_slice(self, here: &str) -> Option<EndpointSlice> {
        self.is_proxied().then(|| self.slice(here))?
    }

    /// Whether it is this proxy's concern.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        let labels = &self.metadata.labels;
        labels.headless.is_none() && labels.proxy_name.is_none()
    }

    /// The slice as the node `here` sees it, where it is a Service's.
    #[must_use]
    pub fn slice(&self, here: &str) -> Option<EndpointSlice> {
        let labels = &self.metadata.labels;
        let service = labels.service_name.as_deref().filter(|n| !n.is_empty())?;
        let (mut endpoints, mut hostnames) = (Vec::new(), Vec::new());
        for object in &self.endpoints {
            let addresses = object.addresses.iter().filter_map(|text| parse_ip(text));
            if let Some(name) = object.hostname.as_deref().filter(|name| !name.is_empty()) {
                let places = endpoints.len()..endpoints.len() + addresses.clone().count();
                hostnames.extend(places.map(|place| (place, Arc::from(name))));
            }
            endpoints.extend(addresses.map(|ip| object.endpoint(ip, here)));
        }
        endpoints.shrink_to_fit();
        let ports = self.ports.iter().flatten();
        Some(EndpointSlice {
            service: ServiceKey::new(&self.metadata.namespace, service),
            ports: ports.filter_map(slice_port).collect(),
            endpoints,
            hostnames: hostnames.into(),
        })
    }

    /// The label selector for slices and Services that a proxy has to look at.
    #[must_use]
    pub fn selector() -> String {
        format!("!{SERVICE_PROXY_NAME},!{HEADLESS}")
    }

    /// The label that names a slice's Service.
    #[must_use]
    pub fn service_label() -> &'static str {
        SERVICE_NAME
    }
}

impl EndpointObject {
    fn endpoint(&self, ip: IpAddr, here: &str) -> SliceEndpoint {
        let ready = self.conditions.ready.unwrap_or(true);
        let hints = self.hints.as_ref();
        let zones = hints.map_or(&[][..], |hints| &hints.for_zones);
        let nodes = hints.map_or(&[][..], |hints| &hints.for_nodes);
        SliceEndpoint {
            ip,
            local: self.node_name.as_deref() == Some(here),
            ready,
            serving: self.conditions.serving.unwrap_or(ready),
            terminating: self.conditions.terminating.unwrap_or(false),
            zones: zones.iter().map(|hint| Arc::from(&*hint.name)).collect(),
            nodes: match nodes {
                [] => NodeHint::Absent,
                some if some.iter().any(|hint| hint.name == here) => NodeHint::Here,
                _ => NodeHint::Elsewhere,
            },
        }
    }
}

fn slice_port(port: &SlicePortObject) -> Option<SlicePort> {
    Some(SlicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::parse(port.protocol.as_deref().unwrap_or_default())?,
        port: port.port.filter(|number| *number != 0)?,
    })
}

#[cfg(test)]
mod tests;
