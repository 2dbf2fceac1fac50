//! Decides which of several equal pods are removed first: those whose loss costs least. Pure.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::kinds::Pod;

/// The annotation that says how dear a pod is.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// So many of the pods, the cheapest. `relatives` are all pods that do the same work: the more of
/// them are on a node, the sooner one of that node goes.
#[must_use]
pub fn choose(
    mut pods: Vec<Arc<Pod>>,
    relatives: &[Arc<Pod>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    if count >= pods.len() {
        return pods;
    }
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in relatives {
        *crowd.entry(&pod.spec.node_name).or_default() += 1;
    }
    let rank = |pod: &Pod| crowd.get(&*pod.spec.node_name).copied().unwrap_or(0);
    pods.sort_by(|a, b| order(a, b, rank(a), rank(b), now));
    pods.truncate(count);
    pods
}

fn order(a: &Pod, b: &Pod, rank_a: usize, rank_b: usize, now: Timestamp) -> Ordering {
    let bound = |pod: &Pod| !pod.spec.node_name.is_empty();
    let age = |since: Option<Timestamp>| magnitude(since, now);
    bound(a)
        .cmp(&bound(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| a.is_ready().cmp(&b.is_ready()))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| rank_b.cmp(&rank_a))
        .then_with(|| younger(age(a.ready_since()), age(b.ready_since())))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| {
            let created = |pod: &Pod| age(pod.metadata.creation_timestamp);
            younger(created(a), created(b))
        })
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn phase(pod: &Pod) -> u8 {
    match &*pod.status.phase {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn cost(pod: &Pod) -> i32 {
    let text = pod.metadata.annotations.get(COST);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The most that any container was restarted; those beside the others count first.
fn restarts(pod: &Pod) -> (i32, i32) {
    let beside: Vec<_> = pod
        .spec
        .init_containers
        .iter()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| &container.name)
        .collect();
    let init = pod.status.init_container_statuses.iter();
    let most = pod
        .status
        .container_statuses
        .iter()
        .map(|status| status.restart_count)
        .max();
    let init = init.filter(|status| beside.contains(&&status.name));
    let most_beside = init.map(|status| status.restart_count).max();
    (most.unwrap_or(0), most_beside.unwrap_or(0))
}

/// Ages count by their order of magnitude, so that not always the same age group goes.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> Option<u32> {
    let age = now.as_nanosecond() - since?.as_nanosecond();
    let age = u64::try_from(age).unwrap_or(0);
    Some(age.checked_ilog2().unwrap_or(0))
}

/// The younger goes first; what never was is youngest.
fn younger(a: Option<u32>, b: Option<u32>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(&b),
    }
}
