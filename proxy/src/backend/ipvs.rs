//! The IPVS backend: the kernel's load balancer picks endpoints, and the nftables backend's table
//! does the rest.
//!
//! Every address, protocol and port of a Service is a virtual server, and every address is held at a
//! link of its own ([`link`]), so that packets to it come in at all. IPVS neither hides sources nor
//! asks who may come: the table of the nftables backend does that, and refuses where nobody is
//! there, with chains that mark instead of rewriting (see [`crate::model::NodeRules::ipvs`]).
//!
//! IPVS has no transactions: what comes is put before what leads to it, and what goes is removed
//! after. An endpoint of TCP that goes gets no new connections and keeps those it has until they end.
//!
//! Caveats, as upstream's: a Service has one set of endpoints for each address, so pods reach
//! endpoints of this node only at addresses whose policy is local, as long as there are any; a client
//! with affinity stays with one endpoint for each address.
//!
//! [`plan`] (pure) says which virtual servers a Service needs and what a change is, [`apply`] carries
//! it out.

pub mod apply;
pub mod link;
pub mod plan;

pub use apply::{Ipvs, IpvsError};

use keelson_netlink::Cidr;

/// What the IPVS mode is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How virtual servers spread their clients.
    pub scheduler: String,
    /// Virtual servers of others, which are left alone.
    pub excluded: Vec<Cidr>,
    /// Answer ARP at the link that has the address, and nowhere else.
    pub strict_arp: bool,
    /// Seconds for which idle connections are remembered: TCP, TCP after a FIN, UDP; 0 leaves the
    /// kernel's.
    pub timeouts: [u32; 3],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scheduler: "rr".to_owned(),
            excluded: Vec::new(),
            strict_arp: false,
            timeouts: [0; 3],
        }
    }
}

/// The schedulers there are.
pub const SCHEDULERS: [&str; 12] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo",
];

#[cfg(test)]
mod tests;
