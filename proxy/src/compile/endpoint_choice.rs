//! Which endpoints take a port's traffic: readiness, those on their way out, topology. Pure.

use super::{Candidate, endpoint, in_order};
use crate::model::endpoint::NodeHint;
use crate::model::{Endpoint, NodeView, SliceEndpoint};

/// Which groups the policies of a port need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub cluster: bool,
    pub local: bool,
}

/// The endpoints of a port.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub cluster: Vec<Endpoint>,
    pub local: Vec<Endpoint>,
    /// Whether anybody anywhere could take traffic.
    pub anybody: bool,
}

pub(super) fn choose(all: &[Candidate<'_>], wanted: Wanted, view: &NodeView) -> Choice {
    let mut choice = Choice::default();
    if wanted.cluster {
        let topology = topology(all, view);
        choice.cluster = ready_or_last_resort(all, |endpoint| topology.allows(endpoint, view));
        choice.anybody = !choice.cluster.is_empty();
    }
    if wanted.local {
        let usable = |(endpoint, _): &Candidate<'_>| endpoint.ready || endpoint.is_last_resort();
        choice.anybody |= all.iter().any(usable);
        let here: Vec<_> = all.iter().filter(|(e, _)| e.local).copied().collect();
        choice.local = ready_or_last_resort(&here, |_| true);
    }
    choice
}

/// The ready ones that are allowed; where nobody is ready, those that still answer while they end.
fn ready_or_last_resort(
    all: &[Candidate<'_>],
    allowed: impl Fn(&SliceEndpoint) -> bool,
) -> Vec<Endpoint> {
    let those = |keep: &dyn Fn(&SliceEndpoint) -> bool| -> Vec<Endpoint> {
        let kept = all.iter().filter(|(candidate, _)| keep(candidate));
        in_order(kept.map(endpoint).collect())
    };
    let ready = those(&|endpoint| endpoint.ready && allowed(endpoint));
    if ready.is_empty() {
        return those(&SliceEndpoint::is_last_resort);
    }
    ready
}

/// How hints narrow the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    Anywhere,
    SameNode,
    SameZone,
}

impl Topology {
    fn allows(self, endpoint: &SliceEndpoint, view: &NodeView) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode => endpoint.nodes == NodeHint::Here,
            Self::SameZone => is_for_zone(endpoint, view),
        }
    }
}

/// Hints count only where every ready endpoint has one and somebody is meant for here.
fn topology(all: &[Candidate<'_>], view: &NodeView) -> Topology {
    let ready = || all.iter().map(|(e, _)| *e).filter(|e| e.ready);
    let all_by_node = ready().all(|e| e.nodes != NodeHint::Absent);
    if all_by_node && ready().any(|e| e.nodes == NodeHint::Here) {
        return Topology::SameNode;
    }
    let all_by_zone = ready().all(|e| !e.zones.is_empty());
    if all_by_zone && ready().any(|e| is_for_zone(e, view)) {
        return Topology::SameZone;
    }
    Topology::Anywhere
}

fn is_for_zone(endpoint: &SliceEndpoint, view: &NodeView) -> bool {
    let Some(zone) = &view.zone else {
        return false;
    };
    endpoint.zones.iter().any(|hint| hint == zone)
}
