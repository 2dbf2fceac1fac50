//! Which pods of a Job are made and which are removed while it goes on.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::tally::{
    FAILURES, FINALIZER, INDEX, Tally, failures_before, has_failed, index, untrack,
};
use crate::controller::{About, Plan};
use crate::kinds::job::Job;
use crate::kinds::{Meta, Pod};
use crate::pod_template::NewPod;
use crate::replica_set::victims;
use crate::write::Write;

/// So many pods are made or removed by one plan.
const BURST: usize = 500;
/// The wait after a failure, in seconds, which doubles with each in a row.
const FIRST_WAIT: i64 = 10;
/// No wait is longer.
const LONGEST_WAIT: i64 = 600;

/// The pods of a Job, by what they do.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// All.
    pub all: Vec<Arc<Pod>>,
    /// Neither ended nor leaving.
    pub active: Vec<Arc<Pod>>,
    /// Leaving, and not ended.
    pub leaving: usize,
}

impl Pods {
    /// Sorts them.
    #[must_use]
    pub fn new(all: Vec<Arc<Pod>>) -> Self {
        let active = all.iter().filter(|pod| pod.is_active()).cloned().collect();
        let leaving = all
            .iter()
            .filter(|pod| pod.metadata.is_leaving() && !pod.is_finished())
            .count();
        Self {
            all,
            active,
            leaving,
        }
    }
}

/// Plans what is missing or too much; the result is how many pods stay active.
pub fn manage(job: &Job, pods: &Pods, tally: &Tally, now: Timestamp, plan: &mut Plan) -> usize {
    if job.spec.suspend {
        return remove(job, pods.active.clone(), pods.active.len(), plan);
    }
    let wanted = wanted(job, pods.active.len(), tally);
    let doomed = doomed(
        job,
        pods,
        tally,
        pods.active.len().saturating_sub(wanted),
        now,
    );
    if !doomed.is_empty() {
        return remove(job, doomed, pods.active.len(), plan);
    }
    let counted = if job.waits_for_failure() {
        pods.leaving
    } else {
        0
    };
    let missing = wanted
        .saturating_sub(pods.active.len() + counted)
        .min(BURST);
    if missing == 0 {
        return pods.active.len();
    }
    if job.is_indexed() {
        return pods.active.len() + make_indexed(job, pods, tally, missing, now, plan);
    }
    if let Some(wait) = wait(&pods.all, job, now) {
        plan.requeue_after(wait);
        return pods.active.len();
    }
    for _ in 0..missing {
        plan.write(base(job).create(job));
    }
    pods.active.len() + missing
}

fn wanted(job: &Job, active: usize, tally: &Tally) -> usize {
    let most = usize::try_from(job.spec.parallelism.unwrap_or(1)).unwrap_or(0);
    let Some(completions) = job.spec.completions else {
        return if tally.succeeded > 0 {
            active.min(most)
        } else {
            most
        };
    };
    let done = tally.succeeded + tally.failed_indexes.count();
    usize::try_from(completions - done).unwrap_or(0).min(most)
}

/// Pods that are too many: twins of an index, those of indexes that are done, then the cheapest.
fn doomed(job: &Job, pods: &Pods, tally: &Tally, least: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let mut rest = pods.active.clone();
    let mut doomed = Vec::new();
    if job.is_indexed() {
        rest.sort_by_key(|pod| (created(&pod.metadata), pod.metadata.uid.clone()));
        let mut seen = BTreeSet::new();
        let is_wanted = |pod: &Arc<Pod>| {
            index(pod, job).is_some_and(|index| {
                let open = !tally.completed.has(index) && !tally.failed_indexes.has(index);
                open && seen.insert(index)
            })
        };
        (rest, doomed) = rest.into_iter().partition(is_wanted);
    }
    let more = least.saturating_sub(doomed.len());
    if more > 0 {
        let relatives = rest.clone();
        doomed.extend(victims::choose(rest, &relatives, more, now));
    }
    doomed.truncate(BURST);
    doomed
}

fn created(meta: &Meta) -> Option<Timestamp> {
    meta.creation_timestamp
}

/// Removes pods without counting them as failed.
fn remove(job: &Job, doomed: Vec<Arc<Pod>>, active: usize, plan: &mut Plan) -> usize {
    let stay = active - doomed.len();
    for pod in &doomed {
        plan.write(untrack(pod));
    }
    for pod in &doomed {
        plan.write(Write::delete(&**pod).told_to(About::of(job)));
    }
    stay
}

/// Ends pods that still run when the Job's end is certain; they count as failed.
pub fn end_all(job: &Job, pods: &Pods, plan: &mut Plan) {
    for pod in &pods.active {
        plan.write(Write::delete(&**pod).told_to(About::of(job)));
    }
}

fn base(job: &Job) -> NewPod {
    let mut pod = NewPod::of(job, &job.spec.template);
    pod.0["metadata"]["finalizers"] = json!([FINALIZER]);
    pod
}

fn make_indexed(
    job: &Job,
    pods: &Pods,
    tally: &Tally,
    missing: usize,
    now: Timestamp,
    plan: &mut Plan,
) -> usize {
    let waits = job.waits_for_failure();
    let taken: BTreeSet<i32> = pods
        .all
        .iter()
        .filter(|pod| !pod.is_finished() && (waits || !pod.metadata.is_leaving()))
        .filter_map(|pod| index(pod, job))
        .collect();
    let per_index = job.spec.backoff_limit_per_index.is_some();
    if !per_index && let Some(wait) = wait(&pods.all, job, now) {
        plan.requeue_after(wait);
        return 0;
    }
    let mut made = 0;
    for index in 0..job.spec.completions.unwrap_or(0) {
        if made == missing {
            break;
        }
        let is_done = tally.completed.has(index) || tally.failed_indexes.has(index);
        if is_done || taken.contains(&index) {
            continue;
        }
        if per_index && let Some(wait) = wait_of_index(pods, job, index, now) {
            plan.requeue_after(wait);
            continue;
        }
        plan.write(of_index(job, pods, index).create(job));
        made += 1;
    }
    made
}

fn of_index(job: &Job, pods: &Pods, at: i32) -> NewPod {
    let name = format!("{}-{at}", job.metadata.name);
    let mut pod = base(job)
        .generated(&format!("{name}-"))
        .labelled(INDEX, &at.to_string())
        .annotated(INDEX, &at.to_string());
    if job.spec.backoff_limit_per_index.is_some() {
        let failures = failed_pods(pods, job, at).map(|pod| failures_before(pod) + 1);
        pod = pod.annotated(FAILURES, &failures.max().unwrap_or(0).to_string());
    }
    pod.0["spec"]["hostname"] = json!(name);
    let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef":
        {"fieldPath": format!("metadata.labels['{INDEX}']")}}});
    for list in ["containers", "initContainers"] {
        let containers = pod.0["spec"]
            .get_mut(list)
            .and_then(|list| list.as_array_mut());
        for container in containers.into_iter().flatten() {
            match container.get_mut("env").and_then(|env| env.as_array_mut()) {
                Some(env) => {
                    env.retain(|known| known["name"] != "JOB_COMPLETION_INDEX");
                    env.push(variable.clone());
                }
                None => container["env"] = json!([variable]),
            }
        }
    }
    pod
}

fn failed_pods<'a>(pods: &'a Pods, job: &'a Job, at: i32) -> impl Iterator<Item = &'a Arc<Pod>> {
    let all = pods.all.iter();
    all.filter(move |pod| has_failed(pod, job) && index(pod, job) == Some(at))
}

fn wait_of_index(pods: &Pods, job: &Job, at: i32, now: Timestamp) -> Option<Duration> {
    let last = failed_pods(pods, job, at).max_by_key(|pod| ended(pod))?;
    after(failures_before(last) + 1, ended(last)?, now)
}

/// The wait after failures that no success followed.
fn wait(pods: &[Arc<Pod>], job: &Job, now: Timestamp) -> Option<Duration> {
    let mut done: Vec<_> = pods
        .iter()
        .filter(|pod| pod.is_finished() || has_failed(pod, job))
        .collect();
    done.sort_by_key(|pod| Reverse(ended(pod)));
    let failures = done.iter().take_while(|pod| has_failed(pod, job)).count();
    let last = done.first().filter(|_| failures > 0)?;
    after(
        i32::try_from(failures).unwrap_or(i32::MAX),
        ended(last)?,
        now,
    )
}

fn after(failures: i32, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    let wait = (FIRST_WAIT << doublings).min(LONGEST_WAIT);
    let left = last.as_second() + wait - now.as_second();
    u64::try_from(left)
        .ok()
        .filter(|left| *left > 0)
        .map(Duration::from_secs)
}

/// When a pod ended.
fn ended(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.container_statuses.iter();
    let finished = containers.filter_map(|status| status.state.terminated.as_ref()?.finished_at);
    let ready = || {
        pod.condition("Ready")
            .and_then(|ready| ready.last_transition_time)
    };
    let meta = &pod.metadata;
    let fallback = || {
        ready()
            .or(meta.deletion_timestamp)
            .or(meta.creation_timestamp)
    };
    finished.max().or_else(fallback)
}
