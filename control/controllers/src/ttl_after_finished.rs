//! Jobs that ended are removed after the time that they ask for. Pure.

use std::time::Duration;

use keelson_client::cache::Store;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::cron_job::ended;
use crate::kinds::Job;
use crate::wiring::Wiring;
use crate::write::Write;

/// Jobs that ended.
pub const REGISTRATION: Registration = Registration {
    name: "ttl-after-finished-controller",
    alias: "ttl-after-finished",
    account: "ttl-after-finished-controller",
    by_default: true,
    at_once: 2,
    build,
};

fn build(wiring: &mut Wiring<'_>) -> Option<Work> {
    let jobs = wiring.own::<Job>();
    Some(Work::decide(TtlAfterFinished { jobs }))
}

/// The controller.
#[derive(Debug)]
pub struct TtlAfterFinished {
    /// All Jobs.
    pub jobs: Store<Job>,
}

impl Reconcile for TtlAfterFinished {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(job) = self.jobs.find(input.key) else {
            return plan;
        };
        let Some((ended, ttl)) = ended(&job).zip(job.spec.ttl_seconds_after_finished) else {
            return plan;
        };
        if job.metadata.is_leaving() {
            return plan;
        }
        let left = ended.as_second() + i64::from(ttl) - input.now.as_second();
        match u64::try_from(left) {
            Ok(left) if left > 0 => plan.requeue_after(Duration::from_secs(left)),
            // Somebody may have given it more time: only the Job that was seen goes.
            _ => plan.write(
                Write::delete(&*job)
                    .propagating("Foreground")
                    .if_unchanged(&*job),
            ),
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::TtlAfterFinished;
    use crate::given::{at, plan, store};
    use crate::write::Action;

    #[test]
    fn a_job_goes_when_its_time_has_come() {
        let job = json!([{"metadata": {"name": "j", "namespace": "a", "uid": "u",
            "resourceVersion": "3"}, "spec": {"ttlSecondsAfterFinished": 60},
            "status": {"conditions": [
                {"type": "Failed", "status": "True", "lastTransitionTime": at(1000)}]}}]);
        let controller = TtlAfterFinished { jobs: store(job) };
        let early = plan(&controller, at(1020), "a", "j");
        assert_eq!(
            (early.writes.len(), early.requeue.unwrap().as_secs()),
            (0, 40)
        );
        let due = plan(&controller, at(1060), "a", "j");
        let Action::Delete {
            version,
            propagation,
            ..
        } = &due.writes[0].action
        else {
            panic!("a deletion");
        };
        assert_eq!((&**version, *propagation), ("3", Some("Foreground")));
    }
}
