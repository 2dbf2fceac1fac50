//! ReplicaSets, decided on tables of objects.

use jiff::Timestamp;
use keelson_client::Object as _;
use keelson_client::cache::{Key, Store, Writer};
use serde_json::{Value, json};

use super::{Replicas, victims};
use crate::controller::{Failure, Input, Plan, Reconcile as _, Verb};
use crate::kinds::{Kind, Pod, ReplicaSet};
use crate::write::Action;

const NOW: i64 = 1_800_000_000;

struct World {
    controller: Replicas<ReplicaSet>,
    sets: Writer<ReplicaSet>,
    pods: Writer<Pod>,
}

impl World {
    fn new() -> Self {
        let (sets, set_writer) = Store::new(ReplicaSet::all_indexes());
        let (pods, pod_writer) = Store::new(Pod::all_indexes());
        Self {
            controller: Replicas { sets, pods },
            sets: set_writer,
            pods: pod_writer,
        }
    }

    fn set(&mut self, replicas: i32, more: Value) {
        let mut set = json!({
            "metadata": {"name": "web", "namespace": "a", "uid": "set", "generation": 3,
                "resourceVersion": "7"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web", "x": "y"}},
                    "spec": {"containers": [{"name": "c", "image": "i"}]}}},
        });
        crate::write::merge(&mut set, more);
        self.sets.apply(serde_json::from_value(set).unwrap());
    }

    fn pod(&mut self, name: &str, owner: Option<&str>, ready: Option<i64>, more: Value) {
        let owners = owner.map(|uid| {
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid,
                "controller": true}])
        });
        let mut conditions = json!([]);
        if let Some(since) = ready {
            let at = Timestamp::from_second(NOW - since).unwrap();
            conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
        }
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"},
                "ownerReferences": owners.unwrap_or(json!([]))},
            "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "conditions": conditions},
        });
        crate::write::merge(&mut pod, more);
        self.pods.apply(serde_json::from_value(pod).unwrap());
    }

    fn plan(&self, failure: Option<&Failure>) -> Plan {
        self.controller.reconcile(&Input {
            now: Timestamp::from_second(NOW).unwrap(),
            key: &Key::new("a", "web"),
            failure,
        })
    }
}

/// Words for what is written.
fn words(plan: &Plan) -> Vec<String> {
    let word = |write: &crate::write::Write| match &write.action {
        Action::Create { object, .. } => {
            format!(
                "create {}",
                object["metadata"]["generateName"].as_str().unwrap()
            )
        }
        Action::Patch {
            name,
            subresource,
            changes,
            ..
        } => format!("patch {name} {subresource}{changes}"),
        Action::Delete { name, .. } => format!("delete {name}"),
    };
    plan.writes.iter().map(word).collect()
}

fn settled(world: &mut World, replicas: i32, status: Value) {
    let mut all = json!({"replicas": 0, "fullyLabeledReplicas": 0, "readyReplicas": 0,
        "availableReplicas": 0, "terminatingReplicas": 0, "observedGeneration": 3});
    crate::write::merge(&mut all, status);
    world.set(replicas, json!({"status": all}));
}

#[test]
fn makes_what_is_missing() {
    let mut world = World::new();
    settled(&mut world, 2, json!({"replicas": 1}));
    world.pod("one", Some("set"), None, json!({}));
    world.pod(
        "ended",
        Some("set"),
        None,
        json!({"status": {"phase": "Failed"}}),
    );
    let plan = world.plan(None);
    assert_eq!(words(&plan), ["create web-"]);
    let Action::Create { object, .. } = &plan.writes[0].action else {
        panic!("a creation");
    };
    assert_eq!(
        object["metadata"]["labels"],
        json!({"app": "web", "x": "y"})
    );
    assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "set");
    assert_eq!(
        object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"],
        true
    );
    assert_eq!(object["spec"]["containers"][0]["image"], "i");
}

#[test]
fn counts_and_tells() {
    let mut world = World::new();
    settled(&mut world, 2, json!({}));
    world.pod(
        "one",
        Some("set"),
        Some(5),
        json!({"metadata": {"labels": {"x": "y"}}}),
    );
    world.pod("two", Some("set"), None, json!({}));
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    world.pod("three", Some("set"), None, leaving);
    let failure = Failure {
        verb: Verb::Create,
        resource: "pods".into(),
        message: "quota".into(),
    };
    let plan = world.plan(Some(&failure));
    let Action::Patch { changes, .. } = &plan.writes[0].action else {
        panic!("a status");
    };
    let status = &changes["status"];
    let counts = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
    ];
    assert_eq!(
        counts.map(|name| status[name].as_i64().unwrap()),
        [2, 1, 1, 1]
    );
    assert_eq!(status["terminatingReplicas"], 1);
    assert_eq!(status["conditions"][0]["type"], "ReplicaFailure");
    assert_eq!(status["conditions"][0]["reason"], "FailedCreate");
    assert_eq!(status["conditions"][0]["message"], "quota");
}

#[test]
fn a_pod_is_available_after_its_time() {
    let mut world = World::new();
    let status = json!({"replicas": 1, "readyReplicas": 1, "observedGeneration": 3,
        "terminatingReplicas": 0});
    world.set(
        1,
        json!({"spec": {"minReadySeconds": 30}, "status": status}),
    );
    world.pod("one", Some("set"), Some(10), json!({}));
    let plan = world.plan(None);
    assert_eq!(words(&plan), [""; 0]);
    assert_eq!(plan.requeue.unwrap().as_secs(), 20);
}

#[test]
fn adopts_and_lets_go() {
    let mut world = World::new();
    settled(&mut world, 2, json!({"replicas": 2}));
    world.pod("mine", Some("set"), None, json!({}));
    world.pod("free", None, None, json!({}));
    world.pod(
        "strange",
        None,
        None,
        json!({"metadata": {"labels": {"app": "b"}}}),
    );
    world.pod(
        "lost",
        Some("set"),
        None,
        json!({"metadata": {"labels": {"app": "b"}}}),
    );
    world.pod("other", Some("else"), None, json!({}));
    let plan = words(&world.plan(None));
    assert_eq!(plan.len(), 2, "{plan:?}");
    assert_eq!(
        plan[0],
        "patch lost {\"metadata\":{\"ownerReferences\":[]}}"
    );
    assert!(plan[1].starts_with("patch free ") && plan[1].contains("\"uid\":\"set\""));
}

#[test]
fn a_set_that_is_leaving_makes_nothing() {
    let mut world = World::new();
    let leaving = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    world.set(
        2,
        json!({"metadata": leaving, "status": {"observedGeneration": 3,
        "terminatingReplicas": 0}}),
    );
    world.pod("free", None, None, json!({}));
    assert_eq!(words(&world.plan(None)), [""; 0]);
}

#[test]
fn the_cheapest_goes_first() {
    let check = |a: Value, b: Value, why: &str| {
        let mut world = World::new();
        world.pod("a", None, Some(10), a);
        world.pod("b", None, Some(10), b);
        world.pod("c", None, Some(10), json!({"spec": {"nodeName": "m"}}));
        let mut pods = world.controller.pods.all();
        pods.sort_by_key(|pod| pod.name().to_owned());
        let relatives = pods.clone();
        pods.truncate(2);
        let now = Timestamp::from_second(NOW).unwrap();
        let chosen = victims::choose(pods, &relatives, 1, now);
        assert_eq!(chosen[0].name(), "b", "{why}");
    };
    let none = || json!({});
    check(none(), json!({"spec": {"nodeName": null}}), "not bound");
    check(
        none(),
        json!({"status": {"phase": "Pending"}}),
        "not running",
    );
    check(none(), json!({"status": {"conditions": []}}), "not ready");
    let cost = |cost: &str| {
        json!({"metadata": {"annotations": {
        "controller.kubernetes.io/pod-deletion-cost": cost}}})
    };
    check(cost("5"), none(), "cheaper");
    check(none(), cost("-5"), "cheaper still");
    check(
        json!({"spec": {"nodeName": "m"}}),
        json!({"spec": {"nodeName": "m"}, "metadata":
        {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}}),
        "cost before crowd",
    );
    let restarts = json!({"status": {"containerStatuses": [{"restartCount": 3}]}});
    check(none(), restarts, "restarted more");
    let since = |ago: i64| {
        let at = Timestamp::from_second(NOW - ago).unwrap();
        json!({"metadata": {"creationTimestamp": at}})
    };
    check(since(10_000), since(10), "younger");
}
