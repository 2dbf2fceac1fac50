//! Which virtual servers and addresses Services need, and what takes one state to the next. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::IpAddr;

use keelson_netlink::ipvs::{BY_PORT, Change, Conduct, Destination, PERSISTENT, Place};

use crate::diff::RuleSet;
use crate::model::{
    Endpoint, NodePortAddresses, NodeRules, Policy, PortRules, Protocol, ServiceRules, Verdict,
};

/// Seconds the kernel is told where clients do not stay.
const NO_STAY: u32 = 0;

/// Virtual servers by their place.
pub type Servers = BTreeMap<Place, Server>;

/// A virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// How it spreads its clients.
    pub conduct: Conduct,
    /// The real servers that take new connections.
    pub endpoints: BTreeSet<(IpAddr, u16)>,
}

/// A virtual server as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How it spreads its clients.
    pub conduct: Conduct,
    /// All real servers, those that are on their way out too.
    pub destinations: Vec<Destination>,
}

/// The virtual servers of a Service.
#[must_use]
pub fn servers(rules: &ServiceRules, node: &NodeRules, scheduler: &str) -> Servers {
    let mut found = Servers::new();
    for port in &rules.ports {
        let inside = Server {
            conduct: conduct(port, scheduler),
            endpoints: taking(port.endpoints(port.internal)),
        };
        let outside = Server {
            endpoints: taking(external_endpoints(port)),
            ..inside.clone()
        };
        let at = |ip, number| Place {
            ip,
            protocol: port.protocol.number(),
            port: number,
        };
        let entrances = port.entrances.iter().map(|one| at(one.ip, port.port));
        let numbers = port.node_port.into_iter();
        let nodes = numbers.flat_map(|number| {
            let ips = node_addresses(node, port.is_v6()).into_iter();
            ips.map(move |ip| at(ip, number))
        });
        found.extend(entrances.chain(nodes).map(|place| (place, outside.clone())));
        found.insert(at(port.cluster_ip, port.port), inside);
    }
    found
}

/// Where all endpoints are elsewhere, those who may go there do, and nftables keeps the others out.
fn external_endpoints(port: &PortRules) -> &[Endpoint] {
    match port.external_verdict() {
        Verdict::Serve(policy) => port.endpoints(policy),
        Verdict::Drop | Verdict::Reject => port.endpoints(Policy::Cluster),
    }
}

fn taking(endpoints: &[Endpoint]) -> BTreeSet<(IpAddr, u16)> {
    endpoints.iter().map(|one| (one.ip, one.port)).collect()
}

fn conduct(port: &PortRules, scheduler: &str) -> Conduct {
    let by_port = if scheduler == "mh" { BY_PORT } else { 0 };
    let persistent = port.affinity.map_or(0, |_| PERSISTENT);
    Conduct {
        scheduler: scheduler.to_owned(),
        flags: by_port | persistent,
        stay: port.affinity.unwrap_or(NO_STAY),
    }
}

/// Addresses with node ports.
fn node_addresses(node: &NodeRules, v6: bool) -> Vec<IpAddr> {
    let all = match &node.node_ports {
        NodePortAddresses::Listed(ips) => Some(ips),
        NodePortAddresses::EveryLocal => node.ipvs.as_ref(),
    };
    let here = all.into_iter().flatten().copied();
    here.filter(|ip| ip.is_ipv6() == v6 && is_for_node_ports(*ip))
        .collect()
}

fn is_for_node_ports(ip: IpAddr) -> bool {
    !ip.is_loopback() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The addresses of a Service that the node has to hold: not those that it has anyway.
#[must_use]
pub fn addresses(rules: &ServiceRules, node: &NodeRules) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for port in &rules.ports {
        found.insert(port.cluster_ip);
        found.extend(port.entrances.iter().map(|entrance| entrance.ip));
    }
    let own = |ip: &IpAddr| node.ipvs.as_ref().is_some_and(|own| own.contains(ip));
    found.retain(|ip| !own(ip));
    found
}

/// What turns the virtual servers of one state into those of the next: first what is put, then what
/// goes.
#[must_use]
pub fn change(before: &Servers, after: &Servers) -> Vec<Change> {
    let found = |server: &Server| Found {
        conduct: server.conduct.clone(),
        destinations: server
            .endpoints
            .iter()
            .map(|one| destination(*one, 1))
            .collect(),
    };
    let before = before.iter().map(|(at, server)| (*at, found(server)));
    mend(&before.collect(), after)
}

/// What turns what the kernel has into what should be. Real servers that are on their way out stay
/// until nobody talks to them.
#[must_use]
pub fn mend(found: &BTreeMap<Place, Found>, wanted: &Servers) -> Vec<Change> {
    let (mut puts, mut ends) = (Vec::new(), Vec::new());
    for (place, server) in wanted {
        let there = found.get(place);
        if there.is_none_or(|there| there.conduct != server.conduct) {
            puts.push(Change::Put(*place, server.conduct.clone()));
        }
        let serving = there
            .map(|there| &there.destinations[..])
            .unwrap_or_default();
        let known: BTreeMap<(IpAddr, u16), &Destination> = serving
            .iter()
            .map(|one| ((one.ip, one.port), one))
            .collect();
        for endpoint in &server.endpoints {
            if known.get(endpoint).is_none_or(|one| one.weight != 1) {
                puts.push(Change::PutDestination(*place, destination(*endpoint, 1)));
            }
        }
        for (endpoint, one) in known {
            if !server.endpoints.contains(&endpoint) {
                ends.extend(end(place, one));
            }
        }
    }
    let gone = found.keys().filter(|place| !wanted.contains_key(place));
    ends.extend(gone.map(|place| Change::Remove(*place)));
    puts.extend(ends);
    puts
}

/// Only connections of TCP are worth waiting for.
fn end(place: &Place, one: &Destination) -> Option<Change> {
    if place.protocol != Protocol::Tcp.number() {
        return Some(Change::RemoveDestination(*place, *one));
    }
    let leaving = destination((one.ip, one.port), 0);
    (one.weight > 0).then_some(Change::PutDestination(*place, leaving))
}

/// The virtual servers of which real servers are on their way out after these changes.
pub fn draining(changes: &[Change]) -> impl Iterator<Item = Place> {
    changes.iter().filter_map(|change| match change {
        Change::PutDestination(place, one) if one.weight == 0 => Some(*place),
        _ => None,
    })
}

fn destination((ip, port): (IpAddr, u16), weight: u32) -> Destination {
    Destination {
        ip,
        port,
        weight,
        connections: 0,
    }
}

/// All virtual servers and addresses as text for golden files, close to what `ipvsadm -Sn` prints.
#[must_use]
pub fn text(rules: &RuleSet, scheduler: &str) -> String {
    let mut out = String::new();
    let (mut all, mut held) = (Servers::new(), BTreeSet::new());
    for (_, service) in rules.services() {
        all.extend(servers(service, rules.node(), scheduler));
        held.extend(addresses(service, rules.node()));
    }
    for ip in held {
        let _ = writeln!(out, "address {ip}");
    }
    for (place, server) in all {
        let name = match place.protocol {
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => other.to_string(),
        };
        let Conduct {
            scheduler, stay, ..
        } = server.conduct;
        let _ = write!(
            out,
            "{name} {} port {} by {scheduler}",
            place.ip, place.port
        );
        let _ = match stay {
            NO_STAY => writeln!(out),
            seconds => writeln!(out, ", clients stay {seconds} s"),
        };
        for (ip, port) in server.endpoints {
            let _ = writeln!(out, "  to {ip} port {port}");
        }
    }
    out
}
