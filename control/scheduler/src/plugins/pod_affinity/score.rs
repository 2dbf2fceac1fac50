//! How much a node is liked for the pods that are near.

use super::{Places, PodAffinity, count, means};
use crate::cluster::Host;
use crate::framework::{Cycle, MAX_SCORE, NodeScore, Score};
use crate::model::Pod;

impl Score for PodAffinity {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        let class = &cycle.pod.class;
        let own = !class.near_preferred.is_empty() || !class.apart_preferred.is_empty();
        if !own && (cycle.cluster.pods_with_terms() == 0 || self.ignore_preferred_of_others) {
            return None;
        }
        let mut places = Places::new();
        for host in cycle.cluster.hosts() {
            if own || host.with_terms > 0 {
                for pod in &host.pods {
                    self.weigh(cycle, pod, host, &mut places);
                }
            }
        }
        if places.is_empty() {
            return None;
        }
        Some(Box::new(Liked(places)))
    }

    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        let class = &cycle.pod.class;
        !class.has_pod_terms() && cycle.cluster.pods_with_terms() == 0
    }
}

impl PodAffinity {
    fn weigh(&self, cycle: Cycle<'_>, other: &Pod, host: &Host, places: &mut Places) {
        let (pod, cluster) = (cycle.pod, cycle.cluster);
        let (ours, theirs) = (&pod.class, &other.class);
        for (weight, term) in &ours.near_preferred {
            if means(term, other, cluster) {
                count(places, term, host, i64::from(*weight));
            }
        }
        for (weight, term) in &ours.apart_preferred {
            if means(term, other, cluster) {
                count(places, term, host, -i64::from(*weight));
            }
        }
        if self.hard_weight > 0 {
            for term in &theirs.near {
                if means(term, pod, cluster) {
                    count(places, term, host, self.hard_weight);
                }
            }
        }
        for (weight, term) in &theirs.near_preferred {
            if means(term, pod, cluster) {
                count(places, term, host, i64::from(*weight));
            }
        }
        for (weight, term) in &theirs.apart_preferred {
            if means(term, pod, cluster) {
                count(places, term, host, -i64::from(*weight));
            }
        }
    }
}

struct Liked(Places);

impl NodeScore for Liked {
    fn score(&self, host: &Host) -> i64 {
        let labels = host.node().labels.pairs().iter();
        labels.filter_map(|pair| self.0.get(pair)).sum()
    }

    fn is_relative(&self) -> bool {
        true
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "sums of weights are small"
    )]
    fn normalize(&self, scores: &mut [i64]) {
        let least = scores.iter().copied().min().unwrap_or(0);
        let most = scores.iter().copied().max().unwrap_or(0);
        let range = most - least;
        for score in scores {
            *score = if range > 0 {
                (MAX_SCORE as f64 * ((*score - least) as f64 / range as f64)) as i64
            } else {
                0
            };
        }
    }
}
