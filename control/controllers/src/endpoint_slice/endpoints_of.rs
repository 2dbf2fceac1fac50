//! Decides which endpoints and ports a pod gives a Service. Must not know how they are put into
//! slices.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::kinds::endpoint_slice::{Conditions, Endpoint, Port, TargetRef};
use crate::kinds::service::{ServicePort, TargetPort};
use crate::kinds::{Node, Pod, Service};

/// Label of a node that names its zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// Which addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// As `addressType` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

/// The families that a Service has slices for.
#[must_use]
pub fn families(service: &Service) -> Vec<Family> {
    let named = |name: &str| {
        service
            .spec
            .ip_families
            .iter()
            .any(|family| **family == *name)
    };
    let mut families = Vec::new();
    for family in [Family::V4, Family::V6] {
        if named(family.name()) {
            families.push(family);
        }
    }
    if !families.is_empty() {
        return families;
    }
    // A server that does not know families yet: by the address, or both for headless Services.
    match service.spec.cluster_ip.parse() {
        Ok(address) => vec![Family::of(address)],
        Err(_) => vec![Family::V4, Family::V6],
    }
}

/// Whether a pod belongs among the endpoints: it has an address and has not run to its end.
#[must_use]
pub fn has_endpoint(pod: &Pod, while_terminating: bool) -> bool {
    let has_address = !pod.status.pod_ip.is_empty() || !pod.status.pod_ips.is_empty();
    let may_leave = while_terminating || !pod.metadata.is_leaving();
    has_address && may_leave && !pod.is_finished()
}

/// The ports of the Service as this pod serves them; a named port that the pod lacks is left out.
#[must_use]
pub fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let of_pod = |port: &ServicePort| {
        Some(Port {
            name: port.name.to_string(),
            port: Some(find_port(pod, port)?),
            protocol: port.protocol.to_string(),
            app_protocol: port.app_protocol.as_deref().map(str::to_owned),
        })
    };
    service.spec.ports.iter().filter_map(of_pod).collect()
}

/// The number of a Service's port in a pod. Named ports are looked up in the containers, then in
/// the init containers that keep running.
#[must_use]
pub fn find_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        TargetPort::Number(0) => return Some(port.port),
        TargetPort::Number(number) => return Some(*number),
        TargetPort::Name(name) if name.is_empty() => return Some(port.port),
        TargetPort::Name(name) => name,
    };
    let sidecars = pod.spec.init_containers.iter();
    let sidecars =
        sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = pod.spec.containers.iter().chain(sidecars);
    let mut ports = ports.flat_map(|container| &container.ports);
    ports
        .find(|known| *known.name == **name && *known.protocol == *port.protocol)
        .map(|known| known.container_port)
}

/// The endpoint that a pod is, in one family. `None` when it has no address of it.
#[must_use]
pub fn endpoint(
    service: &Service,
    pod: &Pod,
    node: Option<&Node>,
    family: Family,
) -> Option<Endpoint> {
    let addresses = pod.status.pod_ips.iter().filter_map(|ip| {
        let address: IpAddr = ip.ip.parse().ok()?;
        (Family::of(address) == family).then(|| address.to_string())
    });
    let addresses: Vec<String> = addresses.collect();
    if addresses.is_empty() {
        return None;
    }
    let serving = pod.is_ready();
    let terminating = pod.metadata.is_leaving();
    let zone = node.and_then(|node| node.metadata.labels.get(ZONE));
    Some(Endpoint {
        addresses,
        conditions: Conditions {
            ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: hostname(service, pod),
        target_ref: Some(TargetRef {
            kind: "Pod".to_owned(),
            namespace: pod.metadata.namespace.to_string(),
            name: pod.metadata.name.to_string(),
            uid: pod.metadata.uid.to_string(),
        }),
        node_name: Some(pod.spec.node_name.to_string()).filter(|name| !name.is_empty()),
        zone: zone.filter(|zone| !zone.is_empty()).cloned(),
        hints: None,
    })
}

/// The pod's own DNS name within the Service.
#[must_use]
pub fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    named.then(|| pod.spec.hostname.to_string())
}

/// What the pods of a Service give: endpoints by the ports that they serve.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Endpoints, grouped by sorted ports.
    pub groups: Vec<(Vec<Port>, Vec<Endpoint>)>,
    /// Pods that were left out because their node is unknown.
    pub nodeless: Vec<String>,
}

/// Everything that the slices of one family should have.
#[must_use]
pub fn wanted<'a>(
    service: &Service,
    pods: &[impl AsRef<Pod>],
    node: impl Fn(&str) -> Option<&'a Node>,
    family: Family,
) -> Wanted {
    let mut wanted = Wanted::default();
    let mut places: HashMap<Vec<Port>, usize> = HashMap::new();
    for pod in pods.iter().map(AsRef::as_ref) {
        if !has_endpoint(pod, true) {
            continue;
        }
        let ports = ports(service, pod);
        let place = *places.entry(sorted(&ports)).or_insert_with(|| {
            wanted.groups.push((ports, Vec::new()));
            wanted.groups.len() - 1
        });
        let node = node(&pod.spec.node_name);
        if node.is_none() && !service.spec.publish_not_ready_addresses {
            wanted.nodeless.push(pod.metadata.name.to_string());
            continue;
        }
        wanted.groups[place]
            .1
            .extend(endpoint(service, pod, node, family));
    }
    wanted
}

/// Ports in the order by which groups of them are compared.
#[must_use]
pub fn sorted(ports: &[Port]) -> Vec<Port> {
    let mut ports = ports.to_vec();
    ports.sort();
    ports
}
