//! How pods of an old template are replaced: on so many nodes at once, by removing the old one
//! first, or by making the new one first.

use std::sync::Arc;

use jiff::Timestamp;

use super::Site;
use crate::kinds::deployment::share;
use crate::kinds::{DaemonSet, Pod};
use crate::replica_set::number;
use crate::revisions::LABEL;

/// What a step of an update does.
#[derive(Clone, Debug, Default)]
pub(super) struct Roll<'a> {
    /// Nodes that get a new pod beside the old one.
    pub(super) make: Vec<&'a str>,
    /// Old pods that go.
    pub(super) remove: Vec<Arc<Pod>>,
}

/// Whether a pod is of the current template.
#[must_use]
pub fn is_updated(pod: &Pod, hash: &str) -> bool {
    pod.metadata
        .labels
        .get(LABEL)
        .is_some_and(|label| label == hash)
}

/// On how many nodes there may be two pods, and on how many none.
fn limits(set: &DaemonSet, sites: &[Site]) -> (i32, i32) {
    let wanted = number(sites.iter().filter(|site| site.fit.runs).count());
    let update = set.spec.update_strategy.rolling_update.as_ref();
    let surge = share(
        update.and_then(|update| update.max_surge.as_ref()),
        wanted,
        true,
    );
    let missing = update.and_then(|update| update.max_unavailable.as_ref());
    let missing = share(missing, wanted, true);
    // Without any room nothing would ever move.
    if surge == 0 && missing == 0 {
        (0, 1)
    } else {
        (surge, missing)
    }
}

/// Whether new pods come before old ones go.
fn surges(set: &DaemonSet) -> bool {
    let update = set.spec.update_strategy.rolling_update.as_ref();
    share(
        update.and_then(|update| update.max_surge.as_ref()),
        100,
        true,
    ) > 0
}

/// Of the pods that run on one node, those beyond one, or beyond an old and a new one.
#[must_use]
pub fn too_many(
    set: &DaemonSet,
    running: &[Arc<Pod>],
    hash: &str,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    if !surges(set) {
        return running.iter().skip(1).cloned().collect();
    }
    let (new, old): (Vec<_>, Vec<_>) = running
        .iter()
        .cloned()
        .partition(|pod| is_updated(pod, hash));
    let mut doomed: Vec<_> = new
        .iter()
        .skip(1)
        .chain(old.iter().skip(1))
        .cloned()
        .collect();
    if let (Some(new), Some(old)) = (new.first(), old.first()) {
        let seconds = i64::from(set.spec.min_ready_seconds);
        if !old.is_ready() || new.is_available(seconds, now) {
            doomed.push(old.clone());
        }
    }
    doomed
}

/// The next step of an update.
pub(super) fn roll<'a>(set: &DaemonSet, sites: &'a [Site], hash: &str, now: Timestamp) -> Roll<'a> {
    let (surge, missing) = limits(set, sites);
    let seconds = i64::from(set.spec.min_ready_seconds);
    let mut roll = Roll::default();
    let (mut used, mut candidates) = (0, Vec::new());
    let mut useless = Vec::new();
    for site in sites
        .iter()
        .filter(|site| site.fit.runs || !site.pods.is_empty())
    {
        let staying = site.pods.iter().filter(|pod| !pod.metadata.is_leaving());
        let (new, old): (Vec<_>, Vec<_>) = staying.partition(|pod| is_updated(pod, hash));
        let available = |pod: &&&Arc<Pod>| pod.is_available(seconds, now);
        match (new.first(), old.first()) {
            (None, Some(old)) if available(&old) => candidates.push((site, (*old).clone())),
            (None, Some(old)) => {
                useless.push((site, (*old).clone()));
                used += i32::from(surge == 0);
            }
            (Some(new), None) => used += i32::from(surge == 0 && !available(&new)),
            (None, None) => used += i32::from(surge == 0),
            (Some(_), Some(_)) => used += 1,
        }
    }
    let room = if surge == 0 {
        missing - used
    } else {
        surge - used
    };
    let room = usize::try_from(room).unwrap_or(0);
    let chosen = useless.into_iter().chain(candidates.into_iter().take(room));
    for (site, old) in chosen {
        if surge == 0 {
            roll.remove.push(old);
        } else {
            roll.make.push(&*site.name);
        }
    }
    roll
}
