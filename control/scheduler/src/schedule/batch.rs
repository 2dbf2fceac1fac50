//! Pods of one class, one after the other, for the price of one: nodes are looked at once, and
//! after each pod only the node that it went to is looked at again.
//!
//! It is used only where the outcome is the same as that of looking at all nodes anew for each:
//! - no filter or score of the class depends on pods elsewhere ([`crate::framework::Filter`]'s and
//!   [`crate::framework::Score`]'s `is_local`), so a placed pod changes its own node's verdict and
//!   score only;
//! - scores that are brought to scale by those of other nodes are equal on all nodes, and do not
//!   depend on pods, so that they stay equal and change no order, whichever node drops out;
//! - no room is being made for any pod, and the cluster has not changed otherwise since.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dice, Filtering, Placement, totals};
use crate::cluster::Cluster;
use crate::framework::{Cycle, NodeScore};
use crate::model::{Class, Pod};
use crate::profile::Profile;

/// Nodes that will do for a class, by score.
#[derive(Debug)]
pub struct Batch {
    class: Arc<Class>,
    generation: u64,
    by_score: BTreeMap<i64, Vec<usize>>,
    left: usize,
}

/// Whether a class can be treated so in this cluster, as it stands.
fn is_local(profile: &Profile, cycle: Cycle<'_>) -> bool {
    !cycle.cluster.has_nominations()
        && !profile.is_concerned(cycle.pod)
        && profile.plugins.iter().all(|plugin| {
            plugin
                .filter
                .as_ref()
                .is_none_or(|filter| filter.is_local(cycle))
                && plugin
                    .score
                    .as_ref()
                    .is_none_or(|(score, _)| score.is_local(cycle))
        })
}

/// Whether scores that depend on those of others are the same everywhere.
fn relative_scores_are_equal(profile: &Profile, cycle: Cycle<'_>, feasible: &[usize]) -> bool {
    let is_equal = |scorer: &dyn NodeScore| {
        let mut scores = feasible
            .iter()
            .map(|at| scorer.score(cycle.cluster.host(*at)));
        let first = scores.next();
        scores.all(|score| Some(score) == first)
    };
    profile.plugins.iter().all(|plugin| {
        let score = plugin.score.as_ref();
        let scorer = score.and_then(|(score, _)| score.prepare(cycle, feasible));
        scorer.is_none_or(|scorer| !scorer.is_relative() || is_equal(&*scorer))
    })
}

impl Batch {
    /// Looks at all nodes for a class. `None` where it has to be done pod by pod, or no node
    /// will do.
    #[must_use]
    pub fn begin(profile: &Profile, cycle: Cycle<'_>) -> Option<Self> {
        if !is_local(profile, cycle) {
            return None;
        }
        let mut filtering = Filtering::prepare(profile, cycle).ok()?;
        if filtering.only.is_some() {
            return None;
        }
        let cluster = cycle.cluster;
        let fits = |at: &&usize| filtering.refused(cluster.host(**at)).is_none();
        let feasible: Vec<usize> = cluster.order().iter().filter(fits).copied().collect();
        if feasible.is_empty() || !relative_scores_are_equal(profile, cycle, &feasible) {
            return None;
        }
        let mut by_score: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (at, score) in feasible.iter().zip(totals(profile, cycle, &feasible)) {
            by_score.entry(score).or_default().push(*at);
        }
        Some(Self {
            class: cycle.pod.class.clone(),
            generation: cluster.generation(),
            by_score,
            left: feasible.len(),
        })
    }

    /// Whether it holds for this pod, and nothing changed.
    #[must_use]
    pub fn serves(&self, pod: &Pod, cluster: &Cluster) -> bool {
        self.generation == cluster.generation()
            && self.left > 0
            && Arc::ptr_eq(&self.class, &pod.class)
    }

    /// One of the best nodes, by chance. [`Batch::placed`] has to be told when the pod is there.
    pub fn take(&mut self, cluster: &Cluster, dice: &mut Dice) -> Option<(usize, Placement)> {
        let mut best = self.by_score.last_entry()?;
        let equals = best.get_mut();
        let at = equals.swap_remove(dice.below(equals.len()));
        if equals.is_empty() {
            best.remove();
        }
        let placement = Placement {
            node: cluster.host(at).node().name.clone(),
            evaluated: 1,
            feasible: self.left,
        };
        self.left -= 1;
        Some((at, placement))
    }

    /// The pod of the last [`Batch::take`] is on its node, and nothing else changed: looks at
    /// that node again.
    pub fn placed(&mut self, profile: &Profile, cycle: Cycle<'_>, at: usize) {
        self.generation = cycle.cluster.generation();
        let Ok(mut filtering) = Filtering::prepare(profile, cycle) else {
            return;
        };
        if filtering.refused(cycle.cluster.host(at)).is_some() {
            return;
        }
        let score = totals(profile, cycle, &[at]);
        self.by_score.entry(score[0]).or_default().push(at);
        self.left += 1;
    }
}
