//! How sizes move from old sets to the new one, in the two ways there are.

use std::sync::Arc;

use super::Decision;
use super::sets::{Sets, size};
use crate::kinds::{Deployment, ReplicaSet};

/// The size that the new set may have now.
#[must_use]
pub fn size_of_new(deployment: &Deployment, sets: &Sets) -> i32 {
    let wanted = deployment.replicas();
    if deployment.recreates() {
        return wanted;
    }
    let now = sets.new.as_ref().map_or(0, size);
    let room = wanted + deployment.max_surge() - sets.wanted();
    if room <= 0 {
        return now;
    }
    now + room.min(wanted - now)
}

/// Brings the new set to the size that it may have. True if its size changed.
pub(super) fn up(decision: &mut Decision<'_>) -> bool {
    let Some(new) = decision.sets.new.clone() else {
        return false;
    };
    let (now, wanted) = (size(&new), decision.deployment.replicas());
    let target = match now.cmp(&wanted) {
        std::cmp::Ordering::Equal => return false,
        std::cmp::Ordering::Greater => wanted,
        std::cmp::Ordering::Less => size_of_new(decision.deployment, &decision.sets),
    };
    if target == now {
        return false;
    }
    decision.resize(&new, target);
    true
}

/// Takes from old sets what may be missing: first pods that are no use anyway.
pub(super) fn down(decision: &mut Decision<'_>) {
    let Some(new) = &decision.sets.new else {
        return;
    };
    let old = decision.sets.old.clone();
    if old.iter().map(size).sum::<i32>() == 0 {
        return;
    }
    let least = decision.deployment.replicas() - decision.deployment.max_unavailable();
    let missing = size(new) - new.status.available_replicas;
    let most = decision.sets.wanted() - least - missing;
    if most <= 0 {
        return;
    }
    let mut sizes: Vec<i32> = old.iter().map(size).collect();
    let left = take_unhealthy(&old, &mut sizes, most);
    // A set whose status is older than its size has no more pods than that.
    let available = |set: &Arc<ReplicaSet>| set.status.available_replicas.min(size(set));
    let available: i32 = decision.sets.all().map(available).sum();
    take_healthy(&mut sizes, left.min(available - least));
    for (set, target) in old.iter().zip(sizes) {
        if target != size(set) {
            decision.resize(set, target);
        }
    }
}

/// Takes pods that are not available; the result is how many more may be taken.
fn take_unhealthy(old: &[Arc<ReplicaSet>], sizes: &mut [i32], most: i32) -> i32 {
    let mut left = most;
    for (set, size) in old.iter().zip(sizes) {
        let useless = (*size - set.status.available_replicas).clamp(0, left.max(0));
        *size -= useless;
        left -= useless;
    }
    left
}

fn take_healthy(sizes: &mut [i32], most: i32) {
    let mut left = most.max(0);
    for size in sizes {
        let taken = (*size).min(left);
        *size -= taken;
        left -= taken;
    }
}

/// Takes all from old sets. True if anything was taken.
pub(super) fn all_down(decision: &mut Decision<'_>) -> bool {
    let old = decision.sets.old.clone();
    let mut any = false;
    for set in old.iter().filter(|set| size(set) > 0) {
        decision.resize(set, 0);
        any = true;
    }
    any
}

/// Brings the new set to its full size.
pub(super) fn all_up(decision: &mut Decision<'_>) {
    if let Some(new) = decision.sets.new.clone()
        && size(&new) != decision.deployment.replicas()
    {
        decision.resize(&new, decision.deployment.replicas());
    }
}
