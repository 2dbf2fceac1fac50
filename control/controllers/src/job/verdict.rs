//! Whether a Job is about to fail or to succeed, and why.

use std::sync::Arc;

use jiff::Timestamp;

use super::indexes::Indexes;
use super::tally::Tally;
use crate::kinds::job::Job;
use crate::kinds::{Pod, condition};

/// It is going to fail: its pods are being ended.
pub const FAILURE_TARGET: &str = "FailureTarget";
/// It is going to be complete.
pub const CRITERIA_MET: &str = "SuccessCriteriaMet";

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it succeeds.
    pub success: bool,
    /// A word for machines.
    pub reason: Box<str>,
    /// A sentence for people.
    pub message: Box<str>,
}

impl Verdict {
    fn failed(reason: &str, message: &str) -> Option<Self> {
        Some(Self {
            success: false,
            reason: reason.into(),
            message: message.into(),
        })
    }

    fn met(reason: &str, message: &str) -> Self {
        Self {
            success: true,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// The verdict that the status has already.
#[must_use]
pub fn pronounced(job: &Job) -> Option<Verdict> {
    let find = |kind: &str, success| {
        let said = condition::find(&job.status.conditions, kind)?;
        said.holds().then(|| Verdict {
            success,
            reason: said.reason.clone(),
            message: said.message.clone(),
        })
    };
    find(FAILURE_TARGET, false).or_else(|| find(CRITERIA_MET, true))
}

/// Whether something ends the Job before all is done.
#[must_use]
pub fn early(job: &Job, tally: &Tally, active: &[Arc<Pod>], now: Timestamp) -> Option<Verdict> {
    if let Some(message) = &tally.fatal {
        return Verdict::failed("PodFailurePolicy", message);
    }
    let limit = job.spec.backoff_limit.unwrap_or(6);
    if tally.failed > limit || restarts_too_often(job, active, limit) {
        let message = "Job has reached the specified backoff limit";
        return Verdict::failed("BackoffLimitExceeded", message);
    }
    if left(job, now).is_some_and(|left| left <= 0) {
        let message = "Job was active longer than specified deadline";
        return Verdict::failed("DeadlineExceeded", message);
    }
    failed_indexes(job, tally).or_else(|| by_policy(job, tally))
}

fn failed_indexes(job: &Job, tally: &Tally) -> Option<Verdict> {
    job.spec.backoff_limit_per_index?;
    let failed = tally.failed_indexes.count();
    if job
        .spec
        .max_failed_indexes
        .is_some_and(|most| failed > most)
    {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Verdict::failed("MaxFailedIndexesExceeded", message);
    }
    let all = job.spec.completions.unwrap_or(0);
    if failed > 0 && tally.completed.count() + failed >= all {
        return Verdict::failed("FailedIndexes", "Job has failed indexes");
    }
    None
}

fn by_policy(job: &Job, tally: &Tally) -> Option<Verdict> {
    let rules = &job.spec.success_policy.as_ref()?.rules;
    let bound = job.spec.completions.unwrap_or(0);
    let at = rules.iter().position(|rule| {
        let wanted = rule.succeeded_indexes.as_deref();
        let wanted = wanted.map(|text| Indexes::parse(text, bound));
        let done = match &wanted {
            Some(wanted) => tally.completed.0.intersection(&wanted.0).count(),
            None => tally.completed.0.len(),
        };
        match (rule.succeeded_count, &wanted) {
            (Some(count), _) => usize::try_from(count).is_ok_and(|count| done >= count),
            (None, Some(wanted)) => done == wanted.0.len(),
            (None, None) => false,
        }
    })?;
    Some(Verdict::met(
        "SuccessPolicy",
        &format!("Matched rules at index {at}"),
    ))
}

/// Whether enough pods succeeded and none runs.
#[must_use]
pub fn complete(job: &Job, tally: &Tally, active: usize) -> Option<Verdict> {
    let enough = match job.spec.completions {
        None => tally.succeeded > 0 && active == 0,
        Some(wanted) => tally.succeeded >= wanted && active == 0,
    };
    let message = "Reached expected number of succeeded pods";
    enough.then(|| Verdict::met("CompletionsReached", message))
}

/// Seconds left of the deadline.
#[must_use]
pub fn left(job: &Job, now: Timestamp) -> Option<i64> {
    let since = job.status.start_time.filter(|_| !job.spec.suspend)?;
    Some(since.as_second() + job.spec.active_deadline_seconds? - now.as_second())
}

/// Pods that restart their containers themselves count by their restarts.
fn restarts_too_often(job: &Job, active: &[Arc<Pod>], limit: i32) -> bool {
    let of = |pod: &Pod| -> i32 {
        let init = pod.status.init_container_statuses.iter();
        let all = init.chain(&pod.status.container_statuses);
        all.map(|status| status.restart_count).sum()
    };
    let on_failure = job
        .spec
        .template
        .text()
        .contains("\"restartPolicy\":\"OnFailure\"");
    if !on_failure {
        return false;
    }
    let sum: i32 = active.iter().map(|pod| of(pod)).sum();
    if limit == 0 { sum > 0 } else { sum >= limit }
}
