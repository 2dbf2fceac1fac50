//! StatefulSets: pods with names and claims that stay. Decides, in the order of ordinals, which
//! pod is made, removed or updated next. Pure.
//!
//! # Guarantees
//! - Of one ordinal there is one pod: the next is made when the one before is gone.
//! - Unless the set is parallel, a pod is made when all before it are available, and removed when
//!   all after it are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use keelson_client::cache::Store;
use serde_json::json;

use crate::claim::{claim, keepers};
use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::replica_set::some_labels;
use crate::kinds::stateful_set::StatefulSetStatus;
use crate::kinds::{ControllerRevision, Kind as _, PersistentVolumeClaim, Pod, StatefulSet};
use crate::replica_set::{next_available, number};
use crate::revisions::{Found, History, LABEL, Owner};
use crate::wiring::Wiring;
use crate::write::Write;
use identity::ordinal;

pub mod claims;
pub mod identity;

/// The label of revisions that has the hash.
const HASH: &str = "controller.kubernetes.io/hash";

/// StatefulSets.
pub const REGISTRATION: Registration = Registration {
    name: "statefulset-controller",
    alias: "statefulset",
    account: "statefulset-controller",
    by_default: true,
    at_once: 5,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    let (sets, pods) = keepers(wiring, |set: &StatefulSet| some_labels(&set.spec.selector));
    Some(Work::decide(StatefulSets {
        sets,
        pods,
        claims: wiring.read::<PersistentVolumeClaim>(),
        revisions: wiring.owned::<ControllerRevision>(StatefulSet::RESOURCE),
    }))
}

/// The controller.
#[derive(Debug)]
pub struct StatefulSets {
    /// All StatefulSets.
    pub sets: Store<StatefulSet>,
    /// All pods.
    pub pods: Store<Pod>,
    /// All claims.
    pub claims: Store<PersistentVolumeClaim>,
    /// All revisions.
    pub revisions: Store<ControllerRevision>,
}

/// One decision about one StatefulSet.
struct Decision<'a> {
    set: &'a StatefulSet,
    claims: &'a Store<PersistentVolumeClaim>,
    /// What pods had before the update that goes on.
    current: &'a ControllerRevision,
    /// That of the template.
    update: &'a ControllerRevision,
    /// The pods that should be there, by ordinal; `None` where one is missing.
    wanted: Vec<Option<Arc<Pod>>>,
    /// The pods that should not, the highest ordinal first.
    condemned: Vec<Arc<Pod>>,
    now: Timestamp,
    plan: Plan,
}

/// Whether the decision goes on after a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoesOn,
    Waits,
}

impl Reconcile for StatefulSets {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(set) = self.sets.find(input.key) else {
            return plan;
        };
        let Some(selector) = some_labels(&set.spec.selector) else {
            return plan;
        };
        let owner = Owner {
            object: &*set,
            template: &set.spec.template,
            selector: &selector,
            collisions: set.status.collision_count,
            hash_label: HASH,
        };
        match owner.history(&self.revisions, &mut plan) {
            Found::Making => plan,
            Found::Collision => {
                let mut status = set.status.clone();
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                plan.write(Write::status(&*set, json!(status)));
                plan
            }
            Found::History(history) => {
                let mut pods = claim(&*set, &selector, &self.pods, &mut plan);
                pods.retain(|pod| ordinal(pod).is_some());
                self.decide(&set, &history, &pods, input.now, plan)
            }
        }
    }
}

impl StatefulSets {
    fn decide(
        &self,
        set: &StatefulSet,
        history: &History,
        pods: &[Arc<Pod>],
        now: Timestamp,
        plan: Plan,
    ) -> Plan {
        let known = history
            .old
            .iter()
            .find(|revision| revision.metadata.name == set.status.current_revision);
        let current = known.unwrap_or(&history.current);
        let (wanted, condemned) = split(set, pods);
        let mut decision = Decision {
            set,
            claims: &self.claims,
            current,
            update: &history.current,
            wanted,
            condemned,
            now,
            plan,
        };
        if !set.metadata.is_leaving() {
            decision.step();
        }
        decision.tell(pods);
        let mut plan = decision.plan;
        let labels = pods.iter().filter_map(|pod| pod.metadata.labels.get(LABEL));
        let mut in_use: BTreeSet<&str> = labels.map(String::as_str).collect();
        in_use.insert(&current.metadata.name);
        history.clean(set.spec.revision_history_limit, &in_use, &mut plan);
        let seconds = i64::from(set.spec.min_ready_seconds);
        if let Some(wait) = next_available(pods, seconds, now) {
            plan.requeue_after(wait);
        }
        plan
    }
}

/// The pods by ordinal, and those that are too many.
fn split(set: &StatefulSet, pods: &[Arc<Pod>]) -> (Vec<Option<Arc<Pod>>>, Vec<Arc<Pod>>) {
    let mut wanted = vec![None; usize::try_from(set.replicas()).unwrap_or(0)];
    let mut condemned = Vec::new();
    for pod in pods {
        let at = ordinal(pod).map(|ordinal| i64::from(ordinal) - i64::from(set.start()));
        let at = at.and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| wanted.get_mut(at)) {
            Some(place) => *place = Some(pod.clone()),
            None => condemned.push(pod.clone()),
        }
    }
    condemned.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    (wanted, condemned)
}

impl Decision<'_> {
    fn is_ordered(&self) -> bool {
        &*self.set.spec.pod_management_policy != "Parallel"
    }

    fn is_available(&self, pod: &Pod) -> bool {
        let seconds = i64::from(self.set.spec.min_ready_seconds);
        pod.is_active() && &*pod.status.phase == "Running" && pod.is_available(seconds, self.now)
    }

    /// Makes what is missing, then removes what is too much, then updates.
    fn step(&mut self) {
        let ordered = self.is_ordered();
        let mut waits = false;
        for at in 0..self.wanted.len() {
            if self.fill(at) == Next::Waits {
                waits = true;
                if ordered {
                    return;
                }
            }
        }
        for pod in self.condemned.clone() {
            self.keep_claims(&pod, true);
        }
        let unhealthy = self.first_unhealthy();
        for pod in self.condemned.clone() {
            let next = self.remove(&pod, unhealthy.as_deref());
            if ordered && next == Next::Waits {
                return;
            }
            waits |= next == Next::Waits;
        }
        if !(waits && ordered) && &*self.set.spec.update_strategy.kind != "OnDelete" {
            self.roll();
        }
    }

    /// Sees to the pod of a place.
    fn fill(&mut self, at: usize) -> Next {
        let ordinal = self.set.start() + number(at);
        let Some(pod) = self.wanted[at].clone() else {
            return self.make(ordinal);
        };
        if pod.is_finished() {
            if !pod.metadata.is_leaving() {
                self.delete(&pod);
            }
            return Next::Waits;
        }
        if &*pod.status.phase == "Pending" {
            self.make_claims(ordinal, Some(&pod));
        }
        if self.is_ordered() && !self.is_available(&pod) {
            return Next::Waits;
        }
        self.keep_claims(&pod, false);
        if let Some(labels) = identity::missing_labels(&pod, ordinal) {
            let patch = json!({"metadata": {"labels": labels}});
            self.plan.write(Write::patch(&*pod, patch));
        }
        Next::GoesOn
    }

    fn make(&mut self, ordinal: i32) -> Next {
        let of_current = identity::begins_with_current(self.set, ordinal);
        let revision = if of_current {
            self.current
        } else {
            self.update
        };
        if !self.make_claims(ordinal, None) {
            return Next::Waits;
        }
        let pod = identity::pod(self.set, revision, ordinal);
        self.plan.write(pod.create(self.set));
        Next::Waits
    }

    /// The pod that keeps others from being removed: the first that is not available.
    fn first_unhealthy(&self) -> Option<Arc<Pod>> {
        let wanted = self.wanted.iter().flatten();
        let mut all = wanted.chain(self.condemned.iter().rev());
        all.find(|pod| !self.is_available(pod)).cloned()
    }

    fn remove(&mut self, pod: &Arc<Pod>, unhealthy: Option<&Pod>) -> Next {
        if pod.metadata.is_leaving() {
            return Next::Waits;
        }
        let is_first = unhealthy.is_some_and(|first| first.metadata.uid == pod.metadata.uid);
        if self.is_ordered() && !self.is_available(pod) && !is_first {
            return Next::Waits;
        }
        self.delete(pod);
        Next::Waits
    }

    /// Removes pods of another revision, the highest ordinal first, as many as may be missing.
    fn roll(&mut self) {
        let strategy = self.set.spec.update_strategy.rolling_update.as_ref();
        let most = strategy.and_then(|update| update.max_unavailable.as_ref());
        let most = crate::kinds::deployment::share(most, self.set.replicas(), true).max(1);
        let missing =
            |pod: &&Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| !self.is_available(pod));
        let mut room = most - number(self.wanted.iter().filter(missing).count());
        let first = usize::try_from(self.set.partition() - self.set.start()).unwrap_or(0);
        let mut doomed = Vec::new();
        for pod in self.wanted.iter().skip(first).rev().flatten() {
            let is_old = identity::revision(pod) != Some(&*self.update.metadata.name);
            if !is_old || pod.metadata.is_leaving() {
                continue;
            }
            // One that is missing already costs nothing more.
            let costs = i32::from(self.is_available(pod));
            if costs <= room.max(0) {
                room -= costs;
                doomed.push(pod.clone());
            }
        }
        for pod in doomed {
            self.delete(&pod);
        }
    }

    fn delete(&mut self, pod: &Arc<Pod>) {
        let write = Write::delete(&**pod).told_to(About::of(self.set));
        self.plan.write(write);
    }

    fn tell(&mut self, pods: &[Arc<Pod>]) {
        let count =
            |test: &dyn Fn(&Pod) -> bool| number(pods.iter().filter(|pod| test(pod)).count());
        let of = |revision: &ControllerRevision| {
            let name = revision.metadata.name.clone();
            count(&move |pod| !pod.metadata.is_leaving() && identity::revision(pod) == Some(&*name))
        };
        let is_ready = |pod: &Pod| &*pod.status.phase == "Running" && pod.is_ready();
        let mut status = StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas: number(pods.len()),
            ready_replicas: count(&is_ready),
            current_replicas: of(self.current),
            updated_replicas: of(self.update),
            available_replicas: count(&|pod| self.is_available(pod)),
            current_revision: self.current.metadata.name.clone(),
            update_revision: self.update.metadata.name.clone(),
            collision_count: Some(self.set.status.collision_count.unwrap_or(0)),
            conditions: self.set.status.conditions.clone(),
        };
        let rolls = &*self.set.spec.update_strategy.kind == "RollingUpdate";
        let all = status.replicas;
        if rolls && status.updated_replicas == all && status.ready_replicas == all {
            status.current_replicas = status.updated_replicas;
            status.current_revision.clone_from(&status.update_revision);
        }
        if status != self.set.status {
            let own = StatefulSet::RESOURCE;
            debug_assert!(self.plan.writes.iter().all(|write| write.resource != own));
            self.plan.write(Write::status(self.set, json!(status)));
        }
    }
}

#[cfg(test)]
mod tests;
