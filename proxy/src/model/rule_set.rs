//! The rules of a Service, neutral of any backend: who is reached by which address, and what
//! becomes of traffic that nobody can take. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use keelson_netlink::Cidr;

use super::service::Protocol;

/// Everything a backend has to know of one Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRules {
    /// One for each port and address family, in order.
    pub ports: Vec<PortRules>,
    /// Where the number of local endpoints is told to load balancers.
    pub health: Option<HealthCheck>,
}

impl ServiceRules {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.health.is_none()
    }
}

/// A health-check node port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port.
    pub port: u16,
    /// How many endpoints of this node are ready.
    pub local_endpoints: usize,
}

/// One port of a Service in one address family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRules {
    /// Name of the port, empty where there is only one.
    pub name: Arc<str>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The cluster address.
    pub cluster_ip: IpAddr,
    /// The port at cluster, external and load balancer addresses.
    pub port: u16,
    /// The port at the node's addresses.
    pub node_port: Option<u16>,
    /// External and load balancer addresses, in order and once each.
    pub entrances: Vec<Entrance>,
    /// Seconds for which a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// Who takes what is sent to the cluster address.
    pub internal: Policy,
    /// Who takes what is sent to other addresses.
    pub external: Policy,
    /// Endpoints of the whole cluster, in order and once each; empty where no policy uses them.
    pub cluster: Vec<Endpoint>,
    /// Endpoints of this node, in order and once each; empty where no policy uses them.
    pub local: Vec<Endpoint>,
    /// Whether anybody anywhere could take traffic.
    pub anybody: bool,
    /// Addresses that answer, ready or not, wherever they are: flows to them are not stale.
    pub serving: Vec<IpAddr>,
}

impl PortRules {
    /// The address family.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.cluster_ip.is_ipv6()
    }

    /// What becomes of traffic to the cluster address.
    #[must_use]
    pub fn internal_verdict(&self) -> Verdict {
        self.verdict(self.internal)
    }

    /// What becomes of traffic to other addresses.
    #[must_use]
    pub fn external_verdict(&self) -> Verdict {
        self.verdict(self.external)
    }

    /// The endpoints of a policy.
    #[must_use]
    pub fn endpoints(&self, policy: Policy) -> &[Endpoint] {
        match policy {
            Policy::Cluster => &self.cluster,
            Policy::Local => &self.local,
        }
    }

    /// Whether it can be reached by another address than the cluster's.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.entrances.is_empty()
    }

    fn verdict(&self, policy: Policy) -> Verdict {
        if !self.endpoints(policy).is_empty() {
            Verdict::Serve(policy)
        } else if self.anybody {
            Verdict::Drop
        } else {
            Verdict::Reject
        }
    }
}

/// Where traffic may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// To endpoints anywhere.
    Cluster,
    /// To endpoints of this node.
    Local,
}

/// What becomes of traffic to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to an endpoint of this policy.
    Serve(Policy),
    /// It vanishes: endpoints are elsewhere, and a load balancer must not take this node for dead.
    Drop,
    /// It is refused: there is no endpoint at all.
    Reject,
}

/// An external or load balancer address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The address.
    pub ip: IpAddr,
    /// Who may come in; `None` is everybody.
    pub sources: Option<Arc<[Cidr]>>,
}

/// An endpoint's address and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Whether it is on this node.
    pub local: bool,
}

impl Endpoint {
    /// Address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}
