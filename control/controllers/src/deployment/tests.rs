//! Deployments, decided on tables of objects.

use serde_json::{Value, json};

use super::Deployments;
use super::sets::{HASH, unhashed};
use crate::controller::Plan;
use crate::given::{at, plan, store};
use crate::kinds::template::hash;
use crate::kinds::{ReplicaSet, Template};
use crate::write::{Action, merge};

const NOW: i64 = 1_800_000_000;

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

fn deployment(replicas: i32, more: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "a", "uid": "d", "generation": 1,
            "resourceVersion": "5", "annotations": {"note": "kept"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": template("new"), "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600, "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
    });
    merge(&mut object, more);
    object
}

/// A set of a template: size, pods that are there, pods that are available.
fn set(image: &str, revision: i64, sizes: [i32; 3], desired: i32) -> Value {
    let name = format!("web-{image}");
    let mut template = template(image);
    template["metadata"]["labels"][HASH] = json!(image);
    json!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "resourceVersion": "1",
            "labels": {"app": "web"}, "creationTimestamp": at(NOW - 1000 + revision),
            "annotations": {"note": "kept", "deployment.kubernetes.io/revision": revision.to_string(),
                "deployment.kubernetes.io/desired-replicas": desired.to_string(),
                "deployment.kubernetes.io/max-replicas": (desired + (desired + 3) / 4).to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
                "uid": "d", "controller": true}]},
        "spec": {"replicas": sizes[0], "template": template,
            "selector": {"matchLabels": {"app": "web"}}},
        "status": {"replicas": sizes[1], "readyReplicas": sizes[2],
            "availableReplicas": sizes[2], "terminatingReplicas": 0},
    })
}

fn decide(deployment: Value, sets: &Value, pods: &Value) -> Plan {
    let controller = Deployments {
        deployments: store(json!([deployment])),
        sets: store(sets.clone()),
        pods: store(pods.clone()),
    };
    plan(&controller, at(NOW), "a", "web")
}

/// The sizes that sets are given, by name, in order.
fn sizes(plan: &Plan) -> Vec<(String, i64)> {
    let size = |write: &crate::write::Write| match &write.action {
        Action::Patch { name, changes, .. } => {
            Some((name.to_string(), changes["spec"]["replicas"].as_i64()?))
        }
        Action::Create { object, .. } => {
            let size = object["spec"]["replicas"].as_i64()?;
            Some((object["metadata"]["name"].as_str()?.to_owned(), size))
        }
        Action::Delete { .. } => None,
    };
    plan.writes.iter().filter_map(size).collect()
}

fn status(plan: &Plan) -> Value {
    let mut statuses = plan.writes.iter().filter_map(|write| match &write.action {
        Action::Patch {
            changes,
            subresource: "status",
            ..
        } => Some(changes["status"].clone()),
        _ => None,
    });
    statuses.next().unwrap_or_default()
}

fn condition(plan: &Plan, kind: &str) -> Option<Value> {
    let status = status(plan);
    let mut all = status["conditions"].as_array()?.iter();
    all.find(|condition| condition["type"] == kind).cloned()
}

#[test]
fn the_first_set_gets_all() {
    let plan = decide(deployment(3, json!({})), &json!([]), &json!([]));
    let hash = hash(&unhashed(&Template::of(&template("new"))), None);
    let name = format!("web-{hash}");
    assert_eq!(sizes(&plan), [(name.clone(), 3)]);
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a creation");
    };
    assert_eq!(object["spec"]["selector"]["matchLabels"][HASH], hash);
    assert_eq!(object["spec"]["template"]["metadata"]["labels"][HASH], hash);
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
    assert_eq!(annotations["deployment.kubernetes.io/max-replicas"], "4");
    assert_eq!(annotations["note"], "kept");
    let message = format!("Scaled up replica set {name} from 0 to 3");
    assert_eq!(
        (plan.events[0].reason, &plan.events[0].message),
        ("ScalingReplicaSet", &message)
    );
    assert_eq!(
        condition(&plan, "Progressing").unwrap()["reason"],
        "NewReplicaSetCreated"
    );
    assert_eq!(condition(&plan, "Available").unwrap()["status"], "False");
}

#[test]
fn a_taken_name_changes_the_hash() {
    let hash = hash(&unhashed(&Template::of(&template("new"))), None);
    let mut other = set("other", 1, [0, 0, 0], 4);
    other["metadata"]["name"] = json!(format!("web-{hash}"));
    other["metadata"]["ownerReferences"] = json!([]);
    other["metadata"]["labels"] = json!({});
    let plan = decide(deployment(3, json!({})), &json!([other]), &json!([]));
    assert_eq!(sizes(&plan), []);
    assert_eq!(status(&plan)["collisionCount"], 1);
}

#[test]
fn rolls_within_the_fence() {
    let check = |sets: &Value, expected: &[(&str, i64)]| {
        let plan = decide(deployment(4, json!({})), sets, &json!([]));
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, size)| ((*name).to_owned(), *size))
            .collect();
        assert_eq!(sizes(&plan), expected, "{sets}");
    };
    // One more than wanted is allowed.
    check(
        &json!([set("old", 1, [4, 4, 4], 4), set("new", 2, [0, 0, 0], 4)]),
        &[("web-new", 1)],
    );
    // One may be missing, and the new one is not available yet.
    check(
        &json!([set("old", 1, [4, 4, 4], 4), set("new", 2, [1, 1, 0], 4)]),
        &[("web-old", 3)],
    );
    check(
        &json!([set("old", 1, [3, 3, 3], 4), set("new", 2, [1, 1, 0], 4)]),
        &[("web-new", 2)],
    );
    check(
        &json!([set("old", 1, [3, 3, 3], 4), set("new", 2, [2, 2, 0], 4)]),
        &[],
    );
    // Pods that are no use go first, from whatever old set.
    check(
        &json!([
            set("older", 1, [2, 2, 0], 4),
            set("old", 2, [3, 3, 3], 4),
            set("new", 3, [0, 0, 0], 4)
        ]),
        &[("web-older", 0)],
    );
    // The status is stale: the size alone keeps too many from going.
    check(
        &json!([set("old", 1, [3, 4, 4], 4), set("new", 2, [2, 2, 0], 4)]),
        &[],
    );
    check(&json!([set("new", 2, [4, 4, 4], 4)]), &[]);
}

#[test]
fn recreates_when_all_old_pods_are_gone() {
    let recreate = || {
        deployment(
            2,
            json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        )
    };
    let old = |size| json!([set("old", 1, [size, size, size], 2)]);
    assert_eq!(
        sizes(&decide(recreate(), &old(2), &json!([]))),
        [("web-old".to_owned(), 0)]
    );
    let pod = |phase: &str| {
        json!([{"metadata": {"name": "p", "namespace": "a", "uid": "p", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-old", "uid": "web-old",
                "controller": true}]}, "status": {"phase": phase}}])
    };
    assert_eq!(sizes(&decide(recreate(), &old(0), &pod("Running"))), []);
    let plan = decide(recreate(), &old(0), &pod("Succeeded"));
    assert_eq!(sizes(&plan).len(), 1);
    assert_eq!(sizes(&plan)[0].1, 2);
}

#[test]
fn a_new_size_is_shared_in_proportion() {
    let sets = json!([set("old", 1, [8, 8, 8], 10), set("new", 2, [5, 5, 2], 10)]);
    let plan = decide(deployment(20, json!({})), &sets, &json!([]));
    assert_eq!(
        sizes(&plan),
        [("web-old".to_owned(), 15), ("web-new".to_owned(), 10)]
    );
    let sets = json!([set("new", 2, [4, 4, 4], 4)]);
    let paused = deployment(7, json!({"spec": {"paused": true}}));
    let plan = decide(paused, &sets, &json!([]));
    assert_eq!(sizes(&plan), [("web-new".to_owned(), 7)]);
    assert_eq!(
        condition(&plan, "Progressing").unwrap()["reason"],
        "DeploymentPaused"
    );
}

#[test]
fn going_back_makes_the_old_set_the_newest_revision() {
    let sets = json!([set("new", 1, [0, 0, 0], 4), set("old", 2, [4, 4, 4], 4)]);
    let plan = decide(deployment(4, json!({})), &sets, &json!([]));
    let Action::Patch { name, changes, .. } = &plan.writes[0].action else {
        panic!("annotations");
    };
    assert_eq!(&**name, "web-new");
    let annotations = &changes["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(
        annotations["deployment.kubernetes.io/revision-history"],
        "1"
    );
    let Action::Patch { name, changes, .. } = &plan.writes[1].action else {
        panic!("annotations");
    };
    assert_eq!(&**name, "web");
    assert_eq!(
        changes["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
}

#[test]
fn what_is_done_is_told_and_old_revisions_go() {
    let sets = json!([
        set("a", 1, [0, 0, 0], 4),
        set("b", 2, [0, 0, 0], 4),
        set("new", 3, [4, 4, 4], 4)
    ]);
    let before = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}},
        "status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4,
            "readyReplicas": 4, "availableReplicas": 4}});
    let plan = decide(deployment(4, before), &sets, &json!([]));
    let deleted: Vec<_> = plan
        .writes
        .iter()
        .filter_map(|write| match &write.action {
            Action::Delete { name, .. } => Some(&**name),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, ["web-a"]);
    let progress = condition(&plan, "Progressing").unwrap();
    assert_eq!(progress["reason"], "NewReplicaSetAvailable");
    assert_eq!(
        progress["message"],
        "ReplicaSet \"web-new\" has successfully progressed."
    );
}

#[test]
fn no_progress_is_told_after_the_deadline() {
    let check = |ago: i64, reason: &str, again: Option<u64>| {
        let before = json!({
            "metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}},
            "status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4,
                "conditions": [{"type": "Progressing", "status": "True",
                    "reason": "ReplicaSetUpdated", "lastUpdateTime": at(NOW - ago)}]},
        });
        let sets = json!([set("new", 2, [4, 4, 0], 4)]);
        let plan = decide(deployment(4, before), &sets, &json!([]));
        assert_eq!(
            condition(&plan, "Progressing").unwrap()["reason"],
            reason,
            "{ago}"
        );
        assert_eq!(plan.requeue.map(|wait| wait.as_secs()), again, "{ago}");
    };
    check(100, "ReplicaSetUpdated", Some(501));
    check(700, "ProgressDeadlineExceeded", None);
}

#[test]
fn a_history_does_not_grow_without_end() {
    let mut object = set("new", 1, [0, 0, 0], 1);
    let long = "123456789,".repeat(250);
    object["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!(long);
    let known: ReplicaSet = serde_json::from_value(object).unwrap();
    let owner = serde_json::from_value(deployment(1, json!({}))).unwrap();
    let changes = super::annotations::of_revision(&owner, &known, 9);
    let text = changes["deployment.kubernetes.io/revision-history"]
        .as_str()
        .unwrap();
    assert!(text.len() <= 2000 && text.ends_with(",1"), "{text}");
}
