//! Jobs: pods that run to their end, so many times. Decides which pods run, which are counted, and
//! how the Job ends. Pure.
//!
//! # Guarantees
//! - Each pod is counted once (see [`tally`]).
//! - A Job is complete, or failed, when none of its pods runs and all are counted.

use std::time::Duration;

use jiff::Timestamp;
use keelson_client::cache::{Key, Store};
use keelson_client::index::Index;
use serde_json::json;

use crate::claim::{claim, keepers};
use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::condition::{self, Condition, whole_seconds};
use crate::kinds::job::{Job, JobStatus};
use crate::kinds::replica_set::some_labels;
use crate::kinds::{Kind as _, Object as _, Pod};
use crate::replica_set::number;
use crate::wiring::{Wiring, is_of};
use crate::write::Write;
use manage::{Pods, end_all, manage};
use tally::{Tally, is_tracked, untrack};
use verdict::{CRITERIA_MET, FAILURE_TARGET, Verdict};

pub mod indexes;
pub mod manage;
pub mod policy;
pub mod tally;
pub mod verdict;

/// The index of pods that a Job has to let go, by its namespace and name.
pub const TRACKED: &str = "job-tracking";
const SUSPENDED: &str = "Suspended";
/// The name under which Jobs are ours.
const OURS: &str = "kubernetes.io/job-controller";

/// Jobs.
pub const REGISTRATION: Registration = Registration {
    name: "job-controller",
    alias: "job",
    account: "job-controller",
    by_default: true,
    at_once: 5,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    let (jobs, pods) = keepers(wiring, |job: &Job| some_labels(&job.spec.selector));
    Some(Work::decide(Jobs { jobs, pods }))
}

/// The index [`TRACKED`].
#[must_use]
pub fn tracked() -> Index<Pod> {
    Index::new(TRACKED, |pod: &Pod, words| {
        let owner = pod.metadata.controller();
        let owner = owner.filter(|owner| is_of(&Job::RESOURCE, &owner.api_version, &owner.kind));
        if let Some(owner) = owner.filter(|_| is_tracked(pod)) {
            words.push(Key::new(pod.namespace(), &owner.name).to_string());
        }
    })
}

/// The controller.
#[derive(Debug)]
pub struct Jobs {
    /// All Jobs.
    pub jobs: Store<Job>,
    /// All pods.
    pub pods: Store<Pod>,
}

impl Reconcile for Jobs {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let job = self.jobs.find(input.key);
        self.let_go(input.key, job.as_deref(), &mut plan);
        let Some(job) = job.filter(|job| !job.is_finished()) else {
            return plan;
        };
        if job
            .spec
            .managed_by
            .as_deref()
            .is_some_and(|name| name != OURS)
        {
            return plan;
        }
        let Some(selector) = some_labels(&job.spec.selector) else {
            return plan;
        };
        let pods = Pods::new(claim(&*job, &selector, &self.pods, &mut plan));
        decide(&job, &pods, input.now, &mut plan);
        plan
    }
}

impl Jobs {
    /// Pods of a Job that is gone or finished need not wait to be counted.
    fn let_go(&self, key: &Key, job: Option<&Job>, plan: &mut Plan) {
        for pod in self.pods.by_index(TRACKED, &key.to_string()) {
            let owner = pod.metadata.controller().map(|owner| &*owner.uid);
            let job = job.filter(|job| Some(&*job.metadata.uid) == owner);
            if job.is_none_or(Job::is_finished) {
                plan.write(untrack(&pod));
            }
        }
    }
}

fn decide(job: &Job, pods: &Pods, now: Timestamp, plan: &mut Plan) {
    let tally = tally::tally(job, &pods.all, plan);
    let mut status = job.status.clone();
    if status.start_time.is_none() && !job.spec.suspend {
        status.start_time = Some(whole_seconds(now));
    }
    let mut verdict =
        verdict::pronounced(job).or_else(|| verdict::early(job, &tally, &pods.active, now));
    let mut active = pods.active.len();
    if verdict.is_some() {
        end_all(job, pods, plan);
        active = 0;
    } else if !job.metadata.is_leaving() {
        active = manage(job, pods, &tally, now, plan);
        verdict = verdict::complete(job, &tally, active);
        note_suspension(job, &mut status, now, plan);
    }
    fill(job, pods, &tally, &mut status);
    status.active = number(active);
    if let Some(verdict) = verdict {
        let still = pods.active.len() + pods.leaving;
        conclude(job, &verdict, still, &mut status, now, plan);
    } else if let Some(left) = deadline(job, &status, now) {
        plan.requeue_after(left);
    }
    if status != job.status {
        plan.write(Write::status(job, json!(status)));
    }
}

/// What is left of the deadline, also of one that begins now.
fn deadline(job: &Job, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    let seconds = job.spec.active_deadline_seconds?;
    let since = status.start_time.filter(|_| !job.spec.suspend)?;
    let left = since.as_second() + seconds - now.as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1)))
}

fn fill(job: &Job, pods: &Pods, tally: &Tally, status: &mut JobStatus) {
    let ready = pods.active.iter().filter(|pod| pod.is_ready()).count();
    status.ready = Some(number(ready));
    status.terminating = Some(number(pods.leaving));
    status.succeeded = tally.counted_succeeded;
    status.failed = tally.counted_failed;
    status.uncounted_terminated_pods = Some(tally.uncounted.clone());
    if job.is_indexed() {
        let text = tally.completed.text();
        status.completed_indexes = (!text.is_empty()).then(|| text.into());
        if job.spec.backoff_limit_per_index.is_some() {
            status.failed_indexes = Some(tally.failed_indexes.text().into());
        }
    }
}

fn note_suspension(job: &Job, status: &mut JobStatus, now: Timestamp, plan: &mut Plan) {
    let was = condition::find(&status.conditions, SUSPENDED).map(Condition::holds);
    let say = |on: bool, reason: &str, message: &str| Condition {
        last_probe_time: Some(whole_seconds(now)),
        ..Condition::new(SUSPENDED, on, reason, message, now)
    };
    if job.spec.suspend && was != Some(true) {
        condition::set(
            &mut status.conditions,
            say(true, "JobSuspended", "Job suspended"),
        );
        plan.tell(About::of(job), "Suspended", "Job suspended".to_owned());
    } else if !job.spec.suspend && was == Some(true) {
        condition::set(
            &mut status.conditions,
            say(false, "JobResumed", "Job resumed"),
        );
        plan.tell(About::of(job), "Resumed", "Job resumed".to_owned());
        status.start_time = Some(whole_seconds(now));
    }
}

/// Says how the Job is going to end, and that it has when nothing of it runs or is uncounted.
fn conclude(
    job: &Job,
    verdict: &Verdict,
    still: usize,
    status: &mut JobStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let say = |kind: &str| Condition {
        last_probe_time: Some(whole_seconds(now)),
        ..Condition::new(kind, true, &verdict.reason, &verdict.message, now)
    };
    let (target, end) = match verdict.success {
        true => (CRITERIA_MET, "Complete"),
        false => (FAILURE_TARGET, "Failed"),
    };
    condition::set(&mut status.conditions, say(target));
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let open = uncounted.is_some_and(|all| !all.succeeded.is_empty() || !all.failed.is_empty());
    if still > 0 || open {
        return;
    }
    condition::set(&mut status.conditions, say(end));
    status.active = 0;
    if verdict.success {
        status.completion_time = Some(whole_seconds(now));
        plan.tell(About::of(job), "Completed", "Job completed".to_owned());
    } else {
        let reason = known_reason(&verdict.reason);
        plan.warn(About::of(job), reason, verdict.message.to_string());
    }
}

/// The reason as a word that events have.
fn known_reason(reason: &str) -> &'static str {
    let all = [
        "PodFailurePolicy",
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
    ];
    all.into_iter()
        .find(|known| *known == reason)
        .unwrap_or("Failed")
}

#[cfg(test)]
mod tests;
