//! `NodePorts`: no node on which a port of the host that the pod wants is taken.

use crate::cluster::Host;
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::model::HostPort;

const TAKEN: Reason = Reason::Text("node(s) didn't have free ports for the requested pod ports");

/// The plugin.
#[derive(Debug)]
pub struct NodePorts;

impl Filter for NodePorts {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        match cycle.pod.class.ports.as_slice() {
            [] => Prepared::Skip,
            ports => Prepared::Check(Box::new(Free(ports))),
        }
    }
}

struct Free<'c>(&'c [HostPort]);

impl NodeCheck for Free<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        if host.with_ports == 0 {
            return Verdict::Fits;
        }
        let mut taken = host.pods.iter().flat_map(|pod| &pod.class.ports);
        if taken.any(|taken| self.0.iter().any(|wanted| wanted.clashes(taken))) {
            why.push(TAKEN);
            return Verdict::Refused;
        }
        Verdict::Fits
    }
}
