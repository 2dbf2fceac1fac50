//! StatefulSets, decided on tables of objects.

use serde_json::{Value, json};

use super::{HASH, StatefulSets};
use crate::controller::Plan;
use crate::given::{at, plan, store};
use crate::kinds::Template;
use crate::kinds::template::hash;
use crate::revisions::{LABEL, data};
use crate::write::{Action, merge};

const NOW: i64 = 1_800_000_000;

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "s"}},
        "spec": {"containers": [{"name": "c", "image": image}]}})
}

/// The name of the revision of an image's template.
fn of(image: &str) -> String {
    format!("s-{}", hash(&data(&Template::of(&template(image))), None))
}

fn revision(image: &str, number: i64) -> Value {
    let name = of(image);
    json!({"metadata": {"name": name, "namespace": "a", "uid": name,
        "labels": {"app": "s", HASH: &name[2..]}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "StatefulSet", "name": "s", "uid": "s", "controller": true}]},
        "data": data(&Template::of(&template(image))).value(), "revision": number})
}

fn set(replicas: i32, spec: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "s", "namespace": "a", "uid": "s", "generation": 1},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "s"}},
            "serviceName": "svc", "podManagementPolicy": "OrderedReady",
            "template": template("new"),
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        "status": {"currentRevision": of("old"), "updateRevision": of("new")},
    });
    merge(&mut object["spec"], spec.clone());
    object
}

fn pod(ordinal: i32, image: &str, more: &Value) -> Value {
    let name = format!("s-{ordinal}");
    let mut object = json!({"metadata": {"name": name, "namespace": "a", "uid": name,
        "labels": {"app": "s", LABEL: of(image), "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": ordinal.to_string()},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s",
            "uid": "s", "controller": true}]},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at(NOW - 50)}]}});
    merge(&mut object, more.clone());
    object
}

fn decide(set: Value, pods: &Value, claims: &Value) -> Plan {
    let controller = StatefulSets {
        sets: store(json!([set])),
        pods: store(pods.clone()),
        claims: store(claims.clone()),
        revisions: store(json!([revision("old", 1), revision("new", 2)])),
    };
    plan(&controller, at(NOW), "a", "s")
}

fn words(plan: &Plan) -> Vec<String> {
    let word = |write: &crate::write::Write| match &write.action {
        Action::Create { object, .. } => {
            let name = object["metadata"]["name"].as_str()?;
            let image = object["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap_or("-");
            Some(format!("create {name} {image}"))
        }
        Action::Delete { name, .. } => Some(format!("delete {name}")),
        Action::Patch {
            subresource: "status",
            ..
        } => None,
        Action::Patch { name, changes, .. } => Some(format!("patch {name} {changes}")),
    };
    plan.writes.iter().filter_map(word).collect()
}

fn check(set: Value, pods: &Value, expected: &[&str]) {
    assert_eq!(words(&decide(set, pods, &json!([]))), expected, "{pods}");
}

const NONE: Value = Value::Null;

fn nothing() -> Value {
    json!({})
}

fn unready() -> Value {
    json!({"status": {"conditions": []}})
}

fn leaving() -> Value {
    json!({"metadata": {"deletionTimestamp": at(NOW)}})
}

#[test]
fn pods_come_in_order() {
    let fine = || pod(0, "new", &nothing());
    check(set(3, &nothing()), &json!([]), &["create s-0 new"]);
    check(set(3, &nothing()), &json!([fine()]), &["create s-1 new"]);
    check(set(3, &nothing()), &json!([pod(0, "new", &unready())]), &[]);
    check(set(3, &nothing()), &json!([pod(0, "new", &leaving())]), &[]);
    let parallel = json!({"podManagementPolicy": "Parallel"});
    check(
        set(3, &parallel),
        &json!([pod(1, "new", &unready())]),
        &["create s-0 new", "create s-2 new"],
    );
    let later = json!({"ordinals": {"start": 5}});
    check(set(1, &later), &json!([]), &["create s-5 new"]);
    let failed = json!({"status": {"phase": "Failed"}});
    check(
        set(1, &nothing()),
        &json!([pod(0, "new", &failed)]),
        &["delete s-0"],
    );
    let slow = json!({"minReadySeconds": 60});
    let plan = decide(set(2, &slow), &json!([fine()]), &json!([]));
    assert_eq!(
        (words(&plan), plan.requeue.unwrap().as_secs()),
        (vec![], 10)
    );
}

#[test]
fn what_is_too_much_goes_from_the_end() {
    let three = || {
        json!([
            pod(0, "new", &nothing()),
            pod(1, "new", &nothing()),
            pod(2, "new", &nothing())
        ])
    };
    check(set(1, &nothing()), &three(), &["delete s-2"]);
    let last = json!([
        pod(0, "new", &nothing()),
        pod(1, "new", &nothing()),
        pod(2, "new", &leaving())
    ]);
    check(set(1, &nothing()), &last, &[]);
    check(
        set(1, &json!({"podManagementPolicy": "Parallel"})),
        &three(),
        &["delete s-2", "delete s-1"],
    );
    // A pod that is not well is no reason to remove another one.
    let ill = json!([
        pod(0, "new", &nothing()),
        pod(1, "new", &unready()),
        pod(2, "new", &unready())
    ]);
    check(set(1, &nothing()), &ill, &[]);
}

#[test]
fn updates_go_from_the_end() {
    let pods = |images: [&str; 3]| {
        let at = |at: usize| pod(i32::try_from(at).unwrap(), images[at], &nothing());
        json!([at(0), at(1), at(2)])
    };
    let rolling = |update: Value| json!({"updateStrategy": {"rollingUpdate": update}});
    check(
        set(3, &nothing()),
        &pods(["old", "old", "old"]),
        &["delete s-2"],
    );
    check(
        set(3, &nothing()),
        &pods(["old", "old", "new"]),
        &["delete s-1"],
    );
    check(
        set(3, &rolling(json!({"partition": 2}))),
        &pods(["old", "old", "new"]),
        &[],
    );
    check(
        set(3, &rolling(json!({"maxUnavailable": 2}))),
        &pods(["old", "old", "old"]),
        &["delete s-2", "delete s-1"],
    );
    check(
        set(3, &json!({"updateStrategy": {"type": "OnDelete"}})),
        &pods(["old", "old", "old"]),
        &[],
    );
    // Below the partition a pod comes back as it was.
    let lost = json!([pod(0, "old", &nothing())]);
    check(
        set(3, &rolling(json!({"partition": 2}))),
        &lost,
        &["create s-1 old"],
    );
    let lost = json!([pod(0, "old", &nothing()), pod(1, "old", &nothing())]);
    check(
        set(3, &rolling(json!({"partition": 2}))),
        &lost,
        &["create s-2 new"],
    );
    // One of the old template that is not well is replaced, and costs nothing.
    let ill = json!([pod(0, "old", &nothing()), pod(1, "old", &unready())]);
    check(
        set(2, &json!({"podManagementPolicy": "Parallel"})),
        &ill,
        &["delete s-1"],
    );
}

#[test]
fn the_status_names_both_revisions() {
    let plan = decide(
        set(2, &nothing()),
        &json!([pod(0, "old", &nothing()), pod(1, "new", &unready())]),
        &json!([]),
    );
    let status = |plan: &Plan| match &plan.writes.last().unwrap().action {
        Action::Patch {
            changes,
            subresource: "status",
            ..
        } => changes["status"].clone(),
        other => panic!("{other:?}"),
    };
    let told = status(&plan);
    assert_eq!(
        (&told["currentRevision"], &told["updateRevision"]),
        (&json!(of("old")), &json!(of("new")))
    );
    let numbers = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ];
    assert_eq!(
        numbers.map(|name| told[name].as_i64().unwrap()),
        [2, 1, 1, 1, 1]
    );
    let done = decide(
        set(2, &nothing()),
        &json!([pod(0, "new", &nothing()), pod(1, "new", &nothing())]),
        &json!([]),
    );
    let told = status(&done);
    assert_eq!(
        (&told["currentRevision"], &told["currentReplicas"]),
        (&json!(of("new")), &json!(2))
    );
}

#[test]
fn claims_are_made_before_and_kept_after() {
    let spec = |policy: Value| {
        json!({"volumeClaimTemplates": [{"metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"]}}],
            "persistentVolumeClaimRetentionPolicy": policy})
    };
    let claim = |ordinal: i32, more: Value| {
        let mut object = json!({"metadata": {"name": format!("data-s-{ordinal}"), "namespace": "a",
            "uid": format!("claim-{ordinal}")}});
        merge(&mut object, more);
        object
    };
    let plan = decide(set(1, &spec(NONE)), &json!([]), &json!([]));
    assert_eq!(words(&plan), ["create data-s-0 -", "create s-0 new"]);
    let Action::Create { object, .. } = &plan.writes[1].action else {
        panic!("a pod");
    };
    assert_eq!(
        object["spec"]["volumes"],
        json!([{"name": "data",
        "persistentVolumeClaim": {"claimName": "data-s-0"}}])
    );
    assert_eq!(
        (&object["spec"]["hostname"], &object["spec"]["subdomain"]),
        (&json!("s-0"), &json!("svc"))
    );
    // One that is about to be gone is waited for.
    let plan = decide(
        set(1, &spec(NONE)),
        &json!([]),
        &json!([claim(0, leaving())]),
    );
    assert_eq!(words(&plan), [""; 0]);
    // Claims are tied to whom they go with.
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let pods = json!([pod(0, "new", &nothing()), pod(1, "new", &nothing())]);
    let plan = decide(
        set(1, &spec(policy)),
        &pods,
        &json!([claim(0, nothing()), claim(1, nothing())]),
    );
    let words = words(&plan);
    assert!(
        words[0].starts_with("patch data-s-0") && words[0].contains("\"kind\":\"StatefulSet\"")
    );
    assert!(words[1].starts_with("patch data-s-1") && words[1].contains("\"kind\":\"Pod\""));
    assert_eq!(words[2], "delete s-1");
}
