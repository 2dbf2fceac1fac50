//! Jobs.

use jiff::Timestamp;
use keelson_api::meta::LabelSelector;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

use super::{Condition, Meta, NAMESPACE, Template, condition, kind};

/// A Job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: JobSpec,
    /// `status`.
    pub status: JobStatus,
}

kind!(
    Job,
    Resource::fixed("batch", "v1", "jobs", "Job", true),
    vec![Index::new(NAMESPACE, |job: &Job, words| {
        words.push(job.metadata.namespace.to_string());
    })]
);

/// `spec` of a Job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobSpec {
    /// How many pods may run at once.
    pub parallelism: Option<i32>,
    /// How many have to succeed; one success ends it if absent.
    pub completions: Option<i32>,
    /// `Indexed`, or `NonIndexed`.
    pub completion_mode: Box<str>,
    /// How long it may take, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// How many failures it survives.
    pub backoff_limit: Option<i32>,
    /// How many failures each index survives.
    pub backoff_limit_per_index: Option<i32>,
    /// How many failed indexes it survives.
    pub max_failed_indexes: Option<i32>,
    /// What failures mean.
    pub pod_failure_policy: Option<PodFailurePolicy>,
    /// When some successes are enough.
    pub success_policy: Option<SuccessPolicy>,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// Whether nothing may run.
    pub suspend: bool,
    /// What pods are made from.
    pub template: Template,
    /// How long it is kept once finished, in seconds.
    pub ttl_seconds_after_finished: Option<i32>,
    /// Who manages it, if not we.
    pub managed_by: Option<Box<str>>,
    /// `TerminatingOrFailed`, or `Failed`: what a pod has to be before it is replaced.
    pub pod_replacement_policy: Option<Box<str>>,
}

/// `spec.podFailurePolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodFailurePolicy {
    /// The first that fits counts.
    pub rules: Vec<FailureRule>,
}

/// A rule on failures.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FailureRule {
    /// `FailJob`, `FailIndex`, `Ignore` or `Count`.
    pub action: Box<str>,
    /// Which exit codes fit.
    pub on_exit_codes: Option<OnExitCodes>,
    /// Which conditions fit.
    pub on_pod_conditions: Vec<OnCondition>,
}

/// Exit codes that a rule is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OnExitCodes {
    /// Of which container; of any if absent.
    pub container_name: Option<Box<str>>,
    /// `In` or `NotIn`.
    pub operator: Box<str>,
    /// The codes.
    pub values: Vec<i32>,
}

/// A condition that a rule is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OnCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Its status.
    pub status: Box<str>,
}

/// `spec.successPolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SuccessPolicy {
    /// The first that is met counts.
    pub rules: Vec<SuccessRule>,
}

/// What is enough.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SuccessRule {
    /// Which indexes count.
    pub succeeded_indexes: Option<Box<str>>,
    /// How many of them; all if absent.
    pub succeeded_count: Option<i32>,
}

/// `status` of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobStatus {
    /// When it was first, or last, let run.
    pub start_time: Option<Timestamp>,
    /// When it succeeded.
    pub completion_time: Option<Timestamp>,
    /// Pods that are neither ended nor leaving.
    pub active: i32,
    /// Those that are ready.
    pub ready: Option<i32>,
    /// Pods that are leaving.
    pub terminating: Option<i32>,
    /// Pods, or indexes, that succeeded.
    pub succeeded: i32,
    /// Pods that failed.
    pub failed: i32,
    /// Indexes that succeeded, as `1,3-5`.
    pub completed_indexes: Option<Box<str>>,
    /// Indexes that failed for good.
    pub failed_indexes: Option<Box<str>>,
    /// Pods that have ended and are in no count yet.
    pub uncounted_terminated_pods: Option<Uncounted>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// The uids of pods that are in no count yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Uncounted {
    /// Those that succeeded.
    pub succeeded: Vec<Box<str>>,
    /// Those that failed.
    pub failed: Vec<Box<str>>,
}

impl Job {
    /// Whether each pod has an index.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        &*self.spec.completion_mode == "Indexed"
    }

    /// Whether a pod is only replaced when it has failed, not when it is leaving.
    #[must_use]
    pub fn waits_for_failure(&self) -> bool {
        match self.spec.pod_replacement_policy.as_deref() {
            Some(policy) => policy == "Failed",
            None => self.spec.pod_failure_policy.is_some(),
        }
    }

    /// Whether a condition of this type holds.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        condition::find(&self.status.conditions, kind).is_some_and(Condition::holds)
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }
}
