//! Deployments: ReplicaSets, one per template, of which the newest gets the pods. Decides which
//! sets there are and how large each is. Pure.
//!
//! # Guarantees
//! - The sizes of all sets together are never set above the wanted number plus the surge, and pods
//!   that are available are never taken so that fewer than the wanted number less those that may
//!   be missing stay.
//! - One plan makes at most one set, and then changes the size of none.

use std::sync::Arc;

use keelson_client::Object as _;
use keelson_client::cache::{Change, Key, Store};
use serde_json::json;

use crate::claim::{claim, keepers};
use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::replica_set::some_labels;
use crate::kinds::{CONTROLLER, Deployment, Kind as _, Pod, ReplicaSet, owned_by};
use crate::wiring::Wiring;
use crate::write::Write;
use sets::Sets;
use status::Status;

pub mod annotations;
pub mod clean;
pub mod new_set;
pub mod roll;
pub mod scale;
pub mod sets;
pub mod status;

/// Deployments.
pub const REGISTRATION: Registration = Registration {
    name: "deployment-controller",
    alias: "deployment",
    account: "deployment-controller",
    by_default: true,
    at_once: 5,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    let selector = |deployment: &Deployment| some_labels(&deployment.spec.selector);
    let (deployments, sets) = keepers::<Deployment, ReplicaSet>(wiring, selector);
    let (known, known_sets) = (deployments.clone(), sets.clone());
    let pods = wiring.watch(move |change: &Change<Pod>, keys| {
        keys.extend(waiting_for(change, &known, &known_sets));
    });
    Some(Work::decide(Deployments {
        deployments,
        sets,
        pods,
    }))
}

/// The Deployment that waits for a pod to be gone before it makes new ones.
fn waiting_for(
    change: &Change<Pod>,
    deployments: &Store<Deployment>,
    sets: &Store<ReplicaSet>,
) -> Option<Key> {
    let ended = change.current().is_none_or(|pod| pod.is_finished());
    let owner = change.latest().metadata.controller().filter(|_| ended)?;
    let set = sets.get(change.latest().namespace(), &owner.name)?;
    let manager = set.metadata.controller()?;
    let deployment = deployments.get(set.namespace(), &manager.name)?;
    deployment.recreates().then(|| deployment.key())
}

/// The controller.
#[derive(Debug)]
pub struct Deployments {
    /// All Deployments.
    pub deployments: Store<Deployment>,
    /// All ReplicaSets.
    pub sets: Store<ReplicaSet>,
    /// All pods.
    pub pods: Store<Pod>,
}

/// One decision about one Deployment.
pub(crate) struct Decision<'a> {
    deployment: &'a Deployment,
    input: &'a Input<'a>,
    sets: Sets,
    status: Status,
    plan: Plan,
}

impl Reconcile for Deployments {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(deployment) = self.deployments.find(input.key) else {
            return plan;
        };
        let Some(selector) = some_labels(&deployment.spec.selector) else {
            let message =
                "This deployment is selecting all pods. A non-empty selector is required.";
            plan.warn(About::of(&*deployment), "SelectingAll", message.to_owned());
            return plan;
        };
        let sets = claim(&*deployment, &selector, &self.sets, &mut plan);
        let mut decision = Decision {
            sets: Sets::new(&deployment, sets),
            status: Status::new(&deployment),
            deployment: &deployment,
            input,
            plan,
        };
        self.decide(&mut decision);
        decision.plan
    }
}

impl Deployments {
    fn decide(&self, decision: &mut Decision<'_>) {
        let deployment = decision.deployment;
        if deployment.metadata.is_leaving() {
            return decision.finish();
        }
        decision.status.note_pause(deployment, decision.input.now);
        decision.sync_revisions();
        if deployment.spec.paused || decision.sets.is_rescaled(deployment) {
            scale::proportionally(decision);
            if deployment.spec.paused {
                clean::old_sets(decision);
            }
            return decision.finish();
        }
        if deployment.recreates() {
            if !roll::all_down(decision) && !self.has_old_pods(decision) {
                match decision.sets.new.is_some() {
                    true => roll::all_up(decision),
                    false => decision.make_set(&self.sets),
                }
            }
        } else if decision.sets.new.is_none() {
            decision.make_set(&self.sets);
        } else if !roll::up(decision) {
            roll::down(decision);
        }
        if status::is_complete(deployment, &deployment.status) {
            clean::old_sets(decision);
        }
        decision.finish();
    }

    /// Whether pods of an old template are still there, leaving or not.
    fn has_old_pods(&self, decision: &Decision<'_>) -> bool {
        let mut sets = decision.sets.old.iter();
        sets.any(|set| {
            let pods = self.pods.by_index(CONTROLLER, &owned_by(&set.metadata.uid));
            pods.iter().any(|pod| !pod.is_finished())
        })
    }
}

impl Decision<'_> {
    /// Gives a set another size.
    fn resize(&mut self, set: &Arc<ReplicaSet>, size: i32) {
        let before = set.spec.replicas.unwrap_or(1);
        let changes = annotations::of_size(self.deployment, set);
        if size == before && changes.is_none() {
            return;
        }
        let mut patch = json!({"spec": {"replicas": size}});
        if let Some(annotations) = changes {
            patch["metadata"] = json!({ "annotations": annotations });
        }
        self.plan.write(Write::patch(&**set, patch));
        if size != before {
            self.tell_size(&set.metadata.name, before, size);
        }
    }

    fn tell_size(&mut self, name: &str, before: i32, after: i32) {
        let direction = if after > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {name} from {before} to {after}");
        let about = About::of(self.deployment);
        self.plan.tell(about, "ScalingReplicaSet", message);
    }

    /// Adds the status, if it changed, and the time to look again.
    fn finish(&mut self) {
        self.status
            .count(self.deployment, &self.sets, self.input.now);
        let status = &self.status.status;
        if *status != self.deployment.status {
            let own = Deployment::RESOURCE;
            let written = self.plan.writes.iter().any(|write| write.resource == own);
            let write = Write::status(self.deployment, json!(status));
            self.plan
                .write(if written { write.any_version() } else { write });
        }
        if let Some(wait) = self.status.wait(self.deployment, self.input.now) {
            self.plan.requeue_after(wait);
        }
    }
}

#[cfg(test)]
mod tests;
