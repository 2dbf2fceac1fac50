//! Which pods of lower priority have to go so that a pod gets a node: as few and as unimportant as
//! can be, and against disruption budgets only where nothing else is left. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::cluster::Host;
use crate::framework::reason::Tally;
use crate::framework::{Cycle, Reason};
use crate::intern::Word;
use crate::model::{Pod, PodKey};
use crate::profile::{Preemption, Profile};
use crate::schedule::{Dice, Filtering, Refusal};

const NO_HELP: Reason = Reason::Text("Preemption is not helpful for scheduling");
const NO_VICTIMS: Reason = Reason::Text("No preemption victims found for incoming pod");
/// What makes negative priorities count, too, where they are summed.
const LIFT: i64 = 1 << 31;

/// Pods that have to go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The node on which there will be room.
    pub node: Word,
    /// Who has to go, the most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them are guarded by a budget that is used up.
    pub violations: usize,
    /// Pods of lower priority that room was being made for there, and is no longer.
    pub displaced: Vec<PodKey>,
}

/// Decides who has to go.
///
/// # Errors
/// Why it would not help, as it is told.
pub fn preempt(
    profile: &Profile,
    settings: Preemption,
    cycle: Cycle<'_>,
    refusal: &Refusal,
    dice: &mut Dice,
) -> Result<Plan, String> {
    eligible(cycle, refusal)?;
    let Ok(mut filtering) = Filtering::prepare(profile, cycle) else {
        return Err(unhelpful(refusal, &Tally::default(), refusal.nodes));
    };
    let potential = &refusal.resolvable;
    let wanted = (potential.len() * settings.percentage / 100).max(settings.least);
    let offset = dice.below(potential.len());
    let mut tally = Tally::default();
    let mut plans: Vec<Plan> = Vec::new();
    let rest = refusal.nodes - potential.len();
    for at in potential.iter().cycle().skip(offset).take(potential.len()) {
        match victims_on(cycle, &mut filtering, cycle.cluster.host(*at)) {
            Ok(plan) => plans.push(plan),
            Err(reasons) => tally.add(reasons, 1),
        }
        if plans.len() >= wanted && plans.iter().any(|plan| plan.violations == 0) {
            break;
        }
    }
    let Some(mut plan) = plans.into_iter().min_by_key(Plan::cost) else {
        return Err(unhelpful(refusal, &tally, rest));
    };
    plan.displaced = displaced(cycle, &plan.node);
    Ok(plan)
}

fn unhelpful(refusal: &Refusal, tally: &Tally, rest: usize) -> String {
    let mut tally = tally.clone();
    if rest > 0 {
        tally.add([NO_HELP], rest);
    }
    tally.sentence(refusal.nodes, None)
}

/// A pod may displace others where its policy says so and it does not wait for that already.
fn eligible(cycle: Cycle<'_>, refusal: &Refusal) -> Result<(), String> {
    let class = &cycle.pod.class;
    if !class.preempts {
        return Err("not eligible due to preemptionPolicy=Never".to_owned());
    }
    let nominated = cycle.cluster.nomination(&cycle.pod.key);
    let Some(at) = nominated.and_then(|node| cycle.cluster.find(node)) else {
        return Ok(());
    };
    let leaving =
        |pod: &Arc<Pod>| pod.deleting && pod.preempted && pod.class.priority < class.priority;
    // Where the node will not do whoever goes, waiting for it is no use.
    if refusal.resolvable.contains(&at) && cycle.cluster.host(at).pods.iter().any(leaving) {
        return Err("not eligible due to a terminating pod on the nominated node".to_owned());
    }
    Ok(())
}

/// Pods of lower priority that room is being made for on this node.
fn displaced(cycle: Cycle<'_>, node: &Word) -> Vec<PodKey> {
    let priority = cycle.pod.class.priority;
    let all = cycle.cluster.nominated(&cycle.pod.key, i32::MIN);
    all.filter(|(on, pod)| *on == node && pod.class.priority < priority)
        .map(|(_, pod)| pod.key.clone())
        .collect()
}

/// The more important, the smaller: priority, then age.
fn importance(pod: &Pod) -> (Reverse<i32>, i64) {
    (Reverse(pod.class.priority), pod.started.unwrap_or(i64::MAX))
}

/// Who has to go from one node. Leaves the filters as they were.
fn victims_on(
    cycle: Cycle<'_>,
    filtering: &mut Filtering<'_>,
    host: &Host,
) -> Result<Plan, Vec<Reason>> {
    let priority = cycle.pod.class.priority;
    let lower = host.pods.iter().filter(|pod| pod.class.priority < priority);
    let mut lower: Vec<Arc<Pod>> = lower.cloned().collect();
    if lower.is_empty() {
        return Err(vec![NO_VICTIMS]);
    }
    let mut bare = host.clone();
    for pod in &lower {
        take(filtering, &mut bare, pod);
    }
    let outcome = if filtering.refused(&bare).is_some() {
        Err(filtering.reasons().collect())
    } else {
        lower.sort_by_key(|pod| importance(pod));
        Ok(spare(cycle, filtering, &mut bare, &lower))
    };
    let gone: Vec<Arc<Pod>> = lower
        .into_iter()
        .filter(|pod| bare.pods.iter().all(|left| left.key != pod.key))
        .collect();
    for pod in &gone {
        filtering.joins(pod, host);
    }
    outcome
}

fn take(filtering: &mut Filtering<'_>, host: &mut Host, pod: &Arc<Pod>) {
    host.remove(&pod.key);
    filtering.leaves(pod, host);
}

/// Spares whoever can be spared, the guarded first, then the important.
fn spare(
    cycle: Cycle<'_>,
    filtering: &mut Filtering<'_>,
    bare: &mut Host,
    lower: &[Arc<Pod>],
) -> Plan {
    let (guarded, others) = by_budget(cycle, lower);
    let mut victims = Vec::new();
    let mut violations = 0;
    let guarded = guarded.iter().map(|pod| (pod, true));
    for (pod, is_guarded) in guarded.chain(others.iter().map(|pod| (pod, false))) {
        bare.add(pod.clone());
        filtering.joins(pod, bare);
        if filtering.refused(bare).is_some() {
            take(filtering, bare, pod);
            victims.push(pod.clone());
            violations += usize::from(is_guarded);
        }
    }
    victims.sort_by_key(|pod| importance(pod));
    Plan {
        node: bare.node().name.clone(),
        victims,
        violations,
        displaced: Vec::new(),
    }
}

/// Those whose leaving would break a budget, and the others.
fn by_budget(cycle: Cycle<'_>, pods: &[Arc<Pod>]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let budgets: Vec<_> = cycle.cluster.budgets.values().collect();
    let mut allowed: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.iter().cloned().partition(|pod| {
        let mut breaks = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            if budget.guards(pod) {
                *allowed -= 1;
                breaks |= *allowed < 0;
            }
        }
        breaks
    })
}

impl Plan {
    /// The better, the smaller: broken budgets, the highest priority among the victims, the sum of
    /// priorities, how many there are, and how long the most important of them have run.
    fn cost(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let priorities = self.victims.iter().map(|pod| pod.class.priority);
        let highest = priorities.clone().max().unwrap_or(i32::MIN);
        let sum = priorities.map(|priority| i64::from(priority) + LIFT).sum();
        let top = self.victims.iter();
        let top = top.filter(|pod| pod.class.priority == highest);
        let earliest = top.map(|pod| pod.started.unwrap_or(i64::MAX)).min();
        (
            self.violations,
            highest,
            sum,
            self.victims.len(),
            Reverse(earliest.unwrap_or(i64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests;
