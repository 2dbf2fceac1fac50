//! What a plugin can be asked: one small trait for each point at which plugins extend scheduling.
//!
//! Everything here is pure. A plugin is asked once per pod and answers with what looks at nodes
//! (`NodeCheck`, `NodeScore`): whatever the pod's class needs is worked out before the first node.
//! Must not know which plugins there are.

use std::fmt;

use crate::cluster::{Cluster, Host};
use crate::intern::Word;
use crate::model::Pod;

pub mod binding;
pub mod reason;

pub use binding::{Bind, Errand, Held, Permit, PostBind, PreBind, Reserve};
pub use reason::Reason;

/// The best score of a node.
pub const MAX_SCORE: i64 = 100;

/// What a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct Cycle<'c> {
    /// The pod.
    pub pod: &'c Pod,
    /// The cluster as it stands.
    pub cluster: &'c Cluster,
}

/// Which plugin of a profile, by its place there.
pub type PluginId = u8;

/// A set of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginSet(u64);

impl PluginSet {
    /// With one more.
    pub fn insert(&mut self, plugin: PluginId) {
        self.0 |= 1 << plugin;
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, plugin: PluginId) -> bool {
        self.0 & (1 << plugin) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = PluginId> {
        (0..64).filter(move |plugin| self.contains(*plugin))
    }
}

/// Whether a pod may be thought about at all.
pub trait PreEnqueue: fmt::Debug + Send + Sync {
    /// Why it may not, if so.
    fn hold(&self, pod: &Pod) -> Option<Reason>;
}

/// Which nodes will do.
pub trait Filter: fmt::Debug + Send + Sync {
    /// What to ask of each node.
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c>;

    /// Whether a node's verdict depends on that node alone, and not on pods elsewhere.
    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        let _ = cycle;
        true
    }
}

/// What a filter makes of a pod.
pub enum Prepared<'c> {
    /// Nothing to ask: any node will do.
    Skip,
    /// Each node is asked.
    Check(Box<dyn NodeCheck + 'c>),
    /// Each of these nodes is asked, and no other will do.
    Only(Vec<Word>, Box<dyn NodeCheck + 'c>),
    /// No node will do.
    Refuse {
        /// Why.
        reason: Reason,
        /// Whether it would not help to make room.
        for_good: bool,
    },
}

/// Whether a node will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It will.
    Fits,
    /// It will not, but might if pods went.
    Refused,
    /// It will not, whatever pods go.
    RefusedForGood,
}

/// Looks at nodes for one pod. `joins` and `leaves` say what would be if another pod came or went:
/// doing one and then the other leaves things as they were.
pub trait NodeCheck {
    /// Looks at a node; reasons against it are added to `why`.
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict;

    /// If this pod were on the host, too.
    fn joins(&mut self, pod: &Pod, host: &Host) {
        let _ = (pod, host);
    }

    /// If this pod were no longer on the host.
    fn leaves(&mut self, pod: &Pod, host: &Host) {
        let _ = (pod, host);
    }
}

/// How good nodes are that will do.
pub trait Score: fmt::Debug + Send + Sync {
    /// What to ask of each node; `None` where the pod does not care. `feasible` are places in the
    /// cluster.
    fn prepare<'c>(
        &'c self,
        cycle: Cycle<'c>,
        feasible: &[usize],
    ) -> Option<Box<dyn NodeScore + 'c>>;

    /// Whether a node's raw score depends on that node alone, and not on pods elsewhere.
    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        let _ = cycle;
        true
    }
}

/// Scores nodes for one pod.
pub trait NodeScore {
    /// A node's score, which may be on any scale before `normalize`.
    fn score(&self, host: &Host) -> i64;

    /// Brings the scores of all nodes to 0 to 100, where they are not there yet.
    fn normalize(&self, scores: &mut [i64]) {
        let _ = scores;
    }

    /// Whether `normalize` does anything: then a node's score depends on the others'.
    fn is_relative(&self) -> bool {
        false
    }
}

/// Brings scores to 0 to 100 by the largest; `reverse` where small ones are good.
pub fn normalize_by_most(scores: &mut [i64], reverse: bool) {
    let most = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if most == 0 {
            0
        } else {
            MAX_SCORE * *score / most
        };
        *score = if reverse { MAX_SCORE - scaled } else { scaled };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizing_by_the_largest() {
        let check = |scores: &[i64], reverse, expected: &[i64]| {
            let mut scores = scores.to_vec();
            normalize_by_most(&mut scores, reverse);
            assert_eq!(scores, expected);
        };
        check(&[1, 2, 4], false, &[25, 50, 100]);
        check(&[1, 2, 4], true, &[75, 50, 0]);
        check(&[0, 0], false, &[0, 0]);
        check(&[0, 0], true, &[100, 100]);
    }

    #[test]
    fn sets_of_plugins() {
        let mut set = PluginSet::default();
        assert!(set.is_empty());
        set.insert(3);
        set.insert(17);
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 17]);
    }
}
