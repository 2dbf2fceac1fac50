//! DaemonSets, decided on tables of objects.

use serde_json::{Value, json};

use super::DaemonSets;
use crate::controller::Plan;
use crate::given::{at, plan, read, store};
use crate::kinds::template::hash;
use crate::kinds::{DaemonSet, Template};
use crate::revisions::{LABEL, data};
use crate::write::{Action, merge};

const NOW: i64 = 1_800_000_000;

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c"}]}})
}

fn set(spec: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "d", "namespace": "a", "uid": "d", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template(),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}},
    });
    merge(&mut object["spec"], spec.clone());
    object
}

fn node(name: &str, more: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "uid": name, "labels": {"host": name}}});
    merge(&mut object, more);
    object
}

fn revision(template: &Template, number: i64) -> Value {
    let data = data(template);
    let hash = hash(&data, None);
    json!({"metadata": {"name": format!("d-{hash}"), "namespace": "a", "uid": hash,
        "labels": {"app": "d", LABEL: hash}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true}]},
        "data": data.value(), "revision": number})
}

fn pod(name: &str, node: &str, label: &str, ready: bool) -> Value {
    let ready = if ready { "True" } else { "False" };
    json!({"metadata": {"name": name, "namespace": "a", "uid": name,
        "labels": {"app": "d", LABEL: label}, "creationTimestamp": at(NOW - 100),
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d",
            "uid": "d", "controller": true}]},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": at(NOW - 50)}]}})
}

fn decide(set: Value, nodes: &Value, pods: &Value) -> Plan {
    let owner: DaemonSet = read(set.clone());
    let controller = DaemonSets {
        sets: store(json!([set])),
        pods: store(pods.clone()),
        nodes: store(nodes.clone()),
        revisions: store(json!([revision(&owner.spec.template, 1)])),
        failures: parking_lot::Mutex::default(),
    };
    plan(&controller, at(NOW), "a", "d")
}

fn words(plan: &Plan) -> Vec<String> {
    let word = |write: &crate::write::Write| match &write.action {
        Action::Create { object, .. } => {
            let place = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                /nodeSelectorTerms/0/matchFields/0/values/0";
            Some(format!("create {}", object.pointer(place)?.as_str()?))
        }
        Action::Delete { name, .. } => Some(format!("delete {name}")),
        Action::Patch { .. } => None,
    };
    plan.writes.iter().filter_map(word).collect()
}

fn current() -> String {
    hash(&data(&Template::of(&template())), None)
}

#[test]
fn a_new_template_gets_a_revision_first() {
    let controller = DaemonSets {
        sets: store(json!([set(&json!({}))])),
        pods: store(json!([])),
        nodes: store(json!([node("n", json!({}))])),
        revisions: store(json!([])),
        failures: parking_lot::Mutex::default(),
    };
    let plan = plan(&controller, at(NOW), "a", "d");
    assert_eq!(plan.writes.len(), 1);
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a revision");
    };
    assert_eq!(object["metadata"]["labels"][LABEL], current());
    assert_eq!(object["data"]["spec"]["template"]["$patch"], "replace");
    assert_eq!(object["revision"], 1);
}

#[test]
fn each_node_that_suits_gets_a_pod() {
    let taint =
        |key: &str, effect: &str| json!({"spec": {"taints": [{"key": key, "effect": effect}]}});
    let nodes = json!([
        node("plain", json!({})),
        node(
            "control",
            taint("node-role.kubernetes.io/control-plane", "NoSchedule")
        ),
        node("lost", taint("node.kubernetes.io/unreachable", "NoExecute")),
        node("evil", taint("x", "NoExecute")),
        node("has", json!({})),
        node("keeps", taint("x", "NoSchedule")),
    ]);
    let hash = current();
    let mut stray = pod("stray", "", &hash, false);
    stray["spec"]["affinity"] = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}]}}});
    let pods = json!([
        pod("a", "has", &hash, true),
        pod("b", "has", &hash, true),
        pod("c", "evil", &hash, true),
        pod("e", "keeps", &hash, true),
        stray
    ]);
    let plan = decide(set(&json!({})), &nodes, &pods);
    assert_eq!(
        words(&plan),
        [
            "create lost",
            "create plain",
            "delete stray",
            "delete c",
            "delete b"
        ]
    );
    let status = plan.writes.iter().find_map(|write| match &write.action {
        Action::Patch { changes, .. } => Some(changes["status"].clone()),
        _ => None,
    });
    let status = status.unwrap();
    let numbers = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberMisscheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberUnavailable",
    ];
    assert_eq!(
        numbers.map(|name| status[name].as_i64().unwrap()),
        [3, 1, 2, 1, 1, 2]
    );
}

#[test]
fn selectors_choose_nodes() {
    let nodes = json!([node("x", json!({})), node("y", json!({}))]);
    let chosen = json!({"template": {"spec": {"nodeSelector": {"host": "y"}}}});
    assert_eq!(
        words(&decide(set(&chosen), &nodes, &json!([]))),
        ["create y"]
    );
    let chosen = json!({"template": {"spec": {"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{
            "matchExpressions": [{"key": "host", "operator": "NotIn", "values": ["y"]}]}]}}}}}});
    assert_eq!(
        words(&decide(set(&chosen), &nodes, &json!([]))),
        ["create x"]
    );
}

#[test]
fn old_pods_are_replaced_within_the_limits() {
    let nodes = json!([
        node("x", json!({})),
        node("y", json!({})),
        node("z", json!({}))
    ]);
    let hash = current();
    let check = |spec: Value, pods: Value, expected: &[&str]| {
        assert_eq!(
            words(&decide(set(&spec), &nodes, &pods)),
            expected,
            "{pods}"
        );
    };
    let all_old = || {
        json!([
            pod("a", "x", "old", true),
            pod("b", "y", "old", true),
            pod("c", "z", "old", true)
        ])
    };
    check(json!({}), all_old(), &["delete a"]);
    let two = || json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}});
    check(two(), all_old(), &["delete a", "delete b"]);
    // One is missing already; old ones that are no use go at once.
    check(
        json!({}),
        json!([
            pod("a", "x", "old", false),
            pod("b", "y", "old", true),
            pod("c", "z", "old", true)
        ]),
        &["delete a"],
    );
    check(
        json!({}),
        json!([
            pod("a", "x", &hash, false),
            pod("b", "y", "old", true),
            pod("c", "z", "old", true)
        ]),
        &[],
    );
    let by_hand = || json!({"updateStrategy": {"type": "OnDelete"}});
    check(by_hand(), all_old(), &[]);
    let surge =
        || json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    check(surge(), all_old(), &["create x"]);
    let mut both = all_old();
    both.as_array_mut()
        .unwrap()
        .push(pod("new", "x", &hash, false));
    check(surge(), both.clone(), &[]);
    both.as_array_mut().unwrap().pop();
    both.as_array_mut()
        .unwrap()
        .push(pod("new", "x", &hash, true));
    check(surge(), both, &["delete a"]);
}

#[test]
fn a_node_whose_pods_fail_is_waited_for() {
    let mut failed = pod("a", "x", &current(), false);
    failed["status"]["phase"] = json!("Failed");
    let controller = DaemonSets {
        sets: store(json!([set(&json!({}))])),
        pods: store(json!([failed])),
        nodes: store(json!([node("x", json!({}))])),
        revisions: store(json!([revision(&Template::of(&template()), 1)])),
        failures: parking_lot::Mutex::default(),
    };
    let first = plan(&controller, at(NOW), "a", "d");
    assert_eq!(words(&first), ["delete a"]);
    assert_eq!(first.events[0].reason, "FailedDaemonPod");
    let second = plan(&controller, at(NOW), "a", "d");
    assert_eq!(
        (words(&second), second.requeue.unwrap().as_secs()),
        (vec![], 1)
    );
    assert_eq!(
        words(&plan(&controller, at(NOW + 1), "a", "d")),
        ["delete a"]
    );
    let fourth = plan(&controller, at(NOW + 1), "a", "d");
    assert_eq!(fourth.requeue.unwrap().as_secs(), 2);
}
