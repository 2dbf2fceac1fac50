//! One Service and its endpoints become rules. Pure: the same input gives the same rules in the same
//! order, so that rules can be compared.

mod endpoint_choice;
mod entrances;

use std::net::IpAddr;

use crate::model::node::{NodeRules, NodeView};
use crate::model::rule_set::{Endpoint, HealthCheck, Policy, PortRules, ServiceRules};
use crate::model::{EndpointSlice, Service, ServicePort, SliceEndpoint};
use endpoint_choice::{Choice, Wanted, choose};
use entrances::entrances;

/// The rules of a Service with these slices.
#[must_use]
pub fn compile(
    service: &Service,
    slices: &[&EndpointSlice],
    view: &NodeView,
    node: &NodeRules,
) -> ServiceRules {
    let mut ports: Vec<PortRules> = service
        .cluster_ips
        .iter()
        .flat_map(|ip| service.ports.iter().map(move |port| (*ip, port)))
        .map(|(ip, port)| port_rules(service, ip, port, slices, view, node))
        .filter(|rules| rules.anybody || !node.dns.contains(&rules.cluster_ip))
        .collect();
    ports.sort_by_key(|rules| (rules.is_v6(), rules.port, rules.protocol));
    ServiceRules {
        ports,
        health: service
            .health_check_node_port
            .map(|port| health(port, slices)),
    }
}

fn port_rules(
    service: &Service,
    cluster_ip: IpAddr,
    port: &ServicePort,
    slices: &[&EndpointSlice],
    view: &NodeView,
    node: &NodeRules,
) -> PortRules {
    let candidates = candidates(port, cluster_ip.is_ipv6(), slices);
    let entrances = entrances(service, cluster_ip.is_ipv6(), node);
    let external = port.node_port.is_some() || !entrances.is_empty();
    let wanted = Wanted {
        cluster: !service.internal_local || external,
        local: service.internal_local || (service.external_local && external),
    };
    let Choice {
        cluster,
        local,
        anybody,
    } = choose(&candidates, wanted, view);
    PortRules {
        name: port.name.clone(),
        protocol: port.protocol,
        cluster_ip,
        port: port.port,
        node_port: port.node_port,
        entrances,
        affinity: service.affinity,
        internal: policy(service.internal_local),
        external: policy(service.external_local),
        cluster,
        local,
        anybody,
        serving: serving(&candidates),
    }
}

/// An endpoint with the port it listens on.
type Candidate<'a> = (&'a SliceEndpoint, u16);

/// The endpoints of a family that listen on the port of this name.
fn candidates<'a>(
    port: &ServicePort,
    v6: bool,
    slices: &[&'a EndpointSlice],
) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for slice in slices {
        let same =
            |p: &&crate::model::SlicePort| p.name == port.name && p.protocol == port.protocol;
        let Some(target) = slice.ports.iter().find(same) else {
            continue;
        };
        let family = slice.endpoints.iter().filter(|e| e.ip.is_ipv6() == v6);
        found.extend(family.map(|endpoint| (endpoint, target.port)));
    }
    found
}

fn serving(candidates: &[Candidate<'_>]) -> Vec<IpAddr> {
    let answering = candidates.iter().filter(|(e, _)| e.ready || e.serving);
    in_order(answering.map(|(endpoint, _)| endpoint.ip).collect())
}

/// A pod of both families counts once.
fn health(port: u16, slices: &[&EndpointSlice]) -> HealthCheck {
    let of_family = |v6: bool| {
        let all = slices.iter().flat_map(|slice| &slice.endpoints);
        let ready = all.filter(|e| e.local && e.ready && e.ip.is_ipv6() == v6);
        in_order(ready.map(|endpoint| endpoint.ip).collect()).len()
    };
    HealthCheck {
        port,
        local_endpoints: of_family(false).max(of_family(true)),
    }
}

fn policy(local: bool) -> Policy {
    if local {
        Policy::Local
    } else {
        Policy::Cluster
    }
}

fn endpoint((endpoint, port): &Candidate<'_>) -> Endpoint {
    Endpoint {
        ip: endpoint.ip,
        port: *port,
        local: endpoint.local,
    }
}

fn in_order<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all.dedup();
    all.shrink_to_fit();
    all
}

#[cfg(test)]
mod tests;
