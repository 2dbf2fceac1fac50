//! CronJobs: Jobs that are started by the clock. Decides which is due, which runs on, and which are
//! forgotten. Pure: time zones are asked for through a function.
//!
//! # Guarantees
//! For one time one Job is started at most: its name says for which.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use keelson_client::cache::Store;
use serde_json::json;

use crate::controller::{About, Input, Plan, Reconcile, Registration, Work};
use crate::kinds::condition::{self, whole_seconds};
use crate::kinds::cron_job::{ActiveJob, CronJobStatus};
use crate::kinds::{CONTROLLER, CronJob, Job, Kind as _, owned_by};
use crate::time_zones;
use crate::wiring::Wiring;
use crate::write::{Write, managed_by};
use schedule::Schedule;

pub mod schedule;

/// From so many missed times on people are told.
const MANY: usize = 100;
/// A timer that fires a little late fires once.
const LATE: Duration = Duration::from_millis(100);
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// CronJobs.
pub const REGISTRATION: Registration = Registration {
    name: "cronjob-controller",
    alias: "cronjob",
    account: "cronjob-controller",
    by_default: true,
    at_once: 5,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    Some(Work::decide(CronJobs {
        crons: wiring.own::<CronJob>(),
        jobs: wiring.owned::<Job>(CronJob::RESOURCE),
        zone: time_zones::find,
    }))
}

/// The controller.
#[derive(Debug)]
pub struct CronJobs {
    /// All CronJobs.
    pub crons: Store<CronJob>,
    /// All Jobs.
    pub jobs: Store<Job>,
    /// Time zones by name.
    pub zone: fn(&str) -> Option<TimeZone>,
}

/// One decision about one CronJob.
struct Decision<'a> {
    cron: &'a CronJob,
    jobs: Vec<Arc<Job>>,
    now: Timestamp,
    status: CronJobStatus,
    plan: Plan,
}

impl Reconcile for CronJobs {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let Some(cron) = self.crons.find(input.key) else {
            return Plan::default();
        };
        let mut jobs = self
            .jobs
            .by_index(CONTROLLER, &owned_by(&cron.metadata.uid));
        jobs.sort_by_key(|job| (job.metadata.creation_timestamp, job.metadata.name.clone()));
        let mut decision = Decision {
            jobs,
            now: input.now,
            status: cron.status.clone(),
            plan: Plan::default(),
            cron: &cron,
        };
        decision.take_stock();
        decision.forget();
        if !cron.metadata.is_leaving() && !cron.spec.suspend {
            self.start(&mut decision);
        }
        if decision.status != cron.status {
            let status = json!(decision.status);
            decision.plan.write(Write::status(&*cron, status));
        }
        decision.plan
    }
}

impl CronJobs {
    fn start(&self, decision: &mut Decision<'_>) {
        let cron = decision.cron;
        let name = cron.spec.time_zone.as_deref().unwrap_or("UTC");
        let Some(zone) = (self.zone)(name) else {
            return decision.warn(
                "UnknownTimeZone",
                format!("invalid timeZone: {name:?}: unknown time zone"),
            );
        };
        match Schedule::parse(&cron.spec.schedule) {
            Ok(schedule) => {
                decision.start_due(&self.jobs, &schedule, &zone);
                decision.come_back(&schedule, &zone);
            }
            Err(error) => {
                let message = format!("unparseable schedule: {:?} : {error}", cron.spec.schedule);
                decision.warn("UnparseableSchedule", message);
            }
        }
    }
}

impl Decision<'_> {
    fn warn(&mut self, reason: &'static str, message: String) {
        self.plan.warn(About::of(self.cron), reason, message);
    }

    /// Notes which Jobs run, and tells of those that ended.
    fn take_stock(&mut self) {
        for job in &self.jobs {
            let was_active = self
                .status
                .active
                .iter()
                .any(|active| active.uid == job.metadata.uid);
            let ended = ["Complete", "Failed"].into_iter().find(|end| job.is(end));
            if let Some(end) = ended.filter(|_| was_active) {
                let name = &job.metadata.name;
                let message = format!("Saw completed job: {name}, condition: {end}");
                self.plan
                    .tell(About::of(self.cron), "SawCompletedJob", message);
            }
            let done = job
                .status
                .completion_time
                .filter(|_| ended == Some("Complete"));
            self.status.last_successful_time = self.status.last_successful_time.max(done);
        }
        let running: Vec<_> = self.running().map(|job| reference(&job)).collect();
        // A reference keeps the version with which it was noted.
        let known = std::mem::take(&mut self.status.active);
        let noted = |new: ActiveJob| {
            let old = known.iter().find(|old| old.uid == new.uid);
            old.cloned().unwrap_or(new)
        };
        self.status.active = running.into_iter().map(noted).collect();
    }

    fn running(&self) -> impl Iterator<Item = Arc<Job>> {
        self.jobs.iter().filter(|job| !job.is_finished()).cloned()
    }

    /// Removes the oldest Jobs beyond what is kept.
    fn forget(&mut self) {
        let limits = [
            (
                "Complete",
                self.cron.spec.successful_jobs_history_limit.unwrap_or(3),
            ),
            (
                "Failed",
                self.cron.spec.failed_jobs_history_limit.unwrap_or(1),
            ),
        ];
        for (end, limit) in limits {
            let mut ended: Vec<_> = self.jobs.iter().filter(|job| job.is(end)).collect();
            ended.sort_by_key(|job| Reverse((job.status.start_time, &job.metadata.name)));
            for job in ended.iter().skip(usize::try_from(limit).unwrap_or(0)) {
                if !job.metadata.is_leaving() {
                    let write = Write::delete(&***job).propagating("Background");
                    self.plan.write(write.told_to(About::of(self.cron)));
                }
            }
        }
    }

    fn start_due(&mut self, known: &Store<Job>, schedule: &Schedule, zone: &TimeZone) {
        let Some(due) = self.due(schedule, zone) else {
            return;
        };
        let late = self.cron.spec.starting_deadline_seconds;
        if late.is_some_and(|late| due.as_second() + late < self.now.as_second()) {
            let message = format!("Missed scheduled time to start a job: {due}");
            return self.warn("MissSchedule", message);
        }
        let name = format!("{}-{}", self.cron.metadata.name, due.as_second() / 60);
        if known.get(&self.cron.metadata.namespace, &name).is_some() {
            self.status.last_schedule_time = Some(due);
            return;
        }
        let running: Vec<_> = self.running().collect();
        match &*self.cron.spec.concurrency_policy {
            "Forbid" if !running.is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                return self.plan.tell(
                    About::of(self.cron),
                    "JobAlreadyActive",
                    message.to_owned(),
                );
            }
            "Replace" => {
                for job in running.iter().filter(|job| !job.metadata.is_leaving()) {
                    let write = Write::delete(&**job).propagating("Background");
                    self.plan.write(write.told_to(About::of(self.cron)));
                }
            }
            _ => {}
        }
        self.plan.write(new_job(self.cron, &name, due, zone));
        self.status.last_schedule_time = Some(due);
    }

    /// The last time that passed and for which nothing was started.
    fn due(&mut self, schedule: &Schedule, zone: &TimeZone) -> Option<Timestamp> {
        let since = self
            .status
            .last_schedule_time
            .or(self.cron.metadata.creation_timestamp)?;
        let late = self.cron.spec.starting_deadline_seconds;
        let oldest = late.and_then(|late| Timestamp::from_second(self.now.as_second() - late).ok());
        let since = oldest.map_or(since, |oldest| since.max(oldest));
        if since > self.now {
            return None;
        }
        if let Schedule::Every(seconds) = schedule {
            let times = (self.now.as_second() - since.as_second()) / seconds;
            let due = Timestamp::from_second(since.as_second() + times * seconds).ok();
            return due.filter(|_| times > 0);
        }
        let mut missed = std::iter::successors(schedule.next(since, zone), |last| {
            schedule.next(*last, zone)
        });
        let count = missed
            .by_ref()
            .take_while(|time| *time <= self.now)
            .take(MANY + 1)
            .count();
        if count > MANY {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.warn("TooManyMissedTimes", message.to_owned());
        }
        last_before(schedule, since, self.now, zone)
    }

    fn come_back(&mut self, schedule: &Schedule, zone: &TimeZone) {
        let from = match schedule {
            Schedule::Every(_) => self
                .status
                .last_schedule_time
                .or(self.cron.metadata.creation_timestamp),
            Schedule::Fields(_) => None,
        };
        let Some(next) = schedule.next(from.unwrap_or(self.now), zone) else {
            return;
        };
        let wait = Duration::try_from(next.duration_since(self.now)).unwrap_or_default();
        self.plan.requeue_after(wait + LATE);
    }
}

/// The last time that fits between two times: looked for from the later one on, in steps back that
/// double, so that a long gap costs little.
fn last_before(
    schedule: &Schedule,
    since: Timestamp,
    now: Timestamp,
    zone: &TimeZone,
) -> Option<Timestamp> {
    let mut back = 60;
    loop {
        let from = Timestamp::from_second(now.as_second() - back).ok()?;
        let from = from.max(since);
        let mut found = schedule.next(from, zone).filter(|time| *time <= now);
        if found.is_some() {
            while let Some(later) = found.and_then(|time| schedule.next(time, zone)) {
                if later > now {
                    break;
                }
                found = Some(later);
            }
            return found;
        }
        if from <= since {
            return None;
        }
        back *= 2;
    }
}

fn reference(job: &Job) -> ActiveJob {
    ActiveJob {
        api_version: Job::RESOURCE.api_version().into(),
        kind: "Job".into(),
        namespace: job.metadata.namespace.clone(),
        name: job.metadata.name.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
    }
}

fn new_job(cron: &CronJob, name: &str, due: Timestamp, zone: &TimeZone) -> Write {
    let template = cron.spec.job_template.value();
    let mut metadata = json!({"name": name, "ownerReferences": [managed_by(cron)]});
    for field in ["labels", "annotations"] {
        if let Some(value) = template["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let local = due.to_zoned(zone.clone());
    let time = match zone.to_offset(due).seconds() {
        0 => due.to_string(),
        _ => local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    };
    metadata["annotations"][SCHEDULED] = json!(time);
    let job = json!({"metadata": metadata, "spec": template["spec"]});
    Write::create(Job::RESOURCE, &cron.metadata.namespace, job).told_to(About::of(cron))
}

/// When a Job ended.
#[must_use]
pub fn ended(job: &Job) -> Option<Timestamp> {
    let end = ["Complete", "Failed"].into_iter().find(|end| job.is(end))?;
    let said = condition::find(&job.status.conditions, end)?;
    said.last_transition_time.map(whole_seconds)
}

#[cfg(test)]
mod tests;
