//! Names, keys and values of the sets and maps. Pure.

use std::net::IpAddr;

use keelson_netlink::Message;
use keelson_netlink::nft::object::{Family, Type, add_set_with};
use keelson_netlink::nft::{SetKind, Traits};
use keelson_netlink::wire::ip_bytes;

use crate::model::{Endpoint, Protocol};

/// The table's name, upstream's too: whoever starts later takes over.
pub const TABLE: &str = "kube-proxy";

/// How many clients a family remembers at most, over all Services with affinity.
const CLIENTS: u32 = 1 << 20;

/// The family of the table for IPv4 or IPv6.
#[must_use]
pub fn family(v6: bool) -> Family {
    if v6 { Family::Ip6 } else { Family::Ip }
}

/// A set or map of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// All cluster addresses.
    ClusterIps,
    /// Address, protocol and port to route.
    Services,
    /// External address, protocol and port to the cluster's.
    Aliases,
    /// What a pod or the node itself takes instead, where the external policy is local.
    Inside,
    /// What everybody else takes there.
    Outside,
    /// Addresses with node ports.
    NodePortIps,
    /// Protocol and node port to route.
    NodePorts,
    /// Protocol and node port to the cluster's address.
    NodeAliases,
    /// As [`Self::Inside`], for node ports.
    NodeInside,
    /// As [`Self::Outside`], for node ports.
    NodeOutside,
    /// Cluster address, protocol, port and a number to endpoint.
    Endpoints,
    /// The same for Services whose clients stay with an endpoint.
    StickyEndpoints,
    /// Cluster address, protocol, port and client to endpoint; filled by packets.
    Affinity,
    /// The same for those that a local policy lets reach endpoints of this node only.
    LocalAffinity,
    /// Where nobody can take traffic, and whether to refuse or to drop it.
    NoEndpoints,
    /// The same for node ports.
    NoEndpointNodePorts,
    /// Load balancer addresses that are not open to everybody.
    Firewalled,
    /// Who may use them.
    AllowedSources,
    /// Endpoints of this node, as pairs of equals: a pod that reaches itself.
    Hairpin,
    /// Route to chain.
    Routes,
    /// Route to chain, for those that a split leads to: the kernel refuses a way back.
    Picks,
    /// What to do where nobody can take traffic.
    Refusals,
}

use Set::{
    Affinity, Aliases, AllowedSources, ClusterIps, Endpoints, Firewalled, Hairpin, Inside,
    LocalAffinity, NoEndpointNodePorts, NoEndpoints, NodeAliases, NodeInside, NodeOutside,
    NodePortIps, NodePorts, Outside, Picks, Refusals, Routes, Services, StickyEndpoints,
};

/// All of them.
pub const SETS: [Set; 22] = [
    ClusterIps,
    Services,
    Aliases,
    Inside,
    Outside,
    NodePortIps,
    NodePorts,
    NodeAliases,
    NodeInside,
    NodeOutside,
    Endpoints,
    StickyEndpoints,
    Affinity,
    LocalAffinity,
    NoEndpoints,
    NoEndpointNodePorts,
    Firewalled,
    AllowedSources,
    Hairpin,
    Routes,
    Picks,
    Refusals,
];

impl Set {
    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClusterIps => "cluster-ips",
            Services => "services",
            Aliases => "aliases",
            Inside => "inside",
            Outside => "outside",
            NodePortIps => "node-port-ips",
            NodePorts => "node-ports",
            NodeAliases => "node-aliases",
            NodeInside => "node-inside",
            NodeOutside => "node-outside",
            Endpoints => "endpoints",
            StickyEndpoints => "sticky-endpoints",
            Affinity => "affinity",
            LocalAffinity => "local-affinity",
            NoEndpoints => "no-endpoints",
            NoEndpointNodePorts => "no-endpoint-node-ports",
            Firewalled => "firewalled",
            AllowedSources => "allowed-sources",
            Hairpin => "hairpin",
            Routes => "routes",
            Picks => "picks",
            Refusals => "refusals",
        }
    }

    /// Whether its elements follow from the rules: the others are filled by the skeleton, with the
    /// routes, or by packets.
    #[must_use]
    pub fn is_rendered(self) -> bool {
        !matches!(self, Affinity | LocalAffinity | Routes | Picks | Refusals)
    }

    /// Whether it serves the choice of an endpoint, which is not the table's where IPVS chooses.
    #[must_use]
    pub fn is_of_choice(self) -> bool {
        matches!(
            self,
            Aliases
                | Inside
                | Outside
                | NodeAliases
                | NodeInside
                | NodeOutside
                | Endpoints
                | StickyEndpoints
        )
    }

    /// The types of its key.
    #[must_use]
    pub fn key(self, v6: bool) -> Vec<Type> {
        let ip = if v6 { Type::Ipv6 } else { Type::Ipv4 };
        let at = [ip, Type::Protocol, Type::Port];
        match self {
            ClusterIps | NodePortIps => vec![ip],
            Services | Aliases | Inside | Outside | NoEndpoints | Firewalled => at.to_vec(),
            NodePorts | NodeAliases | NodeInside | NodeOutside | NoEndpointNodePorts => {
                vec![Type::Protocol, Type::Port]
            }
            Endpoints | StickyEndpoints => [&at[..], &[Type::Mark]].concat(),
            Affinity | LocalAffinity | AllowedSources => [&at[..], &[ip]].concat(),
            Hairpin => vec![ip, ip],
            Routes | Picks => vec![Type::Mark, Type::Mark],
            Refusals => vec![Type::Mark],
        }
    }

    /// What its elements hold.
    #[must_use]
    pub fn kind(self, v6: bool) -> SetKind {
        let ip = if v6 { Type::Ipv6 } else { Type::Ipv4 };
        match self {
            ClusterIps | NodePortIps | Firewalled | AllowedSources | Hairpin => SetKind::Set,
            Services | Inside | Outside | NodePorts | NodeInside | NodeOutside => {
                SetKind::Map(vec![Type::Mark, Type::Mark, Type::Mark])
            }
            Aliases | NodeAliases => SetKind::Map(vec![Type::Mark, ip, Type::Protocol, Type::Port]),
            Endpoints | Affinity | LocalAffinity => SetKind::Map(vec![ip, Type::Port]),
            StickyEndpoints => SetKind::Map(vec![Type::Mark, ip, Type::Port]),
            NoEndpoints | NoEndpointNodePorts => SetKind::Map(vec![Type::Mark, Type::Mark]),
            Routes | Picks | Refusals => SetKind::VerdictMap,
        }
    }

    fn traits(self) -> Traits {
        match self {
            Affinity | LocalAffinity => Traits::Dynamic(CLIENTS),
            AllowedSources => Traits::Ranges,
            _ => Traits::Plain,
        }
    }

    /// The message that adds it.
    #[must_use]
    pub fn declare(self, v6: bool) -> Message {
        let id = SETS.iter().position(|set| *set == self).unwrap_or(0);
        add_set_with(
            (family(v6), TABLE, self.name()),
            u32::try_from(id + 1).unwrap_or(u32::MAX),
            &self.key(v6),
            &self.kind(v6),
            self.traits(),
        )
    }
}

/// What a map holds that leads to `key` in another one.
#[must_use]
pub fn leading_to(key: &[u8]) -> Vec<u8> {
    [&[0; 4], key].concat()
}

/// Address, protocol and port as a key.
#[must_use]
pub fn at(ip: IpAddr, protocol: Protocol, port: u16) -> Vec<u8> {
    let mut key = ip_bytes(ip);
    key.extend(port_key(protocol, port));
    key
}

/// Protocol and port as a key.
#[must_use]
pub fn port_key(protocol: Protocol, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol.number(), 0, 0, 0, high, low, 0, 0]
}

/// An endpoint as a value.
#[must_use]
pub fn endpoint(endpoint: &Endpoint) -> Vec<u8> {
    let mut value = ip_bytes(endpoint.ip);
    let [high, low] = endpoint.port.to_be_bytes();
    value.extend([high, low, 0, 0]);
    value
}
