//! The external and load balancer addresses of a Service in one family, and who may come in. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use keelson_netlink::Cidr;

use crate::model::{Entrance, NodeRules, Service};

/// In order of address, once each. An address that is both external and the load balancer's is
/// open to everybody.
pub(super) fn entrances(service: &Service, v6: bool, node: &NodeRules) -> Vec<Entrance> {
    let mut found: BTreeMap<IpAddr, Option<Arc<[Cidr]>>> = BTreeMap::new();
    for ip in of_family(&service.load_balancer_ips, v6) {
        found.insert(ip, sources(service, ip, node));
    }
    for ip in of_family(&service.external_ips, v6) {
        found.insert(ip, None);
    }
    found
        .into_iter()
        .map(|(ip, sources)| Entrance { ip, sources })
        .collect()
}

fn of_family(ips: &[IpAddr], v6: bool) -> impl Iterator<Item = IpAddr> {
    ips.iter().copied().filter(move |ip| ip.is_ipv6() == v6)
}

/// Who may use a load balancer's address. Where the node itself may, the address may too: many
/// load balancers make it local to the node, and then it is the source of the node's own traffic.
fn sources(service: &Service, vip: IpAddr, node: &NodeRules) -> Option<Arc<[Cidr]>> {
    if service.source_ranges.is_empty() {
        return None;
    }
    let family = service.source_ranges.iter().map(Cidr::network);
    let mut ranges: Vec<Cidr> = family.filter(|r| r.is_v6() == vip.is_ipv6()).collect();
    if ranges.is_empty() && !service.source_ranges.is_empty() {
        // Only the other family is restricted.
        return None;
    }
    let node_may = node
        .node_ips
        .iter()
        .any(|ip| ranges.iter().any(|range| range.contains(*ip)));
    if node_may {
        ranges.push(Cidr::host(vip));
    }
    Some(super::in_order(without_covered(ranges)).into())
}

/// Leaves out ranges that lie in another one: a backend may refuse overlaps.
fn without_covered(ranges: Vec<Cidr>) -> Vec<Cidr> {
    let covers = |a: &Cidr, b: &Cidr| a != b && a.prefix <= b.prefix && a.contains(b.addr);
    let kept = ranges
        .iter()
        .filter(|range| !ranges.iter().any(|other| covers(other, range)));
    kept.copied().collect()
}
