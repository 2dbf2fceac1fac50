//! CronJobs.

use jiff::Timestamp;
use keelson_client::Resource;
use serde::{Deserialize, Serialize};

use super::{Meta, Template, kind};

/// A CronJob.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CronJob {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: CronJobSpec,
    /// `status`.
    pub status: CronJobStatus,
}

kind!(
    CronJob,
    Resource::fixed("batch", "v1", "cronjobs", "CronJob", true)
);

/// `spec` of a CronJob.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJobSpec {
    /// When, as five fields or `@hourly` and the like.
    pub schedule: Box<str>,
    /// Whose clock; UTC if absent.
    pub time_zone: Option<Box<str>>,
    /// `Allow`, `Forbid` or `Replace`.
    pub concurrency_policy: Box<str>,
    /// Whether nothing is started.
    pub suspend: bool,
    /// How late a Job may be started, in seconds.
    pub starting_deadline_seconds: Option<i64>,
    /// How many Jobs that succeeded are kept.
    pub successful_jobs_history_limit: Option<i32>,
    /// How many that failed are kept.
    pub failed_jobs_history_limit: Option<i32>,
    /// What Jobs are made from.
    pub job_template: Template,
}

/// `status` of a CronJob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJobStatus {
    /// Jobs that run.
    pub active: Vec<ActiveJob>,
    /// The time for which a Job was last started.
    pub last_schedule_time: Option<Timestamp>,
    /// When a Job last succeeded.
    pub last_successful_time: Option<Timestamp>,
}

/// A Job that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ActiveJob {
    /// `batch/v1`.
    pub api_version: Box<str>,
    /// `Job`.
    pub kind: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Its version when it was noted.
    pub resource_version: Box<str>,
}
