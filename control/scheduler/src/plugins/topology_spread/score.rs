//! How much a node is liked for how few like pods there are in its places.

use std::collections::HashMap;

use super::{HOSTNAME, TopologySpread, has_all_labels, includes, selected};
use crate::cluster::Host;
use crate::framework::{Cycle, MAX_SCORE, NodeScore, Score};
use crate::intern::Word;
use crate::model::pod::Otherwise;
use crate::model::{Pod, Spread};

/// The raw score of a node that lacks a label.
const IGNORED: i64 = -1;

impl Score for TopologySpread {
    fn prepare<'c>(
        &'c self,
        cycle: Cycle<'c>,
        feasible: &[usize],
    ) -> Option<Box<dyn NodeScore + 'c>> {
        let spreads = self.constraints(cycle, Otherwise::Anyway);
        if spreads.is_empty() {
            return None;
        }
        let strict = !cycle.pod.class.spread.is_empty() || !self.system;
        let mut sums = Sums {
            pod: cycle.pod,
            strict,
            constraints: spreads.into_iter().map(Constraint::new).collect(),
        };
        sums.find_places(cycle, feasible);
        sums.count_pods(cycle);
        Some(Box::new(sums))
    }

    fn is_local(&self, cycle: Cycle<'_>) -> bool {
        self.constraints(cycle, Otherwise::Anyway).is_empty()
    }
}

struct Constraint {
    spread: Spread,
    /// Whether each node is a place of its own: pods are counted when it is scored.
    per_node: bool,
    places: HashMap<Word, i64>,
    weight: f64,
}

impl Constraint {
    fn new(spread: Spread) -> Self {
        Self {
            per_node: spread.topology.text() == HOSTNAME,
            spread,
            places: HashMap::new(),
            weight: 0.0,
        }
    }
}

struct Sums<'c> {
    pod: &'c Pod,
    strict: bool,
    constraints: Vec<Constraint>,
}

impl Sums<'_> {
    fn is_ignored(&self, host: &Host) -> bool {
        let labels = &host.node().labels;
        let mut keys = self.constraints.iter().map(|c| &c.spread.topology);
        self.strict && !keys.all(|key| labels.value(key).is_some())
    }

    /// The places that nodes are in which will do, and how much their pods weigh: more where
    /// there are many, so that few are not watered down.
    #[expect(clippy::cast_precision_loss, reason = "numbers of places are small")]
    fn find_places(&mut self, cycle: Cycle<'_>, feasible: &[usize]) {
        let mut nodes = 0;
        for at in feasible {
            let host = cycle.cluster.host(*at);
            if self.is_ignored(host) {
                continue;
            }
            nodes += 1;
            for constraint in self.constraints.iter_mut().filter(|c| !c.per_node) {
                let value = host.node().labels.value(&constraint.spread.topology);
                let value = value.cloned().unwrap_or_default();
                constraint.places.entry(value).or_default();
            }
        }
        for constraint in &mut self.constraints {
            let size = if constraint.per_node {
                nodes
            } else {
                constraint.places.len()
            };
            constraint.weight = (size as f64 + 2.0).ln();
        }
    }

    fn count_pods(&mut self, cycle: Cycle<'_>) {
        if self
            .constraints
            .iter()
            .all(|constraint| constraint.per_node)
        {
            return;
        }
        let strict = self.strict;
        let spreads: Vec<Spread> = self.constraints.iter().map(|c| c.spread.clone()).collect();
        for host in cycle.cluster.hosts() {
            if strict && !has_all_labels(host, &spreads) {
                continue;
            }
            for constraint in self.constraints.iter_mut().filter(|c| !c.per_node) {
                let spread = &constraint.spread;
                let value = host.node().labels.value(&spread.topology);
                let value = value.cloned().unwrap_or_default();
                let Some(pods) = constraint.places.get_mut(&value) else {
                    continue;
                };
                if includes(spread, &cycle.pod.class, host) {
                    *pods += selected(host, cycle.pod.namespace(), &spread.selector);
                }
            }
        }
    }
}

impl NodeScore for Sums<'_> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "numbers of pods are small"
    )]
    fn score(&self, host: &Host) -> i64 {
        if self.is_ignored(host) {
            return IGNORED;
        }
        let mut score = 0.0;
        for constraint in &self.constraints {
            let spread = &constraint.spread;
            let Some(value) = host.node().labels.value(&spread.topology) else {
                continue;
            };
            let pods = if constraint.per_node {
                selected(host, self.pod.namespace(), &spread.selector)
            } else {
                constraint.places.get(value).copied().unwrap_or(0)
            };
            score += pods as f64 * constraint.weight + f64::from(spread.max_skew - 1);
        }
        score.round() as i64
    }

    fn is_relative(&self) -> bool {
        true
    }

    fn normalize(&self, scores: &mut [i64]) {
        let known = scores.iter().copied().filter(|score| *score != IGNORED);
        let least = known.clone().min().unwrap_or(i64::MAX);
        let most = known.max().unwrap_or(0);
        for score in scores {
            *score = match *score {
                IGNORED => 0,
                _ if most == 0 => MAX_SCORE,
                score => MAX_SCORE * (most + least - score) / most,
            };
        }
    }
}
