//! Gateways and routes that follow from the addresses of a container. Pure.

use std::net::IpAddr;

use keelson_netlink::Cidr;
use keelson_netlink::cidr::{from_number, to_number};

use crate::wire::config::bridge::BridgeConfig;
use crate::wire::result::{Attached, Route};

/// Fills in what the configuration asks for beside what IPAM gave: gateways, a default route for
/// each family. All addresses are put on the interface numbered `interface`.
pub fn complete(attached: &mut Attached, config: &BridgeConfig, interface: usize) {
    for ip in &mut attached.ips {
        ip.interface = Some(interface);
        if config.gateway && ip.gateway.is_none() {
            ip.gateway = Some(first_host(ip.address));
        }
        let everything = Cidr::everything(ip.address.is_v6());
        let has_default = |route: &Route| route.dst == everything && route.gw.is_some();
        if config.default_gateway && !attached.routes.iter().any(has_default) {
            attached.routes.push(Route::to(everything, ip.gateway));
        }
    }
}

/// The addresses that the bridge gets as the containers' gateway.
#[must_use]
pub fn addresses(attached: &Attached) -> Vec<Cidr> {
    let mut all: Vec<Cidr> = Vec::new();
    for ip in &attached.ips {
        let Some(addr) = ip.gateway else { continue };
        let cidr = Cidr {
            addr,
            prefix: ip.address.prefix,
        };
        if !all.contains(&cidr) {
            all.push(cidr);
        }
    }
    all
}

/// Next hop of a route: its own, or the first gateway of its family.
#[must_use]
pub fn next_hop(route: &Route, attached: &Attached) -> Option<IpAddr> {
    let v6 = route.dst.is_v6();
    let mut gateways = attached.ips.iter().filter_map(|ip| ip.gateway);
    route.gw.or_else(|| gateways.find(|gw| gw.is_ipv6() == v6))
}

/// What to do about an address that a gateway has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Present,
    /// It can be added.
    Add,
    /// These are in its way.
    Conflicts(Vec<Cidr>),
}

/// Compares an address wanted with those present. IPv4 allows one; IPv6 several, of different
/// subnets; link-local ones never count.
#[must_use]
pub fn compare(wanted: Cidr, present: &[Cidr]) -> Verdict {
    if present.contains(&wanted) {
        return Verdict::Present;
    }
    let conflicts = |other: &&Cidr| {
        other.is_v6() == wanted.is_v6()
            && (!wanted.is_v6() || other.contains(wanted.addr) || wanted.contains(other.addr))
    };
    let conflicts: Vec<Cidr> = present.iter().filter(conflicts).copied().collect();
    if conflicts.is_empty() {
        return Verdict::Add;
    }
    Verdict::Conflicts(conflicts)
}

fn first_host(cidr: Cidr) -> IpAddr {
    from_number(to_number(cidr.network().addr) + 1, cidr.is_v6())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_by_family() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        let conflict = |text| Verdict::Conflicts(vec![cidr(text)]);
        for (wanted, present, expected) in [
            ("10.1.0.1/24", "10.1.0.1/24", Verdict::Present),
            ("10.1.0.1/24", "fe80::1/64", Verdict::Add),
            ("10.1.0.1/24", "10.2.0.1/24", conflict("10.2.0.1/24")),
            ("10.1.0.1/24", "10.1.0.1/16", conflict("10.1.0.1/16")),
            ("fd00::1/64", "fd01::1/64", Verdict::Add),
            ("fd00::1/64", "fe80::1/64", Verdict::Add),
            ("fd00::1/64", "fd00::2/64", conflict("fd00::2/64")),
            ("fd00::1/64", "fd00::1/80", conflict("fd00::1/80")),
        ] {
            assert_eq!(
                compare(cidr(wanted), &[cidr(present)]),
                expected,
                "{wanted}"
            );
        }
    }
}
