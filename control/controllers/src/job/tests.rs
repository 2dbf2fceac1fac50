//! Jobs, decided on tables of objects.

use serde_json::{Value, json};

use super::Jobs;
use super::tally::{FAILURES, FINALIZER, INDEX};
use crate::controller::Plan;
use crate::given::{at, plan, store};
use crate::write::{Action, merge};

const NOW: i64 = 1_800_000_000;

fn job(spec: &Value, status: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "work", "namespace": "a", "uid": "j", "resourceVersion": "5"},
        "spec": {"selector": {"matchLabels": {"job": "j"}}, "completionMode": "NonIndexed",
            "parallelism": 2, "completions": 3, "backoffLimit": 2,
            "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"metadata": {"labels": {"job": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": at(NOW - 50)},
    });
    merge(&mut object["spec"], spec.clone());
    merge(&mut object["status"], status.clone());
    object
}

fn pod(name: &str, phase: &str, tracked: bool, more: Value) -> Value {
    let finalizers = if tracked {
        json!([FINALIZER])
    } else {
        json!([])
    };
    let mut object = json!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"job": "j"},
            "finalizers": finalizers, "creationTimestamp": at(NOW - 1000),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "work",
                "uid": "j", "controller": true}]},
        "status": {"phase": phase},
    });
    merge(&mut object, more);
    object
}

fn indexed(name: &str, phase: &str, index: i32, failures: i32) -> Value {
    let notes = json!({"metadata": {"annotations": {INDEX: index.to_string(),
        FAILURES: failures.to_string()}}});
    pod(name, phase, true, notes)
}

fn decide(job: Value, pods: &Value) -> Plan {
    let controller = Jobs {
        jobs: store(json!([job])),
        pods: store(pods.clone()),
    };
    plan(&controller, at(NOW), "a", "work")
}

/// What is written, in words, without the status.
fn words(plan: &Plan) -> Vec<String> {
    let word = |write: &crate::write::Write| match &write.action {
        Action::Create { object, .. } => Some(format!(
            "create {}",
            object["metadata"]["generateName"].as_str()?
        )),
        Action::Patch {
            subresource: "status",
            ..
        } => None,
        Action::Patch { name, changes, .. } => {
            assert_eq!(changes["metadata"]["finalizers"], json!([]), "{name}");
            Some(format!("untrack {name}"))
        }
        Action::Delete { name, .. } => Some(format!("delete {name}")),
    };
    plan.writes.iter().filter_map(word).collect()
}

fn status(plan: &Plan) -> Value {
    let mut all = plan.writes.iter().filter_map(|write| match &write.action {
        Action::Patch {
            changes,
            subresource: "status",
            ..
        } => Some(changes["status"].clone()),
        _ => None,
    });
    all.next().unwrap_or_default()
}

/// The conditions that hold, with their reasons.
fn conditions(plan: &Plan) -> Vec<String> {
    let status = status(plan);
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let text = |one: &Value| {
        format!(
            "{} {}",
            one["type"].as_str().unwrap(),
            one["reason"].as_str().unwrap()
        )
    };
    all.iter()
        .filter(|one| one["status"] == "True")
        .map(text)
        .collect()
}

#[test]
fn runs_as_many_as_it_may() {
    let plan = decide(job(&json!({}), &json!({"startTime": null})), &json!([]));
    assert_eq!(words(&plan), ["create work-", "create work-"]);
    assert_eq!(status(&plan)["active"], 2);
    assert_eq!(status(&plan)["startTime"], json!(at(NOW)));
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a creation");
    };
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    // One of three is done: two are left, of which one runs.
    let pods = json!([pod("a", "Running", true, json!({}))]);
    let plan = decide(job(&json!({}), &json!({"succeeded": 1})), &pods);
    assert_eq!(words(&plan), ["create work-"]);
    let plan = decide(job(&json!({"parallelism": 0}), &json!({})), &pods);
    assert_eq!(words(&plan), ["untrack a", "delete a"]);
}

#[test]
fn a_pod_is_counted_once_in_three_steps() {
    // Seen: its uid goes into the status, the finalizer stays.
    let ended = json!([pod("a", "Succeeded", true, json!({}))]);
    let plan = decide(job(&json!({"completions": 1}), &json!({})), &ended);
    assert_eq!(words(&plan), [""; 0]);
    assert_eq!(
        status(&plan)["uncountedTerminatedPods"]["succeeded"],
        json!(["a"])
    );
    assert_eq!(status(&plan)["succeeded"], 0);
    assert_eq!(conditions(&plan), ["SuccessCriteriaMet CompletionsReached"]);
    // The status has it: the finalizer goes.
    let known = json!({"uncountedTerminatedPods": {"succeeded": ["a"]}});
    let plan = decide(job(&json!({"completions": 1}), &known), &ended);
    assert_eq!(words(&plan), ["untrack a"]);
    assert_eq!(status(&plan)["succeeded"], 0);
    // The finalizer is gone: it is counted, and all is done.
    let free = json!([pod("a", "Succeeded", false, json!({}))]);
    let plan = decide(job(&json!({"completions": 1}), &known), &free);
    assert_eq!(status(&plan)["succeeded"], 1);
    assert_eq!(
        status(&plan)["uncountedTerminatedPods"]["succeeded"],
        json!([])
    );
    assert_eq!(
        conditions(&plan),
        [
            "SuccessCriteriaMet CompletionsReached",
            "Complete CompletionsReached"
        ]
    );
    assert_eq!(status(&plan)["completionTime"], json!(at(NOW)));
    // Also if the pod itself is gone.
    let plan = decide(job(&json!({"completions": 1}), &known), &json!([]));
    assert_eq!(status(&plan)["succeeded"], 1);
}

#[test]
fn failures_are_waited_for_and_limited() {
    let ended = |name: &str, ago: i64| {
        let at = at(NOW - ago);
        pod(
            name,
            "Failed",
            false,
            json!({"status": {"containerStatuses": [
            {"state": {"terminated": {"exitCode": 1, "finishedAt": at}}}]}}),
        )
    };
    let pods = json!([ended("a", 100), ended("b", 5)]);
    let plan = decide(job(&json!({}), &json!({"failed": 2})), &pods);
    assert_eq!(
        (words(&plan), plan.requeue.unwrap().as_secs()),
        (vec![], 15)
    );
    let pods = json!([ended("a", 100), ended("b", 21)]);
    let plan = decide(job(&json!({}), &json!({"failed": 2})), &pods);
    assert_eq!(words(&plan).len(), 2);
    // The third failure is one too many; what runs is ended first.
    let running = json!([pod("c", "Running", true, json!({}))]);
    let plan = decide(job(&json!({}), &json!({"failed": 3})), &running);
    assert_eq!(words(&plan), ["delete c"]);
    assert_eq!(conditions(&plan), ["FailureTarget BackoffLimitExceeded"]);
    let plan = decide(job(&json!({}), &json!({"failed": 3})), &json!([]));
    assert_eq!(
        conditions(&plan),
        [
            "FailureTarget BackoffLimitExceeded",
            "Failed BackoffLimitExceeded"
        ]
    );
    assert_eq!(plan.events[0].reason, "BackoffLimitExceeded");
}

#[test]
fn deadlines_and_suspension() {
    let running = json!([pod("c", "Running", true, json!({}))]);
    let plan = decide(
        job(&json!({"activeDeadlineSeconds": 40}), &json!({})),
        &running,
    );
    assert_eq!(conditions(&plan), ["FailureTarget DeadlineExceeded"]);
    let plan = decide(
        job(&json!({"activeDeadlineSeconds": 60}), &json!({})),
        &running,
    );
    assert_eq!(plan.requeue.unwrap().as_secs(), 10);
    let plan = decide(job(&json!({"suspend": true}), &json!({})), &running);
    assert_eq!(words(&plan), ["untrack c", "delete c"]);
    assert_eq!(conditions(&plan), ["Suspended JobSuspended"]);
    let suspended = json!({"conditions": [{"type": "Suspended", "status": "True"}]});
    let plan = decide(job(&json!({}), &suspended), &json!([]));
    assert_eq!(plan.events[0].reason, "Resumed");
    assert_eq!(status(&plan)["startTime"], json!(at(NOW)));
    assert_eq!(words(&plan).len(), 2);
}

#[test]
fn each_index_has_its_pod() {
    let spec = json!({"completionMode": "Indexed", "parallelism": 3, "completions": 4});
    let pods = json!([
        indexed("a", "Running", 0, 0),
        indexed("b", "Succeeded", 2, 0),
        indexed("twin", "Running", 0, 0)
    ]);
    let plan = decide(job(&spec, &json!({})), &pods);
    assert_eq!(words(&plan), ["untrack twin", "delete twin"]);
    assert_eq!(status(&plan)["completedIndexes"], "2");
    assert_eq!(status(&plan)["succeeded"], 1);
    let pods = json!([
        indexed("a", "Running", 0, 0),
        indexed("b", "Succeeded", 2, 0)
    ]);
    let plan = decide(
        job(&spec, &json!({"completedIndexes": "2", "succeeded": 1})),
        &pods,
    );
    assert_eq!(
        words(&plan),
        ["untrack b", "create work-1-", "create work-3-"]
    );
    let Action::Create { object, .. } = &plan.writes[1].action else {
        panic!("a creation");
    };
    assert_eq!(object["metadata"]["annotations"][INDEX], "1");
    assert_eq!(object["metadata"]["labels"][INDEX], "1");
    assert_eq!(object["spec"]["hostname"], "work-1");
    let variable = &object["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
}

#[test]
fn each_index_fails_on_its_own() {
    let spec = json!({"completionMode": "Indexed", "completions": 2, "backoffLimit": 99,
        "backoffLimitPerIndex": 1, "maxFailedIndexes": 5});
    let pods = json!([indexed("a", "Failed", 0, 1), indexed("b", "Failed", 1, 0)]);
    let plan = decide(job(&spec, &json!({})), &pods);
    assert_eq!(status(&plan)["failedIndexes"], "0");
    assert_eq!(words(&plan), ["create work-1-"]);
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a creation");
    };
    assert_eq!(object["metadata"]["annotations"][FAILURES], "1");
    let known = json!({"completedIndexes": "1", "failedIndexes": "0", "succeeded": 1, "failed": 2});
    let plan = decide(job(&spec, &known), &json!([]));
    assert_eq!(
        conditions(&plan),
        ["FailureTarget FailedIndexes", "Failed FailedIndexes"]
    );
}

#[test]
fn policies_say_what_failures_and_successes_mean() {
    let rule = |action: &str| {
        json!({"podFailurePolicy": {"rules": [{"action": action,
            "onExitCodes": {"operator": "In", "values": [42]}}]}, "podReplacementPolicy": "Failed"})
    };
    let code = |code: i32| {
        json!([pod(
            "a",
            "Failed",
            true,
            json!({"status": {"containerStatuses": [
            {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": at(NOW - 500)}}}]}})
        )])
    };
    let plan = decide(job(&rule("FailJob"), &json!({})), &code(42));
    assert_eq!(conditions(&plan), ["FailureTarget PodFailurePolicy"]);
    assert_eq!(
        status(&plan)["conditions"][0]["message"],
        "Container c for pod a/a failed with exit code 42 matching FailJob rule at index 0"
    );
    let plan = decide(job(&rule("Ignore"), &json!({})), &code(42));
    assert_eq!(words(&plan)[0], "untrack a");
    let plan = decide(job(&rule("Ignore"), &json!({})), &code(1));
    assert_eq!(
        status(&plan)["uncountedTerminatedPods"]["failed"],
        json!(["a"])
    );

    let spec = json!({"completionMode": "Indexed", "completions": 5,
        "successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]}});
    let check = |done: &str, expected: &[&str]| {
        let running = json!([indexed("r", "Running", 4, 0)]);
        let plan = decide(job(&spec, &json!({"completedIndexes": done})), &running);
        assert_eq!(conditions(&plan), expected, "{done}");
    };
    check("0,3", &[]);
    check("0,2", &["SuccessCriteriaMet SuccessPolicy"]);
}

#[test]
fn pods_of_no_job_are_let_go() {
    let pods = json!([pod("a", "Succeeded", true, json!({}))]);
    let controller = Jobs {
        jobs: store(json!([])),
        pods: store(pods.clone()),
    };
    assert_eq!(
        words(&plan(&controller, at(NOW), "a", "work")),
        ["untrack a"]
    );
    let done = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(words(&decide(job(&json!({}), &done), &pods)), ["untrack a"]);
    let theirs = job(&json!({"managedBy": "example.com/other"}), &json!({}));
    assert_eq!(words(&decide(theirs, &json!([]))), [""; 0]);
}
