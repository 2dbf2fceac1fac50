//! What is counted, for which quota, and what is said of it.

use keelson_api::quota::Subject;
use serde_json::{Value, json};

use super::Tally;
use crate::given::at;

fn pod(spec: Value, more: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}}]}});
    crate::write::merge(&mut pod, json!({ "spec": spec }));
    crate::write::merge(&mut pod, more);
    pod
}

const PODS: Subject<'static> = Subject {
    group: "",
    resource: "pods",
};

/// `used` after these pods were counted for a quota of these names.
fn used(spec: Value, pods: &[Value]) -> Value {
    let mut tally = Tally::new(&json!({ "spec": spec }));
    tally.begin(PODS);
    for pod in pods {
        tally.add("", "pods", pod, at(1000));
    }
    tally.status().unwrap()["used"].clone()
}

#[test]
fn pods_are_summed() {
    let hard = json!({"pods": "9", "requests.cpu": "9", "limits.memory": "9Gi", "count/pods": "9"});
    let pods = [
        pod(json!({}), json!({})),
        pod(json!({"overhead": {"cpu": "250m"}}), json!({})),
        pod(json!({}), json!({"status": {"phase": "Succeeded"}})),
        pod(
            json!({}),
            json!({"metadata": {"deletionTimestamp": at(900), "deletionGracePeriodSeconds": 30}}),
        ),
    ];
    assert_eq!(
        used(json!({ "hard": hard }), &pods),
        json!({"pods": "2", "requests.cpu": "1250m", "limits.memory": "2Gi", "count/pods": "3"})
    );
    assert_eq!(
        used(json!({"hard": {"cpu": "1"}}), &[]),
        json!({"cpu": "0"})
    );
}

#[test]
fn scopes_choose() {
    let pods = [
        pod(json!({"activeDeadlineSeconds": 5}), json!({})),
        pod(json!({"priorityClassName": "high"}), json!({})),
        pod(json!({"containers": [{"name": "c"}]}), json!({})),
    ];
    let check = |scope: Value, expected: &str| {
        let mut spec = json!({"hard": {"pods": "9"}});
        crate::write::merge(&mut spec, scope.clone());
        assert_eq!(used(spec, &pods), json!({ "pods": expected }), "{scope}");
    };
    check(json!({}), "3");
    check(json!({"scopes": ["Terminating"]}), "1");
    check(json!({"scopes": ["NotTerminating"]}), "2");
    check(json!({"scopes": ["BestEffort"]}), "1");
    check(json!({"scopes": ["NotTerminating", "NotBestEffort"]}), "1");
    let class = json!({"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    check(json!({ "scopeSelector": class }), "1");
}

#[test]
fn kinds_are_found_by_names_and_numbers_are_enough_for_most() {
    let quota = json!({"spec": {"hard": {"count/widgets.example.com": "5", "secrets": "5",
        "nonsense": "1"}}, "status": {"used": {"nonsense": "7", "secrets": "4"}}});
    let mut tally = Tally::new(&quota);
    let kinds: Vec<_> = tally
        .kinds()
        .into_iter()
        .map(|(group, name)| format!("{name}.{group}"))
        .collect();
    assert_eq!(kinds, ["secrets.", "widgets.example.com"]);
    tally.begin(Subject {
        group: "example.com",
        resource: "widgets",
    });
    tally.add_many("example.com", "widgets", 3);
    // Secrets could not be counted: what was known stays.
    let status = tally.status().unwrap();
    assert_eq!(
        status["used"],
        json!({"count/widgets.example.com": "3", "secrets": "4", "nonsense": "7"})
    );
    assert_eq!(status["hard"], quota["spec"]["hard"]);
}

#[test]
fn what_is_right_is_not_written() {
    let check = |status: Value, expected: bool| {
        let quota = json!({"spec": {"hard": {"pods": "2", "cpu": "1"}}, "status": status});
        let mut tally = Tally::new(&quota);
        tally.begin(PODS);
        tally.add("", "pods", &pod(json!({}), json!({})), at(0));
        assert_eq!(tally.status().is_some(), expected, "{status}");
    };
    let hard = json!({"pods": "2", "cpu": "1000m"});
    check(json!({}), true);
    check(
        json!({"hard": hard, "used": {"pods": "1", "cpu": "0.5"}}),
        false,
    );
    check(
        json!({"hard": hard, "used": {"pods": "2", "cpu": "0.5"}}),
        true,
    );
    check(
        json!({"hard": {"pods": "3"}, "used": {"pods": "1", "cpu": "0.5"}}),
        true,
    );
}
