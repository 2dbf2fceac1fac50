//! CronJobs, decided on tables of objects.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::CronJobs;
use crate::controller::Plan;
use crate::given::{at, plan, store};
use crate::write::{Action, merge};

/// 2027-01-15, eight in the morning.
const NOW: i64 = 1_800_000_000;

fn cron(spec: &Value, status: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "c", "namespace": "a", "uid": "c",
            "creationTimestamp": at(NOW - 86_400)},
        "spec": {"schedule": "0 * * * *", "concurrencyPolicy": "Allow",
            "jobTemplate": {"metadata": {"labels": {"x": "y"}}, "spec": {"parallelism": 2}}},
        "status": {"lastScheduleTime": at(NOW - 3600)},
    });
    merge(&mut object["spec"], spec.clone());
    merge(&mut object["status"], status.clone());
    object
}

fn job(name: &str, end: &str, begun: i64) -> Value {
    let conditions = match end {
        "" => json!([]),
        end => json!([{"type": end, "status": "True"}]),
    };
    json!({"metadata": {"name": name, "namespace": "a", "uid": name, "resourceVersion": "9",
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "c",
            "controller": true}]},
        "status": {"startTime": at(NOW - begun), "conditions": conditions}})
}

fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "UTC" => Some(TimeZone::UTC),
        "Plus/Half" => Some(TimeZone::fixed(
            jiff::tz::offset(5).saturating_add(jiff::Span::new().minutes(30)),
        )),
        _ => None,
    }
}

fn decide_at(second: i64, cron: Value, jobs: &Value) -> Plan {
    let controller = CronJobs {
        crons: store(json!([cron])),
        jobs: store(jobs.clone()),
        zone,
    };
    plan(&controller, at(second), "a", "c")
}

fn words(plan: &Plan) -> Vec<String> {
    let word = |write: &crate::write::Write| match &write.action {
        Action::Create { object, .. } => {
            Some(format!("create {}", object["metadata"]["name"].as_str()?))
        }
        Action::Delete { name, .. } => Some(format!("delete {name}")),
        Action::Patch { .. } => None,
    };
    let written = plan.writes.iter().filter_map(word);
    written
        .chain(plan.events.iter().map(|event| event.reason.to_owned()))
        .collect()
}

#[test]
fn starts_what_is_due_once() {
    let plan = decide_at(NOW + 5, cron(&json!({}), &json!({})), &json!([]));
    assert_eq!(words(&plan), ["create c-30000000"]);
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a job");
    };
    assert_eq!(object["spec"], json!({"parallelism": 2}));
    assert_eq!(object["metadata"]["labels"], json!({"x": "y"}));
    let notes = &object["metadata"]["annotations"];
    assert_eq!(
        notes["batch.kubernetes.io/cronjob-scheduled-timestamp"],
        "2027-01-15T08:00:00Z"
    );
    assert_eq!(plan.requeue.unwrap().as_millis(), 3_595_100);
    let Action::Patch { changes, .. } = &plan.writes[1].action else {
        panic!("a status");
    };
    assert_eq!(changes["status"]["lastScheduleTime"], json!(at(NOW)));
    // It was started, and the status was not written any more.
    let there = json!([job("c-30000000", "", 1)]);
    assert_eq!(
        words(&decide_at(NOW + 5, cron(&json!({}), &json!({})), &there)),
        [""; 0]
    );
    let told = json!({"lastScheduleTime": at(NOW)});
    assert_eq!(
        words(&decide_at(NOW + 5, cron(&json!({}), &told), &json!([]))),
        [""; 0]
    );
}

#[test]
fn policies_and_deadlines() {
    let check = |spec: Value, expected: &[&str]| {
        let running = json!([job("before", "", 3000)]);
        let plan = decide_at(NOW + 300, cron(&spec, &json!({})), &running);
        assert_eq!(words(&plan), expected, "{spec}");
    };
    check(json!({}), &["create c-30000000"]);
    check(
        json!({"concurrencyPolicy": "Forbid"}),
        &["JobAlreadyActive"],
    );
    check(
        json!({"concurrencyPolicy": "Replace"}),
        &["delete before", "create c-30000000"],
    );
    check(json!({"suspend": true}), &[]);
    check(json!({"startingDeadlineSeconds": 200}), &[]);
    check(
        json!({"startingDeadlineSeconds": 400}),
        &["create c-30000000"],
    );
    check(json!({"schedule": "x"}), &["UnparseableSchedule"]);
    check(json!({"timeZone": "No/Where"}), &["UnknownTimeZone"]);
    // Half an hour off: the last full hour there was half an hour ago.
    check(json!({"timeZone": "Plus/Half"}), &["create c-29999970"]);
}

#[test]
fn a_long_sleep_starts_one() {
    let slept = json!({"lastScheduleTime": at(NOW - 3 * 86_400)});
    let spec = json!({"schedule": "*/10 * * * *"});
    let plan = decide_at(NOW + 60, cron(&spec, &slept), &json!([]));
    assert_eq!(words(&plan), ["create c-30000000", "TooManyMissedTimes"]);
}

#[test]
fn old_jobs_are_forgotten() {
    let jobs = json!([
        job("f1", "Failed", 10),
        job("f2", "Failed", 20),
        job("s1", "Complete", 1),
        job("s2", "Complete", 2),
        job("s3", "Complete", 3),
        job("s4", "Complete", 4)
    ]);
    let told = json!({"lastScheduleTime": at(NOW), "active": [{"name": "s1", "uid": "s1"}]});
    let plan = decide_at(NOW + 5, cron(&json!({}), &told), &jobs);
    assert_eq!(words(&plan), ["delete s4", "delete f2", "SawCompletedJob"]);
}
