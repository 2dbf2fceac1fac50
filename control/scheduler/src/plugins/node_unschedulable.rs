//! `NodeUnschedulable`: no pods for a cordoned node, but those that tolerate it.

use crate::cluster::Host;
use crate::framework::{Cycle, Filter, NodeCheck, Prepared, Reason, Verdict};
use crate::intern::Word;
use crate::model::taint::{Effect, Taint, tolerated};

const CORDONED: Reason = Reason::Text("node(s) were unschedulable");

/// The plugin.
#[derive(Debug)]
pub struct NodeUnschedulable;

impl Filter for NodeUnschedulable {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let taint = Taint {
            key: Word::of("node.kubernetes.io/unschedulable"),
            value: Word::empty(),
            effect: Effect::NoSchedule,
        };
        if tolerated(&taint, &cycle.pod.class.tolerations) {
            return Prepared::Skip;
        }
        Prepared::Check(Box::new(Open))
    }
}

struct Open;

impl NodeCheck for Open {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        if !host.node().unschedulable {
            return Verdict::Fits;
        }
        why.push(CORDONED);
        Verdict::RefusedForGood
    }
}
