//! What the status says: counts, and whether the roll-out gets on.

use std::time::Duration;

use jiff::Timestamp;

use super::sets::{Sets, size};
use crate::controller::{Input, Verb};
use crate::kinds::condition::{self, Condition, whole_seconds};
use crate::kinds::deployment::DeploymentStatus;
use crate::kinds::{Deployment, ReplicaSet};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const ALL_THERE: &str = "NewReplicaSetAvailable";
const TOO_LATE: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// A status that is being made.
#[derive(Clone, Debug)]
pub struct Status {
    /// The status.
    pub status: DeploymentStatus,
}

impl Status {
    /// What was told last.
    #[must_use]
    pub fn new(deployment: &Deployment) -> Self {
        let status = deployment.status.clone();
        Self { status }
    }

    fn progress(&self) -> Option<&Condition> {
        condition::find(&self.status.conditions, PROGRESSING)
    }

    fn set_progress(&mut self, status: &str, reason: &str, message: &str, now: Timestamp) {
        self.set(PROGRESSING, status, reason, message, now);
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
        let said = Condition {
            status: status.into(),
            last_update_time: Some(whole_seconds(now)),
            ..Condition::new(kind, true, reason, message, now)
        };
        condition::set(&mut self.status.conditions, said);
    }

    /// A pause stops the clock of the deadline, its end starts it anew.
    pub fn note_pause(&mut self, deployment: &Deployment, now: Timestamp) {
        let reason = self.progress().map(|progress| progress.reason.clone());
        let reason = reason.as_deref();
        if deployment.deadline().is_none() || reason == Some(TOO_LATE) {
            return;
        }
        if deployment.spec.paused && reason != Some(PAUSED) {
            self.set_progress("Unknown", PAUSED, "Deployment is paused", now);
        } else if !deployment.spec.paused && reason == Some(PAUSED) {
            self.set_progress("Unknown", "DeploymentResumed", "Deployment is resumed", now);
        }
    }

    /// The set of the current template was there already.
    pub fn found(&mut self, deployment: &Deployment, name: &str, now: Timestamp) {
        if deployment.deadline().is_some() && self.progress().is_none() {
            let message = format!("Found new replica set \"{name}\"");
            self.set_progress("True", "FoundNewReplicaSet", &message, now);
        }
    }

    /// The set of the current template is being made.
    pub fn made(&mut self, deployment: &Deployment, name: &str, input: &Input<'_>) {
        if deployment.deadline().is_none() {
            return;
        }
        let failed = input
            .failure
            .filter(|failure| failure.verb == Verb::Create && failure.resource == "replicasets");
        if let Some(failure) = failed {
            let (reason, message) = ("ReplicaSetCreateError", &failure.message);
            return self.set_progress("False", reason, message, input.now);
        }
        let message = format!("Created new replica set \"{name}\"");
        self.set_progress("True", "NewReplicaSetCreated", &message, input.now);
    }

    /// The name of the new set was taken: the next hash is another one.
    pub fn collided(&mut self) {
        let count = self.status.collision_count.unwrap_or(0);
        self.status.collision_count = Some(count + 1);
    }

    /// Counts, and judges the progress since the last time.
    pub fn count(&mut self, deployment: &Deployment, sets: &Sets, now: Timestamp) {
        let sum =
            |count: &dyn Fn(&ReplicaSet) -> i32| -> i32 { sets.all().map(|set| count(set)).sum() };
        let status = &mut self.status;
        status.observed_generation = deployment.metadata.generation;
        status.replicas = sum(&|set| set.status.replicas);
        status.updated_replicas = sets.new.as_ref().map_or(0, |set| set.status.replicas);
        status.ready_replicas = sum(&|set| set.status.ready_replicas);
        status.available_replicas = sum(&|set| set.status.available_replicas);
        let wanted: i32 = sets.all().map(size).sum();
        status.unavailable_replicas = (wanted - status.available_replicas).max(0);
        status.terminating_replicas =
            Some(sum(&|set| set.status.terminating_replicas.unwrap_or(0)));
        self.judge_availability(deployment, now);
        if !deployment.spec.paused && !deployment.metadata.is_leaving() {
            self.judge_progress(deployment, sets, now);
        }
        self.note_failures(sets);
    }

    fn judge_availability(&mut self, deployment: &Deployment, now: Timestamp) {
        let least = deployment.replicas() - deployment.max_unavailable();
        let (status, reason, message) = if self.status.available_replicas >= least {
            let message = "Deployment has minimum availability.";
            ("True", "MinimumReplicasAvailable", message)
        } else {
            let message = "Deployment does not have minimum availability.";
            ("False", "MinimumReplicasUnavailable", message)
        };
        self.set(AVAILABLE, status, reason, message, now);
    }

    fn judge_progress(&mut self, deployment: &Deployment, sets: &Sets, now: Timestamp) {
        if deployment.deadline().is_none() {
            condition::remove(&mut self.status.conditions, PROGRESSING);
            return;
        }
        let was_complete = self
            .progress()
            .is_some_and(|progress| &*progress.reason == ALL_THERE);
        if was_complete && self.status.replicas == self.status.updated_replicas {
            return;
        }
        let what = match &sets.new {
            Some(set) => format!("ReplicaSet \"{}\"", set.metadata.name),
            None => format!("Deployment \"{}\"", deployment.metadata.name),
        };
        if is_complete(deployment, &self.status) {
            let message = format!("{what} has successfully progressed.");
            self.set_progress("True", ALL_THERE, &message, now);
        } else if gets_on(&deployment.status, &self.status) {
            let message = format!("{what} is progressing.");
            let since = self
                .progress()
                .filter(|progress| progress.holds())
                .and_then(|progress| progress.last_transition_time);
            // The clock of the deadline starts anew, so the condition is a new one.
            condition::remove(&mut self.status.conditions, PROGRESSING);
            self.set_progress("True", "ReplicaSetUpdated", &message, now);
            if let (Some(since), Some(last)) = (since, self.status.conditions.last_mut()) {
                last.last_transition_time = Some(since);
            }
        } else if self.is_late(deployment, now) {
            let message = format!("{what} has timed out progressing.");
            self.set_progress("False", TOO_LATE, &message, now);
        }
    }

    fn is_late(&self, deployment: &Deployment, now: Timestamp) -> bool {
        match self.progress() {
            None => false,
            Some(progress) if &*progress.reason == ALL_THERE => false,
            Some(progress) if &*progress.reason == TOO_LATE => true,
            Some(progress) => due(deployment, progress).is_some_and(|due| now > due),
        }
    }

    /// A set that cannot make its pods is told of here too.
    fn note_failures(&mut self, sets: &Sets) {
        let of =
            |set: &ReplicaSet| condition::find(&set.status.conditions, REPLICA_FAILURE).cloned();
        let new = sets.new.as_ref().and_then(|set| of(set));
        let failure = new.or_else(|| sets.old.iter().find_map(|set| of(set)));
        match failure {
            None => drop(condition::remove(
                &mut self.status.conditions,
                REPLICA_FAILURE,
            )),
            Some(failure) => {
                let said = Condition {
                    last_update_time: failure.last_transition_time,
                    ..failure
                };
                condition::set(&mut self.status.conditions, said);
            }
        }
    }

    /// When the deadline has to be looked at.
    #[must_use]
    pub fn wait(&self, deployment: &Deployment, now: Timestamp) -> Option<Duration> {
        let progress = self.progress()?;
        if is_complete(deployment, &self.status) || &*progress.reason == TOO_LATE {
            return None;
        }
        if deployment.spec.paused {
            return None;
        }
        let left = due(deployment, progress)?.as_second() - now.as_second() + 1;
        Some(Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1)))
    }
}

fn due(deployment: &Deployment, progress: &Condition) -> Option<Timestamp> {
    let from = progress.last_update_time?.as_second();
    Timestamp::from_second(from + deployment.deadline()?).ok()
}

/// Whether all pods are of the current template, and available.
#[must_use]
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.replicas();
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

/// Whether the roll-out is further than it was.
fn gets_on(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let old = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    now.updated_replicas > before.updated_replicas
        || old(now) < old(before)
        || now.ready_replicas > before.ready_replicas
        || now.available_replicas > before.available_replicas
}
