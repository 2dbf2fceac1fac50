//! `NodeResourcesFit` and `NodeResourcesBalancedAllocation`: whether there is room, and how well
//! it would be used.

use crate::cluster::Host;
use crate::framework::{Cycle, Filter, NodeCheck, NodeScore, Prepared, Reason, Score, Verdict};
use crate::model::{Class, Kind};

pub mod strategy;

pub use strategy::Strategy;

const FULL: Reason = Reason::Text("Too many pods");

/// `NodeResourcesFit`.
#[derive(Debug)]
pub struct Fit {
    /// Resources that are not looked at, by name.
    pub ignored: Vec<String>,
    /// Resources that are not looked at, by what is before the slash.
    pub ignored_groups: Vec<String>,
    /// How nodes are scored.
    pub strategy: Strategy,
    /// By which resources, with weights.
    pub resources: Vec<(Kind, i64)>,
}

impl Default for Fit {
    fn default() -> Self {
        Self {
            ignored: Vec::new(),
            ignored_groups: Vec::new(),
            strategy: Strategy::Least,
            resources: vec![(Kind::Cpu, 1), (Kind::Memory, 1)],
        }
    }
}

impl Fit {
    fn is_ignored(&self, kind: &Kind) -> bool {
        let Kind::Other(name) = kind else {
            return false;
        };
        let group = name.text().split_once('/').map(|(group, _)| group);
        self.ignored.iter().any(|ignored| ignored == name.text())
            || group.is_some_and(|group| self.ignored_groups.iter().any(|known| known == group))
    }
}

impl Filter for Fit {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>) -> Prepared<'c> {
        let wanted = cycle.pod.class.requests.iter();
        let wanted = wanted
            .filter(|(kind, amount)| *amount > 0 && !self.is_ignored(kind))
            .collect();
        Prepared::Check(Box::new(Room { wanted }))
    }
}

struct Room {
    wanted: Vec<(Kind, i64)>,
}

impl NodeCheck for Room {
    fn check(&self, host: &Host, why: &mut Vec<Reason>) -> Verdict {
        let mut verdict = Verdict::Fits;
        if host.room_for_pods() < 1 {
            why.push(FULL);
            verdict = Verdict::Refused;
        }
        let allocatable = &host.node().allocatable;
        for (kind, wanted) in &self.wanted {
            let has = allocatable.amount(kind);
            if *wanted <= has - host.requested.amount(kind) {
                continue;
            }
            why.push(Reason::Insufficient(kind.clone()));
            if *wanted > has {
                verdict = Verdict::RefusedForGood;
            } else if verdict == Verdict::Fits {
                verdict = Verdict::Refused;
            }
        }
        verdict
    }
}

impl Score for Fit {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        Some(Box::new(Use {
            wanted: wanted(&cycle.pod.class, &self.resources, true),
            resources: &self.resources,
            strategy: &self.strategy,
        }))
    }
}

/// How much of each resource the pod would add.
fn wanted(class: &Class, resources: &[(Kind, i64)], scored: bool) -> Vec<i64> {
    let amount = |kind: &Kind| match kind {
        Kind::Cpu if scored => class.scored.0,
        Kind::Memory if scored => class.scored.1,
        kind => class.requests.amount(kind),
    };
    resources.iter().map(|(kind, _)| amount(kind)).collect()
}

/// What is on a node already of a resource.
fn used(host: &Host, kind: &Kind, scored: bool) -> i64 {
    match kind {
        Kind::Cpu if scored => host.scored.0,
        Kind::Memory if scored => host.scored.1,
        kind => host.requested.amount(kind),
    }
}

struct Use<'c> {
    wanted: Vec<i64>,
    resources: &'c [(Kind, i64)],
    strategy: &'c Strategy,
}

impl NodeScore for Use<'_> {
    fn score(&self, host: &Host) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for ((kind, weight), wanted) in self.resources.iter().zip(&self.wanted) {
            // A device that the pod does not want says nothing about the node.
            if *wanted == 0 && matches!(kind, Kind::Other(_)) {
                continue;
            }
            let has = host.node().allocatable.amount(kind);
            if has == 0 {
                continue;
            }
            let would = used(host, kind, true).saturating_add(*wanted);
            sum += self.strategy.score(would, has) * weight;
            weights += weight;
        }
        self.strategy.mean(sum, weights)
    }
}

/// `NodeResourcesBalancedAllocation`.
#[derive(Debug)]
pub struct Balanced {
    /// By which resources.
    pub resources: Vec<(Kind, i64)>,
}

impl Default for Balanced {
    fn default() -> Self {
        Self {
            resources: vec![(Kind::Cpu, 1), (Kind::Memory, 1)],
        }
    }
}

impl Score for Balanced {
    fn prepare<'c>(&'c self, cycle: Cycle<'c>, _: &[usize]) -> Option<Box<dyn NodeScore + 'c>> {
        let wanted = wanted(&cycle.pod.class, &self.resources, false);
        // What asks for nothing balances nothing.
        if wanted.iter().all(|amount| *amount == 0) {
            return None;
        }
        Some(Box::new(Balance {
            wanted,
            resources: &self.resources,
        }))
    }
}

struct Balance<'c> {
    wanted: Vec<i64>,
    resources: &'c [(Kind, i64)],
}

impl NodeScore for Balance<'_> {
    fn score(&self, host: &Host) -> i64 {
        let mut shares = [0.0_f64; 8];
        let mut count = 0;
        for ((kind, _), wanted) in self.resources.iter().zip(&self.wanted).take(8) {
            if *wanted == 0 && matches!(kind, Kind::Other(_)) {
                continue;
            }
            let has = host.node().allocatable.amount(kind);
            if has == 0 {
                continue;
            }
            let would = used(host, kind, false).saturating_add(*wanted);
            shares[count] = strategy::share(would, has).min(1.0);
            count += 1;
        }
        strategy::balance(&shares[..count])
    }
}

#[cfg(test)]
mod tests;
