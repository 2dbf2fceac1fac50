//! EndpointSlices, with the fields a proxy acts on and nothing else. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use super::service::{Protocol, ServiceKey};

/// A slice of a Service's endpoints, all of one address family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service it belongs to (label `kubernetes.io/service-name`).
    pub service: ServiceKey,
    /// `ports`.
    pub ports: Vec<SlicePort>,
    /// `endpoints`; one of several addresses counts once for each.
    pub endpoints: Vec<SliceEndpoint>,
    /// `endpoints[].hostname`, by place in `endpoints`, in order; most slices have none.
    pub hostnames: Box<[(usize, Arc<str>)]>,
}

impl EndpointSlice {
    /// The hostname of the endpoint at this place.
    #[must_use]
    pub fn hostname(&self, place: usize) -> Option<&Arc<str>> {
        let found = self.hostnames.binary_search_by_key(&place, |(at, _)| *at);
        found.ok().map(|at| &self.hostnames[at].1)
    }

    /// All endpoints with a hostname, and that.
    pub fn named_endpoints(&self) -> impl Iterator<Item = (&SliceEndpoint, &Arc<str>)> {
        let all = self.hostnames.iter();
        all.filter_map(|(at, name)| Some((self.endpoints.get(*at)?, name)))
    }
}

/// A port that all endpoints of a slice listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// `name`, which the Service's port has too.
    pub name: Arc<str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
}

/// One address behind a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The address.
    pub ip: IpAddr,
    /// Whether it is on this node.
    pub local: bool,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `hints.forZones`.
    pub zones: Box<[Arc<str>]>,
    /// What `hints.forNodes` says.
    pub nodes: NodeHint,
}

impl SliceEndpoint {
    /// Whether it may stand in where nobody is ready: on its way out, but still answering.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        self.serving && self.terminating
    }
}

/// `hints.forNodes`, seen from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeHint {
    /// There is none.
    Absent,
    /// It names this node.
    Here,
    /// It names other nodes only.
    Elsewhere,
}
