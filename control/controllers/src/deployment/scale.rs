//! What a new number of wanted pods does to the sets when no roll-out goes on, or in the middle of
//! one: each set grows or shrinks in proportion.

use std::sync::Arc;

use super::sets::size;
use super::{Decision, annotations};
use crate::kinds::{Deployment, ReplicaSet};

/// Gives the sets the sizes that the wanted number asks for.
pub(super) fn proportionally(decision: &mut Decision<'_>) {
    let deployment = decision.deployment;
    let mut active: Vec<_> = decision.sets.active().cloned().collect();
    if active.len() <= 1 {
        let newest = decision.sets.new.as_ref().or(decision.sets.old.last());
        if let Some(set) = active.first().or(newest).cloned()
            && size(&set) != deployment.replicas()
        {
            decision.resize(&set, deployment.replicas());
        }
        return;
    }
    if is_saturated(decision) {
        for set in decision.sets.old.clone().iter().filter(|set| size(set) > 0) {
            decision.resize(set, 0);
        }
        return;
    }
    if deployment.recreates() {
        return;
    }
    let wanted = deployment.replicas();
    let allowed = if wanted > 0 {
        wanted + deployment.max_surge()
    } else {
        0
    };
    let change = allowed - active.iter().map(size).sum::<i32>();
    sort(&mut active, change > 0);
    let mut done = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let share = proportion(set, deployment, change, done);
        sizes.push(size(set) + share);
        done += share;
    }
    sizes[0] = (sizes[0] + change - done).max(0);
    for (set, target) in active.iter().zip(sizes) {
        decision.resize(set, target);
    }
}

/// Whether the new set has all its pods, so that no old one is needed.
fn is_saturated(decision: &Decision<'_>) -> bool {
    let wanted = decision.deployment.replicas();
    decision.sets.new.as_ref().is_some_and(|set| {
        let desired = annotations::number(&**set, annotations::DESIRED);
        size(set) == wanted
            && desired == Some(i64::from(wanted))
            && set.status.available_replicas == wanted
    })
}

/// The largest first; of equal ones the newer when growing, the older when shrinking.
fn sort(sets: &mut [Arc<ReplicaSet>], grows: bool) {
    sets.sort_by(|a, b| {
        let created = |set: &ReplicaSet| set.metadata.creation_timestamp;
        let younger = created(b).cmp(&created(a));
        let order = if grows { younger } else { younger.reverse() };
        size(b).cmp(&size(a)).then(order)
    });
}

/// The part of the change that a set takes.
fn proportion(set: &Arc<ReplicaSet>, deployment: &Deployment, change: i32, done: i32) -> i32 {
    if size(set) == 0 || change == 0 || change == done {
        return 0;
    }
    let own = fraction(set, deployment);
    let left = change - done;
    if change > 0 {
        own.min(left)
    } else {
        own.max(left)
    }
}

/// By how much a set's size changes when all sizes change alike.
fn fraction(set: &Arc<ReplicaSet>, deployment: &Deployment) -> i32 {
    if deployment.replicas() == 0 {
        return -size(set);
    }
    let most = i64::from(deployment.replicas() + deployment.max_surge());
    let before = annotations::number(&**set, annotations::MAX)
        .filter(|before| *before > 0)
        .unwrap_or(i64::from(deployment.status.replicas));
    if before == 0 {
        return 0;
    }
    let now = i64::from(size(set));
    let rounded = (2 * now * most + before) / (2 * before);
    i32::try_from(rounded - now).unwrap_or(0)
}
