//! The rules that belong to no Service, from the configuration, the Node object and the node's
//! addresses. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keelson_netlink::Cidr;

use crate::backend::Mode;
use crate::config::KubeProxyConfiguration;
use crate::model::{LocalDetection, NodePortAddresses, NodeRules};

/// What the API says of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its addresses, internal ones first.
    pub addresses: Vec<IpAddr>,
    /// The pod addresses that are its own.
    pub pod_cidrs: Vec<Cidr>,
}

/// Works out the rules. `local` are all addresses of the node's interfaces.
#[must_use]
pub fn node_rules(
    config: &KubeProxyConfiguration,
    facts: &NodeFacts,
    local: &[IpAddr],
) -> NodeRules {
    let primary = primary(config, facts);
    NodeRules {
        node_ports: node_ports(config, &primary, local),
        local: detection(config, facts),
        masquerade_all: config.masquerade_all(),
        masquerade_mark: 1 << config.masquerade_bit(),
        tcp_be_liberal: config.conntrack.tcp_be_liberal,
        node_ips: primary,
        dns: Vec::new(),
        loopback: matches!(config.backend(), Mode::Iptables(_))
            && config.iptables.localhost_node_ports.unwrap_or(true),
        ipvs: (config.backend() == Mode::Ipvs).then(|| local.iter().copied().collect()),
    }
}

/// One address of each family: the configured one, else the Node object's first.
fn primary(config: &KubeProxyConfiguration, facts: &NodeFacts) -> Vec<IpAddr> {
    let bound = config.bind_address.parse::<IpAddr>().ok();
    let bound = bound.filter(|ip| !ip.is_unspecified());
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in bound.into_iter().chain(facts.addresses.iter().copied()) {
        if found.iter().all(|known| known.is_ipv6() != ip.is_ipv6()) {
            found.push(ip);
        }
    }
    found
}

fn node_ports(
    config: &KubeProxyConfiguration,
    primary: &[IpAddr],
    local: &[IpAddr],
) -> NodePortAddresses {
    let words = &config.node_port_addresses;
    // Upstream's default differs by mode.
    if words.is_empty() && config.backend() != Mode::Nftables {
        return NodePortAddresses::EveryLocal;
    }
    let everything = |word: &String| matches!(word.as_str(), "all" | "0.0.0.0/0" | "::/0");
    if words.iter().any(everything) {
        return NodePortAddresses::EveryLocal;
    }
    let mut found: BTreeSet<IpAddr> = BTreeSet::new();
    if words.is_empty() {
        found.extend(primary);
    }
    for word in words {
        if word == "primary" {
            found.extend(primary);
        } else if let Ok(cidr) = word.parse::<Cidr>() {
            found.extend(local.iter().filter(|ip| cidr.contains(**ip)));
        }
    }
    found.retain(|ip| !ip.is_loopback());
    NodePortAddresses::Listed(found)
}

fn detection(config: &KubeProxyConfiguration, facts: &NodeFacts) -> LocalDetection {
    let detect = &config.detect_local;
    let sources = |cidrs: Vec<Cidr>| match cidrs.is_empty() {
        true => LocalDetection::Nothing,
        false => LocalDetection::Sources(cidrs),
    };
    match config.detect_local_mode.as_str() {
        "NodeCIDR" => sources(facts.pod_cidrs.clone()),
        "BridgeInterface" => LocalDetection::Interface(detect.bridge_interface.clone()),
        "InterfaceNamePrefix" => {
            LocalDetection::InterfacePrefix(detect.interface_name_prefix.clone())
        }
        _ => {
            let texts = config.cluster_cidr.split(',').map(str::trim);
            sources(texts.filter_map(|text| text.parse().ok()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> NodeFacts {
        NodeFacts {
            addresses: vec![[10, 0, 0, 1].into(), [192, 0, 2, 1].into()],
            pod_cidrs: vec!["10.244.1.0/24".parse().unwrap()],
        }
    }

    fn listed(words: &[&str]) -> NodePortAddresses {
        let config = KubeProxyConfiguration {
            node_port_addresses: words.iter().map(ToString::to_string).collect(),
            ..KubeProxyConfiguration::default()
        };
        let local = [
            [10, 0, 0, 1].into(),
            [10, 0, 0, 7].into(),
            [127, 0, 0, 1].into(),
        ];
        node_rules(&config, &facts(), &local).node_ports
    }

    #[test]
    fn where_node_ports_are() {
        let ips = |last: &[u8]| {
            NodePortAddresses::Listed(last.iter().map(|l| [10, 0, 0, *l].into()).collect())
        };
        assert_eq!(listed(&[]), ips(&[1]));
        assert_eq!(listed(&["primary"]), ips(&[1]));
        assert_eq!(listed(&["10.0.0.0/24"]), ips(&[1, 7]));
        assert_eq!(listed(&["localhost", "127.0.0.0/8"]), ips(&[]));
        assert_eq!(listed(&["all"]), NodePortAddresses::EveryLocal);
    }

    #[test]
    fn how_local_traffic_is_told() {
        let check = |mode: &str, expected: LocalDetection| {
            let config = KubeProxyConfiguration {
                detect_local_mode: mode.into(),
                cluster_cidr: "10.244.0.0/16, fd44::/48".into(),
                detect_local: crate::config::fields::DetectLocal {
                    bridge_interface: "br0".into(),
                    interface_name_prefix: "veth".into(),
                },
                ..KubeProxyConfiguration::default()
            };
            assert_eq!(node_rules(&config, &facts(), &[]).local, expected, "{mode}");
        };
        let cidrs = |texts: &[&str]| {
            LocalDetection::Sources(texts.iter().map(|t| t.parse().unwrap()).collect())
        };
        check("ClusterCIDR", cidrs(&["10.244.0.0/16", "fd44::/48"]));
        check("", cidrs(&["10.244.0.0/16", "fd44::/48"]));
        check("NodeCIDR", cidrs(&["10.244.1.0/24"]));
        check("BridgeInterface", LocalDetection::Interface("br0".into()));
        check(
            "InterfaceNamePrefix",
            LocalDetection::InterfacePrefix("veth".into()),
        );
        let none = KubeProxyConfiguration::default();
        assert_eq!(
            node_rules(&none, &facts(), &[]).local,
            LocalDetection::Nothing
        );
    }
}
