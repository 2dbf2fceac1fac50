//! What follows from one measurement after the other: which conditions the node has, and which
//! threshold drives pods out. A state machine without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Condition, Signal, Threshold};
use crate::model::Mono;

/// What was measured of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is left.
    pub available: u64,
    /// What there is in all.
    pub capacity: u64,
}

/// What was measured at one time. A signal that could not be measured is missing, and no threshold
/// on it is crossed.
pub type Observations = BTreeMap<Signal, Reading>;

/// What follows from a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Conditions that the node has.
    pub conditions: BTreeSet<Condition>,
    /// The threshold to end a pod for, if there is one.
    pub starved: Option<Threshold>,
}

/// Remembers since when thresholds are crossed.
#[derive(Clone, Debug)]
pub struct Watch {
    thresholds: Vec<Threshold>,
    /// `evictionPressureTransitionPeriod`: a condition stays so long after it was last seen.
    transition: Duration,
    /// Since when each is crossed, by place in `thresholds`.
    since: BTreeMap<usize, Mono>,
    /// Those that a pod was to end for at the last measurement.
    driving: BTreeSet<usize>,
    seen: BTreeMap<Condition, Mono>,
}

impl Watch {
    /// A watch that has seen nothing yet.
    #[must_use]
    pub fn new(thresholds: Vec<Threshold>, transition: Duration) -> Self {
        Self {
            thresholds,
            transition,
            since: BTreeMap::new(),
            driving: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// There is something to watch for.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.thresholds.is_empty()
    }

    /// Takes in a measurement.
    pub fn look(&mut self, now: Mono, observed: &Observations) -> Verdict {
        let crossed: Vec<usize> = (0..self.thresholds.len())
            .filter(|at| is_crossed(&self.thresholds[*at], observed, self.driving.contains(at)))
            .collect();
        self.since.retain(|at, _| crossed.contains(at));
        for at in &crossed {
            self.since.entry(*at).or_insert(now);
            self.seen
                .insert(self.thresholds[*at].signal.condition(), now);
        }
        let transition = self.transition;
        self.seen
            .retain(|_, last| now.since(*last) < transition || *last == now);
        let overdue = |(at, since): (&usize, &Mono)| {
            let grace = self.thresholds[*at].grace.unwrap_or_default();
            (now.since(*since) >= grace).then_some(*at)
        };
        self.driving = self.since.iter().filter_map(overdue).collect();
        let first = self.driving.iter().map(|at| self.thresholds[*at]);
        Verdict {
            conditions: self.seen.keys().copied().collect(),
            starved: first.min_by_key(|t| (t.signal.condition(), !t.is_hard())),
        }
    }

    /// After images were removed: whether there is room now, with what has to be reclaimed at
    /// least.
    #[must_use]
    pub fn is_relieved(&self, observed: &Observations) -> bool {
        let mut thresholds = self.thresholds.iter();
        !thresholds.any(|threshold| is_crossed(threshold, observed, true))
    }
}

fn is_crossed(threshold: &Threshold, observed: &Observations, with_reclaim: bool) -> bool {
    let Some(Reading {
        available,
        capacity,
    }) = observed.get(&threshold.signal)
    else {
        return false;
    };
    let reclaim = threshold.min_reclaim.filter(|_| with_reclaim);
    let reclaim = reclaim.map_or(0, |amount| amount.of(*capacity));
    *available < threshold.amount.of(*capacity).saturating_add(reclaim)
}

#[cfg(test)]
mod tests {
    use super::super::Amount;
    use super::*;
    use Condition::{DiskPressure, MemoryPressure};
    use Signal::{MemoryAvailable, NodefsAvailable};

    const HARD: Threshold = Threshold {
        signal: MemoryAvailable,
        amount: Amount::Exact(100),
        grace: None,
        min_reclaim: Some(Amount::Exact(50)),
    };
    const SOFT: Threshold = Threshold {
        signal: NodefsAvailable,
        amount: Amount::MilliPercent(20_000),
        grace: Some(Duration::from_secs(60)),
        min_reclaim: None,
    };

    /// Second, memory available, disk available (of 1000), then conditions and who is starved.
    type Step = (u64, u64, u64, &'static [Condition], Option<Signal>);

    fn check(steps: &[Step]) {
        let mut watch = Watch::new(vec![HARD, SOFT], Duration::from_secs(300));
        for (second, memory, disk, conditions, starved) in steps {
            let reading = |available| Reading {
                available,
                capacity: 1000,
            };
            let observed = Observations::from([
                (MemoryAvailable, reading(*memory)),
                (NodefsAvailable, reading(*disk)),
            ]);
            let verdict = watch.look(Mono(second * 1000), &observed);
            let told: Vec<_> = verdict.conditions.into_iter().collect();
            assert_eq!(told, *conditions, "at {second} s");
            let signal = verdict.starved.map(|threshold| threshold.signal);
            assert_eq!(signal, *starved, "at {second} s");
        }
    }

    #[test]
    fn a_hard_threshold_drives_at_once_until_the_least_reclaim_is_there() {
        check(&[
            (0, 100, 900, &[], None),
            (10, 99, 900, &[MemoryPressure], Some(MemoryAvailable)),
            (20, 149, 900, &[MemoryPressure], Some(MemoryAvailable)),
            (30, 150, 900, &[MemoryPressure], None),
            (40, 149, 900, &[MemoryPressure], None),
        ]);
    }

    #[test]
    fn a_condition_stays_for_the_transition_period() {
        check(&[
            (0, 99, 900, &[MemoryPressure], Some(MemoryAvailable)),
            (10, 900, 900, &[MemoryPressure], None),
            (299, 900, 900, &[MemoryPressure], None),
            (300, 900, 900, &[], None),
        ]);
    }

    #[test]
    fn a_soft_threshold_waits_for_its_grace_and_begins_anew() {
        check(&[
            (0, 900, 199, &[DiskPressure], None),
            (59, 900, 199, &[DiskPressure], None),
            (60, 900, 199, &[DiskPressure], Some(NodefsAvailable)),
            (70, 900, 200, &[DiskPressure], None),
            (80, 900, 199, &[DiskPressure], None),
            (140, 900, 199, &[DiskPressure], Some(NodefsAvailable)),
        ]);
    }

    #[test]
    fn memory_goes_first() {
        check(&[
            (0, 900, 100, &[DiskPressure], None),
            (
                60,
                10,
                100,
                &[MemoryPressure, DiskPressure],
                Some(MemoryAvailable),
            ),
        ]);
    }

    #[test]
    fn what_is_not_measured_is_not_low() {
        let mut watch = Watch::new(vec![HARD], Duration::ZERO);
        assert_eq!(
            watch.look(Mono(0), &Observations::new()),
            Verdict::default()
        );
        assert!(watch.is_relieved(&Observations::new()));
    }
}
