//! Whether a pod fits beside those that are admitted: host ports, number of pods, resources.

use std::net::IpAddr;

use keelson_api::core::{Container, Pod};
use keelson_api::quantity::Quantity;
use keelson_api::resources::{self, is_sidecar};

use super::{NodeFacts, Verdict, reject};

/// A resource of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) name: String,
    pub(super) requested: Quantity,
    pub(super) used: Quantity,
    pub(super) capacity: Quantity,
}

/// A port of the host: protocol, address, number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    protocol: String,
    address: Option<IpAddr>,
    number: i32,
}

impl HostPort {
    /// Whether the two cannot be open at one time. No address means every one.
    fn collides(&self, other: &Self) -> bool {
        let addresses =
            self.address.is_none() || other.address.is_none() || self.address == other.address;
        self.number == other.number && self.protocol == other.protocol && addresses
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| is_sidecar(c));
    let containers: Vec<&Container> = spec.containers.iter().chain(sidecars).collect();
    containers
        .into_iter()
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let address = port.host_ip.as_deref().unwrap_or_default().parse().ok();
            Some(HostPort {
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                address: address.filter(|a: &IpAddr| !a.is_unspecified()),
                number,
            })
        })
        .collect()
}

/// The pod's host ports that others hold, each with the name of the pod that does.
pub(super) fn taken_ports(pod: &Pod, admitted: &[&Pod]) -> Vec<(HostPort, String)> {
    let mut taken = Vec::new();
    for port in host_ports(pod) {
        let holder = admitted
            .iter()
            .find(|other| host_ports(other).iter().any(|held| held.collides(&port)));
        if let Some(holder) = holder {
            taken.push((port, name(holder)));
        }
    }
    taken
}

pub(super) fn name(pod: &Pod) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    format!(
        "{}/{}",
        text(&pod.metadata.namespace),
        text(&pod.metadata.name)
    )
}

/// What there is not enough of, in the order it is reported.
pub(super) fn shortages(pod: &Pod, node: &NodeFacts, admitted: &[&Pod]) -> Vec<Shortage> {
    let mut short = Vec::new();
    let mut check = |name: &str, requested: Quantity, used: Quantity| {
        let capacity = node.allocatable.get(name).copied();
        // What the node does not count natively, it does not have.
        let native = matches!(name, "cpu" | "memory" | "ephemeral-storage" | "pods");
        let capacity = match capacity {
            None if native => return,
            other => other.unwrap_or_default(),
        };
        if requested.signum() > 0 && used + requested > capacity {
            short.push(Shortage {
                name: name.to_owned(),
                requested,
                used,
                capacity,
            });
        }
    };
    let count = i64::try_from(admitted.len()).unwrap_or(i64::MAX);
    check("pods", Quantity::from_units(1), Quantity::from_units(count));
    let mut used = resources::Amounts::new();
    for other in admitted {
        resources::add(&mut used, &resources::pod_requests(other));
    }
    for (name, requested) in resources::pod_requests(pod) {
        check(
            &name,
            requested,
            used.get(&name).copied().unwrap_or_default(),
        );
    }
    short
}

/// The refusal: host ports first, then what there is not enough of.
pub(super) fn rejection(ports: &[(HostPort, String)], short: &[Shortage]) -> Verdict {
    if let Some((port, holder)) = ports.first() {
        let message = format!(
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports: {} {} is held by pod {holder}",
            port.protocol, port.number
        );
        return reject("NodePorts", message);
    }
    match short {
        [] => reject(
            "UnexpectedAdmissionError",
            "Unexpected error while attempting to admit the pod",
        ),
        [first, ..] => reject(format!("OutOf{}", first.name), shortage_text(first)),
    }
}

/// Upstream writes CPU in thousandths and all else in units.
pub(super) fn shortage_text(short: &Shortage) -> String {
    let count = |amount: &Quantity| match short.name.as_str() {
        "cpu" => amount.milli_value(),
        _ => amount.value(),
    };
    format!(
        "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
        short.name,
        count(&short.requested),
        count(&short.used),
        count(&short.capacity)
    )
}
