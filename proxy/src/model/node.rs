//! What the rules depend on beside Services: this node and the proxy's configuration. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use keelson_netlink::Cidr;

/// What the choice of endpoints has to know of this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
}

/// Rules that belong to no Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRules {
    /// Where node ports are served.
    pub node_ports: NodePortAddresses,
    /// How traffic of this node's pods is told from other traffic.
    pub local: LocalDetection,
    /// Masquerade everything that is sent to a cluster address.
    pub masquerade_all: bool,
    /// The bit of the packet mark that asks for masquerading.
    pub masquerade_mark: u32,
    /// Let packets pass that connection tracking calls invalid.
    pub tcp_be_liberal: bool,
    /// Addresses of this node, which load balancer source ranges may name.
    pub node_ips: Vec<IpAddr>,
    /// Cluster addresses that this node answers DNS at: a Service of such an address has rules only
    /// while it has endpoints.
    pub dns: Vec<IpAddr>,
    /// Serve node ports at 127.0.0.0/8 too, where all local addresses have them. Only iptables can.
    pub loopback: bool,
    /// Where IPVS picks endpoints, and the nftables backend's chains only mark and refuse: all
    /// addresses that the node has of its own. `None` in the other modes.
    pub ipvs: Option<BTreeSet<IpAddr>>,
}

impl Default for NodeRules {
    fn default() -> Self {
        Self {
            node_ports: NodePortAddresses::EveryLocal,
            local: LocalDetection::Nothing,
            masquerade_all: false,
            masquerade_mark: 1 << 14,
            tcp_be_liberal: false,
            node_ips: Vec::new(),
            dns: Vec::new(),
            loopback: false,
            ipvs: None,
        }
    }
}

/// Addresses that node ports are served at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Whatever is the node's, except loopback.
    EveryLocal,
    /// These.
    Listed(BTreeSet<IpAddr>),
}

/// `detectLocalMode`, resolved: what comes from a pod of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalDetection {
    /// It cannot be told; nothing is masqueraded for coming from elsewhere.
    Nothing,
    /// Source addresses in these networks (`ClusterCIDR`, `NodeCIDR`).
    Sources(Vec<Cidr>),
    /// What comes in through this interface (`BridgeInterface`).
    Interface(String),
    /// What comes in through an interface of such a name (`InterfaceNamePrefix`).
    InterfacePrefix(String),
}

impl LocalDetection {
    /// Whether traffic of one family can be told apart.
    #[must_use]
    pub fn covers(&self, v6: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Sources(cidrs) => cidrs.iter().any(|cidr| cidr.is_v6() == v6),
            Self::Interface(_) | Self::InterfacePrefix(_) => true,
        }
    }
}
