//! ReplicaSets and ReplicationControllers: so many equal pods. Decides how many are made, which
//! are removed, and what the status says. Pure.
//!
//! # Guarantees
//! - In one plan pods are either made or removed, [`BURST`] at most.
//! - Pods that are leaving or have ended do not count as replicas.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::cache::Store;
use serde_json::json;

use crate::claim::{claim, keepers};
use crate::controller::{About, Input, Plan, Reconcile, Registration, Verb, Work};
use crate::kinds::replica_set::{ReplicaStatus, Replicated};
use crate::kinds::{
    CONTROLLER, Condition, Pod, ReplicaSet, ReplicationController, condition, owned_by,
};
use crate::pod_template::NewPod;
use crate::wiring::Wiring;
use crate::write::Write;

pub mod victims;

/// So many pods are made or removed by one plan.
const BURST: usize = 500;
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// ReplicaSets.
pub const REGISTRATION: Registration = Registration {
    name: "replicaset-controller",
    alias: "replicaset",
    account: "replicaset-controller",
    by_default: true,
    at_once: 5,
    build: build::<ReplicaSet>,
};

/// ReplicationControllers.
pub const REPLICATION: Registration = Registration {
    name: "replicationcontroller-controller",
    alias: "replicationcontroller",
    account: "replication-controller",
    build: build::<ReplicationController>,
    ..REGISTRATION
};

fn build<K: Replicated>(wiring: &mut Wiring<'_>) -> Option<Work> {
    let (sets, pods) = keepers(wiring, K::selector);
    Some(Work::decide(Replicas { sets, pods }))
}

/// The controller of one of the two kinds.
#[derive(Debug)]
pub struct Replicas<K> {
    /// What keeps pods.
    pub sets: Store<K>,
    /// All pods.
    pub pods: Store<Pod>,
}

impl<K: Replicated> Reconcile for Replicas<K> {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = self.sets.find(input.key) else {
            return plan;
        };
        let Some(selector) = set.selector() else {
            return plan;
        };
        let all = claim(&*set, &selector, &self.pods, &mut plan);
        let active: Vec<_> = all.iter().filter(|pod| pod.is_active()).cloned().collect();
        let status = status(&*set, &all, &active, input);
        if status != *set.status() {
            plan.write(Write::status(&*set, json!(status)));
        }
        if !set.meta().is_leaving() {
            self.manage(&set, active.clone(), input.now, &mut plan);
        }
        let seconds = i64::from(set.min_ready_seconds());
        if let Some(wait) = next_available(&active, seconds, input.now) {
            plan.requeue_after(wait);
        }
        plan
    }
}

impl<K: Replicated> Replicas<K> {
    fn manage(&self, set: &Arc<K>, active: Vec<Arc<Pod>>, now: Timestamp, plan: &mut Plan) {
        let wanted = usize::try_from(set.replicas()).unwrap_or(0);
        if active.len() < wanted {
            let pod = NewPod::of(&**set, set.template());
            for _ in 0..(wanted - active.len()).min(BURST) {
                plan.write(pod.clone().create(&**set));
            }
            return;
        }
        let surplus = (active.len() - wanted).min(BURST);
        if surplus == 0 {
            return;
        }
        let relatives = self.relatives(set);
        for pod in victims::choose(active, &relatives, surplus, now) {
            plan.write(Write::delete(&*pod).told_to(About::of(&**set)));
        }
    }

    /// The pods of all sets that the set's own manager has: those of one Deployment.
    fn relatives(&self, set: &Arc<K>) -> Vec<Arc<Pod>> {
        let siblings = match set.meta().controller() {
            Some(owner) => self.sets.by_index(CONTROLLER, &owned_by(&owner.uid)),
            None => vec![set.clone()],
        };
        let pods = siblings
            .iter()
            .flat_map(|set| self.pods.by_index(CONTROLLER, &owned_by(&set.meta().uid)));
        pods.filter(|pod| pod.is_active()).collect()
    }
}

/// When the next pod that is ready will have been so for long enough.
#[must_use]
pub fn next_available(pods: &[Arc<Pod>], seconds: i64, now: Timestamp) -> Option<Duration> {
    if seconds == 0 {
        return None;
    }
    let left = pods.iter().filter_map(|pod| {
        let left = pod.ready_since()?.as_second() + seconds - now.as_second();
        u64::try_from(left).ok().filter(|left| *left > 0)
    });
    left.min().map(Duration::from_secs)
}

fn status<K: Replicated>(
    set: &K,
    all: &[Arc<Pod>],
    active: &[Arc<Pod>],
    input: &Input<'_>,
) -> ReplicaStatus {
    let labels = set.template().labels();
    let seconds = i64::from(set.min_ready_seconds());
    let count = |test: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|pod| test(pod)).count());
    let leaving = |pod: &&Arc<Pod>| pod.metadata.is_leaving() && !pod.is_finished();
    let terminating = number(all.iter().filter(leaving).count());
    let mut status = ReplicaStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: count(&|pod| {
            labels
                .iter()
                .all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
        }),
        ready_replicas: count(&Pod::is_ready),
        available_replicas: count(&|pod| pod.is_available(seconds, input.now)),
        terminating_replicas: K::HAS_TERMINATING.then_some(terminating),
        observed_generation: set.meta().generation,
        conditions: set.status().conditions.clone(),
    };
    match input.failure.filter(|failure| failure.resource == "pods") {
        None => drop(condition::remove(&mut status.conditions, REPLICA_FAILURE)),
        Some(failure) if failure.verb == Verb::Change => {}
        Some(failure) => {
            let reason = match failure.verb {
                Verb::Delete => "FailedDelete",
                _ => "FailedCreate",
            };
            let said = Condition::new(REPLICA_FAILURE, true, reason, &failure.message, input.now);
            if condition::find(&status.conditions, REPLICA_FAILURE).is_none() {
                status.conditions.push(said);
            }
        }
    }
    status
}

/// A count as the API has it.
#[must_use]
pub fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
