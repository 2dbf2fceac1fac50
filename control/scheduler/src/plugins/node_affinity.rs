//! `NodeAffinity`: the node selector, required node affinity, and what the profile adds to both.

use crate::cluster::Host;
use crate::framework::{
    Cycle, Filter, NodeCheck, NodeScore, Prepared, Reason, Score, Verdict, normalize_by_most,
};
use crate::intern::Word;
use crate::model::{Class, NodeTerm, Test};

const OTHER: Reason = Reason::Text("node(s) didn't match Pod's node affinity/selector");
const ADDED: Reason = Reason::Text("node(s) didn't match scheduler-enforced node affinity");
const CONFLICT: Reason =
    Reason::Text("node(s) didn't match Pod's node affinity/selector: no node has all these names");

/// The plugin, with `addedAffinity`.
#[derive(Debug, Default)]
pub struct NodeAffinity {
    /// Required of all nodes; `None` for nothing.
    pub required: Option<Vec<NodeTerm>>,
    /// Preferred for all pods, with weights.
    pub preferred: Vec<(i32, NodeTerm)>,
}

impl NodeAffinity {
    fn allows(&self, host: &Host) -> bool {
        let node = host.node();
        self.required.as_ref().is_none_or(|terms| {
            let mut terms = terms.iter();
            terms.any(|term| term.matches(&node.name, &node.labels))
        })
    }
}

impl Filter for NodeAffinity {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let class = &*cycle.pod.class;
        if self.required.is_none()
            && class.node_required.is_none()
            && class.node_selector.is_empty()
        {
            return Prepared::Skip;
        }
        let check = Box::new(Allowed {
            plugin: self,
            class,
        });
        match names(class) {
            None => Prepared::Check(check),
            Some(names) if names.is_empty() => Prepared::Refuse {
                reason: CONFLICT,
                for_good: true,
            },
            Some(names) => Prepared::Only(names, check),
        }
    }
}

/// The nodes that can be meant at all, where each term names its own.
fn names(class: &Class) -> Option<Vec<Word>> {
    let mut all = Vec::new();
    for term in class.node_required.as_ref()? {
        let mut sets = term.names.iter().filter_map(|test| match test {
            Test::In(names) => Some(names),
            _ => None,
        });
        let mut named = sets.next()?.clone();
        for set in sets {
            named.retain(|name| set.contains(name));
        }
        all.extend(named);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

struct Allowed<'c> {
    plugin: &'c NodeAffinity,
    class: &'c Class,
}

impl NodeCheck for Allowed<'_> {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let node = host.node();
        if !self.plugin.allows(host) {
            why.push(ADDED);
        } else if !self.class.allows(&node.name, &node.labels) {
            why.push(OTHER);
        } else {
            return Verdict::Fits;
        }
        Verdict::RefusedForGood
    }
}

impl Score for NodeAffinity {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        let own = &cycle.pod.class.node_preferred;
        if own.is_empty() && self.preferred.is_empty() {
            return None;
        }
        let lists = [self.preferred.as_slice(), own.as_slice()];
        Some(Box::new(Preferred(lists)))
    }
}

struct Preferred<'c>([&'c [(i32, NodeTerm)]; 2]);

impl NodeScore for Preferred<'_> {
    fn score(&self, host: &Host) -> i64 {
        let node = host.node();
        let terms = self.0.iter().copied().flatten();
        let met = terms.filter(|(_, term)| term.matches(&node.name, &node.labels));
        met.map(|(weight, _)| i64::from(*weight)).sum()
    }

    fn is_relative(&self) -> bool {
        true
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_most(scores, false);
    }
}
