//! Who makes room for a critical pod.
//!
//! Decides the smallest harm: pods of lower standing only, the lowest quality of service first,
//! and as few as do.

use keelson_api::core::Pod;
use keelson_api::qos::{self, QosClass};
use keelson_api::quantity::Quantity;
use keelson_api::resources;

use super::fit::{Shortage, shortage_text};
use super::{NodeFacts, Verdict, is_static, reject};

/// Priorities from here on are the system's.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

fn priority(pod: &Pod) -> i32 {
    pod.spec
        .as_ref()
        .and_then(|s| s.priority)
        .unwrap_or_default()
}

/// Static pods and those of system priority are not refused for want of resources.
pub(super) fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || priority(pod) >= SYSTEM_CRITICAL
}

/// Whether `pod` may end `other`: a critical pod ends those that are not, and any pod ends those
/// of lower priority.
fn may_preempt(pod: &Pod, other: &Pod) -> bool {
    if is_critical(pod) && !is_critical(other) {
        return true;
    }
    let said = |pod: &Pod| pod.spec.as_ref().is_some_and(|s| s.priority.is_some());
    said(pod) && said(other) && priority(pod) > priority(other)
}

/// Ends as few pods of the lowest standing as make room, or refuses.
pub(super) fn verdict(pod: &Pod, _: &NodeFacts, admitted: &[&Pod], short: &[Shortage]) -> Verdict {
    let mut missing: Vec<(String, Quantity)> = short
        .iter()
        .map(|s| (s.name.clone(), s.used + s.requested - s.capacity))
        .collect();
    let mut victims = Vec::new();
    for class in [
        QosClass::BestEffort,
        QosClass::Burstable,
        QosClass::Guaranteed,
    ] {
        let mut candidates: Vec<usize> = (0..admitted.len())
            .filter(|i| may_preempt(pod, admitted[*i]) && qos::class(admitted[*i]) == class)
            .collect();
        while missing.iter().any(|(_, amount)| amount.signum() > 0) {
            let Some(best) = best_victim(&candidates, admitted, &missing) else {
                break;
            };
            candidates.retain(|i| *i != best);
            for (name, amount) in &mut missing {
                *amount -= held(admitted[best], name);
            }
            victims.push(best);
        }
    }
    if missing.iter().any(|(_, amount)| amount.signum() > 0) {
        let texts: Vec<_> = short.iter().map(shortage_text).collect();
        let message = format!(
            "preemption: no set of running pods found to reclaim resources: {}",
            texts.join("; ")
        );
        return reject("UnexpectedAdmissionError", message);
    }
    spare(&mut victims, admitted, short);
    victims.sort_unstable();
    Verdict::Preempt { victims }
}

/// What a pod would give back of a resource.
fn held(pod: &Pod, name: &str) -> Quantity {
    match name {
        "pods" => Quantity::from_units(1),
        name => resources::pod_requests(pod)
            .get(name)
            .copied()
            .unwrap_or_default(),
    }
}

/// The candidate that covers most of what is missing, and among equals the one of the lowest
/// priority that asks for least memory. One that gives nothing is no candidate.
fn best_victim(
    candidates: &[usize],
    admitted: &[&Pod],
    missing: &[(String, Quantity)],
) -> Option<usize> {
    let covered = |index: &usize| -> f64 {
        let share = |(name, amount): &(String, Quantity)| match amount.signum() {
            1 => (held(admitted[*index], name).approximate() / amount.approximate()).min(1.0),
            _ => 0.0,
        };
        missing.iter().map(share).sum()
    };
    let standing = |index: &usize| (priority(admitted[*index]), held(admitted[*index], "memory"));
    candidates
        .iter()
        .filter(|index| covered(index) > 0.0)
        .max_by(|a, b| {
            covered(a)
                .total_cmp(&covered(b))
                .then(standing(b).cmp(&standing(a)))
        })
        .copied()
}

/// Lets those live that turn out not to be needed, the best ones first.
fn spare(victims: &mut Vec<usize>, admitted: &[&Pod], short: &[Shortage]) {
    for index in victims.clone().into_iter().rev() {
        let enough = short.iter().all(|s| {
            let others = victims.iter().filter(|i| **i != index);
            let given: Quantity = others.map(|i| held(admitted[*i], &s.name)).sum();
            given >= s.used + s.requested - s.capacity
        });
        if enough {
            victims.retain(|i| *i != index);
        }
    }
}
