//! What an attachment holds for its mapped ports. Pure.

use std::net::{IpAddr, Ipv4Addr};

use keelson_netlink::nft::Data;
use keelson_netlink::wire::ip_bytes;

use super::claim::{Claim, concatenate};
use super::ruleset::by_family;
use crate::owner::Owner;
use crate::wire::config::portmap::{PortMapConfig, PortMapping};
use crate::wire::result::{Attached, Interface};

/// The container's first address of each family: on its interface, if the result says which.
#[must_use]
pub fn container_addresses(attached: &Attached, interface: &str) -> Vec<IpAddr> {
    let is_own = |index: Option<usize>| {
        let named = index.and_then(|index| attached.interfaces.get(index));
        named.is_none_or(|Interface { name, sandbox, .. }| name == interface && !sandbox.is_empty())
    };
    let own = || {
        attached
            .ips
            .iter()
            .filter(|ip| is_own(ip.interface))
            .map(|ip| ip.address.addr)
    };
    [false, true]
        .into_iter()
        .filter_map(|v6| own().find(|addr| addr.is_ipv6() == v6))
        .collect()
}

/// One claim for each port and family, and those for the sender's address where answers would
/// otherwise not find back.
#[must_use]
pub fn claims(config: &PortMapConfig, addresses: &[IpAddr], owner: &Owner) -> Vec<Claim> {
    let comment = owner.comment();
    let mut out = Vec::new();
    for addr in addresses {
        let mappings = config.mappings.iter().filter(|m| m.is_for(addr.is_ipv6()));
        for mapping in mappings {
            let claim = port(mapping, *addr, &comment);
            let key = |other: &Claim| (other.set, other.element.key.clone());
            if !out.iter().any(|other| key(other) == key(&claim)) {
                out.push(claim);
            }
        }
        if config.snat {
            out.extend(senders(config, *addr, &comment));
        }
    }
    out
}

/// UDP ports of the host that flows may still be tracked to, by family.
#[must_use]
pub fn udp_ports(config: &PortMapConfig, addresses: &[IpAddr]) -> Vec<(bool, u16)> {
    let mut ports: Vec<(bool, u16)> = Vec::new();
    for v6 in addresses.iter().map(IpAddr::is_ipv6) {
        let udp = config
            .mappings
            .iter()
            .filter(|m| m.is_for(v6) && m.transport.number() == 17);
        ports.extend(udp.map(|mapping| (v6, mapping.host_port)));
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port(mapping: &PortMapping, addr: IpAddr, comment: &str) -> Claim {
    let v6 = addr.is_ipv6();
    let protocol = [mapping.transport.number()];
    let port = mapping.host_port.to_be_bytes();
    let target = concatenate(&[&ip_bytes(addr), &mapping.container_port.to_be_bytes()]);
    let (set, key) = match mapping.host_ip {
        None => (
            by_family(v6, "ports4", "ports6"),
            concatenate(&[&protocol, &port]),
        ),
        Some(host) => (
            by_family(v6, "address_ports4", "address_ports6"),
            concatenate(&[&ip_bytes(host), &protocol, &port]),
        ),
    };
    Claim::new(set, key, Data::Value(target), comment)
}

/// The container itself, and the host's localhost; or everybody.
fn senders(config: &PortMapConfig, addr: IpAddr, comment: &str) -> Vec<Claim> {
    let v6 = addr.is_ipv6();
    let own = ip_bytes(addr);
    if config.masquerade_all {
        let set = by_family(v6, "snat_all4", "snat_all6");
        return vec![Claim::new(set, own, Data::None, comment)];
    }
    let set = by_family(v6, "snat4", "snat6");
    let pair = |from: &[u8]| Claim::new(set, concatenate(&[from, &own]), Data::None, comment);
    let mut out = vec![pair(&own)];
    if !v6 {
        out.push(pair(&Ipv4Addr::LOCALHOST.octets()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::config::portmap::Transport;
    use crate::wire::env::Attachment;
    use serde_json::json;

    fn config(host_ip: Option<&str>, only_v6: Option<bool>) -> PortMapConfig {
        let mapping = PortMapping {
            host_port: 8080,
            container_port: 80,
            transport: Transport::Udp,
            host_ip: host_ip.map(|text| text.parse().unwrap()),
            only_v6,
        };
        PortMapConfig {
            mappings: vec![mapping, mapping],
            snat: true,
            masquerade_all: false,
        }
    }

    fn describe(config: &PortMapConfig) -> Vec<String> {
        let owner = Owner::new("n", &Attachment::default());
        let addresses = ["10.0.0.2", "fd00::2"].map(|text| text.parse().unwrap());
        let show = |claim: Claim| {
            let data = match claim.element.data {
                Data::Value(bytes) => format!(" -> {}", hex::encode(bytes)),
                _ => String::new(),
            };
            format!("{} {}{data}", claim.set, hex::encode(claim.element.key))
        };
        claims(config, &addresses, &owner)
            .into_iter()
            .map(show)
            .collect()
    }

    #[test]
    fn maps_a_port_for_both_families() {
        assert_eq!(
            describe(&config(None, None)),
            [
                "ports4 110000001f900000 -> 0a00000200500000",
                "snat4 0a0000020a000002",
                "snat4 7f0000010a000002",
                "ports6 110000001f900000 -> fd00000000000000000000000000000200500000",
                "snat6 fd000000000000000000000000000002fd000000000000000000000000000002",
            ]
        );
    }

    #[test]
    fn maps_a_port_of_one_address() {
        let mut config = config(Some("192.0.2.1"), Some(false));
        config.masquerade_all = true;
        assert_eq!(
            describe(&config),
            [
                "address_ports4 c0000201110000001f900000 -> 0a00000200500000",
                "snat_all4 0a000002",
                "snat_all6 fd000000000000000000000000000002",
            ]
        );
    }

    #[test]
    fn takes_the_container_s_own_addresses() {
        let attached = Attached::read(
            "r",
            &json!({
                "interfaces": [{"name": "cni0"}, {"name": "eth0", "sandbox": "/x"}],
                "ips": [
                    {"interface": 0, "address": "10.0.0.1/24"},
                    {"interface": 1, "address": "10.0.0.2/24"},
                    {"interface": 1, "address": "10.0.0.3/24"},
                    {"address": "fd00::2/64"}
                ]
            }),
        )
        .unwrap();
        let expected: Vec<IpAddr> = ["10.0.0.2", "fd00::2"].map(|t| t.parse().unwrap()).into();
        assert_eq!(container_addresses(&attached, "eth0"), expected);
    }
}
