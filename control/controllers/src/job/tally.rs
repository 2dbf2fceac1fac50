//! Counts ended pods exactly once, whatever fails in between: a pod keeps the Job's finalizer until
//! its uid is in the status as uncounted, and its uid stays there until the finalizer is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::indexes::Indexes;
use super::policy::{Meaning, meaning};
use crate::controller::Plan;
use crate::kinds::Pod;
use crate::kinds::job::{Job, Uncounted};
use crate::write::Write;

/// Keeps a pod until it is counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// The index of a pod.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often the pod's index failed before it.
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// So many pods are uncounted at once.
const ROOM: usize = 500;

/// What the pods of a Job add up to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Pods or indexes that succeeded, counted or not.
    pub succeeded: i32,
    /// Pods that failed, counted or not.
    pub failed: i32,
    /// Indexes that succeeded.
    pub completed: Indexes,
    /// Indexes that failed for good.
    pub failed_indexes: Indexes,
    /// A failure that fails the Job, with a message.
    pub fatal: Option<String>,
    /// The counts and uids to be written.
    pub counted_succeeded: i32,
    /// Pods that failed and whose finalizer is gone.
    pub counted_failed: i32,
    /// Pods that have ended and still have the finalizer.
    pub uncounted: Uncounted,
}

/// Whether the pod still has the Job's finalizer.
#[must_use]
pub fn is_tracked(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .any(|name| &**name == FINALIZER)
}

/// Takes the Job's finalizer from a pod.
#[must_use]
pub fn untrack(pod: &Pod) -> Write {
    let mut finalizers = pod.metadata.finalizers.clone();
    finalizers.retain(|name| &**name != FINALIZER);
    Write::patch(pod, json!({"metadata": {"finalizers": finalizers}}))
}

/// The index of a pod, if it is one of the Job's.
#[must_use]
pub fn index(pod: &Pod, job: &Job) -> Option<i32> {
    let text = pod.metadata.annotations.get(INDEX)?;
    let bound = job.spec.completions.unwrap_or(0);
    text.parse().ok().filter(|index| (0..bound).contains(index))
}

/// Whether a pod counts as failed.
#[must_use]
pub fn has_failed(pod: &Pod, job: &Job) -> bool {
    match &*pod.status.phase {
        "Failed" => true,
        "Succeeded" => false,
        _ => pod.metadata.is_leaving() && !job.waits_for_failure(),
    }
}

/// Counts. Finalizers that are not needed any more are taken away by the plan.
pub fn tally(job: &Job, pods: &[Arc<Pod>], plan: &mut Plan) -> Tally {
    let known = job
        .status
        .uncounted_terminated_pods
        .clone()
        .unwrap_or_default();
    let bound = job.spec.completions.unwrap_or(0);
    let read = |text: &Option<Box<str>>| Indexes::parse(text.as_deref().unwrap_or(""), bound);
    let mut tally = Tally {
        completed: read(&job.status.completed_indexes),
        failed_indexes: read(&job.status.failed_indexes),
        counted_succeeded: job.status.succeeded,
        counted_failed: job.status.failed,
        ..Tally::default()
    };
    let persisted = tally.completed.clone();
    tally.take_over(&known, pods, plan);
    for pod in pods.iter().filter(|pod| is_tracked(pod)) {
        if !is_listed(&known, pod) {
            tally.take(job, pod, &persisted, plan);
        }
    }
    tally.succeeded = if job.is_indexed() {
        tally.completed.count()
    } else {
        tally.counted_succeeded + length(&tally.uncounted.succeeded)
    };
    tally.failed = tally.counted_failed + length(&tally.uncounted.failed);
    if job.is_indexed() {
        tally.counted_succeeded = tally.completed.count();
    }
    tally
}

impl Tally {
    /// Goes on with pods that the status has as uncounted.
    fn take_over(&mut self, known: &Uncounted, pods: &[Arc<Pod>], plan: &mut Plan) {
        let tracked: BTreeSet<&str> = pods
            .iter()
            .filter(|pod| is_tracked(pod))
            .map(|pod| &*pod.metadata.uid)
            .collect();
        for pod in pods
            .iter()
            .filter(|pod| is_tracked(pod) && is_listed(known, pod))
        {
            plan.write(untrack(pod));
        }
        let split = |uids: &[Box<str>]| -> (Vec<Box<str>>, i32) {
            let kept: Vec<_> = uids
                .iter()
                .filter(|uid| tracked.contains(&***uid))
                .cloned()
                .collect();
            let gone = uids.len() - kept.len();
            (kept, i32::try_from(gone).unwrap_or(0))
        };
        let (kept, gone) = split(&known.succeeded);
        self.uncounted.succeeded = kept;
        self.counted_succeeded += gone;
        let (kept, gone) = split(&known.failed);
        self.uncounted.failed = kept;
        self.counted_failed += gone;
    }

    /// Takes in a pod that is in no list yet.
    fn take(&mut self, job: &Job, pod: &Arc<Pod>, persisted: &Indexes, plan: &mut Plan) {
        if &*pod.status.phase == "Succeeded" {
            return self.take_success(job, pod, persisted, plan);
        }
        if !has_failed(pod, job) {
            return;
        }
        let meaning = meaning(job, pod);
        self.note_index(job, pod, &meaning);
        if let Meaning::FailJob(why) = &meaning {
            self.fatal.get_or_insert_with(|| why.clone());
        }
        if meaning == Meaning::Ignore {
            plan.write(untrack(pod));
        } else if self.has_room() {
            self.uncounted.failed.push(pod.metadata.uid.clone());
        }
    }

    fn take_success(&mut self, job: &Job, pod: &Arc<Pod>, persisted: &Indexes, plan: &mut Plan) {
        if !job.is_indexed() {
            if self.has_room() {
                self.uncounted.succeeded.push(pod.metadata.uid.clone());
            }
            return;
        }
        // An index is in the set of successes once, however many pods brought it.
        match index(pod, job) {
            Some(index) if !persisted.has(index) => {
                self.completed.0.insert(index);
                self.failed_indexes.0.remove(&index);
            }
            _ => plan.write(untrack(pod)),
        }
    }

    fn note_index(&mut self, job: &Job, pod: &Pod, meaning: &Meaning) {
        let (Some(limit), Some(index)) = (job.spec.backoff_limit_per_index, index(pod, job)) else {
            return;
        };
        let is_last = *meaning == Meaning::Count && failures_before(pod) >= limit;
        if (is_last || *meaning == Meaning::FailIndex) && !self.completed.has(index) {
            self.failed_indexes.0.insert(index);
        }
    }

    fn has_room(&self) -> bool {
        self.uncounted.succeeded.len() + self.uncounted.failed.len() < ROOM
    }
}

/// How often the pod's index had failed when it was made.
#[must_use]
pub fn failures_before(pod: &Pod) -> i32 {
    let text = pod.metadata.annotations.get(FAILURES);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn is_listed(known: &Uncounted, pod: &Pod) -> bool {
    let mut all = known.succeeded.iter().chain(&known.failed);
    all.any(|uid| *uid == pod.metadata.uid)
}

fn length(list: &[Box<str>]) -> i32 {
    i32::try_from(list.len()).unwrap_or(i32::MAX)
}
