//! `NodeName`: a pod that names its node gets that one. What is bound is not scheduled, so it
//! matters where states of pods are looked at again.

use crate::cluster::Host;
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::intern::Word;

const OTHER: Reason = Reason::Text("node(s) didn't match the requested node name");

/// The plugin.
#[derive(Debug)]
pub struct NodeName;

impl Filter for NodeName {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        match &cycle.pod.node {
            None => Prepared::Skip,
            Some(node) => Prepared::Check(Box::new(Named(node))),
        }
    }
}

struct Named<'c>(&'c Word);

impl NodeCheck for Named<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        if host.node().name == *self.0 {
            return Verdict::Fits;
        }
        why.push(OTHER);
        Verdict::RefusedForGood
    }
}
