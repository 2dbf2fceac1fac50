//! What is counted, what is refused, and what quotas say afterwards.

use serde_json::json;

use super::*;
use crate::admit::tests::{World, request};
use crate::auth::User;

fn quota(hard: Value, used: Value, spec: Value) -> Value {
    json!({"metadata": {"name": "q", "namespace": "ns"}, "spec": spec, "status": {"hard": hard, "used": used}})
}

fn ask(quota: Value, what: &str, old: &Value, object: &Value) -> Result<Vec<Value>, String> {
    let (operation, resource) = match old.is_null() {
        true => (Operation::Create, what),
        false => (Operation::Update, what),
    };
    let (group, resource) = resource.split_once(' ').unwrap_or(("", resource));
    let world = World::default().with("", "resourcequotas", quota);
    let user = User::known("jane", []);
    let request = request(operation, group, resource, &user, old);
    let found = plan(&request, object, &world);
    found.map_err(|failure| {
        failure
            .message()
            .split_once(" is forbidden: ")
            .unwrap()
            .1
            .to_owned()
    })
}

/// `used` afterwards; null where nothing is to be written.
fn check(hard: Value, used: Value, what: &str, object: Value, expected: Result<Value, &str>) {
    let found = ask(quota(hard, used, json!({})), what, &Value::Null, &object);
    let found = found.map(|quotas| {
        quotas
            .first()
            .map_or(Value::Null, |quota| quota["status"]["used"].clone())
    });
    assert_eq!(found, expected.map_err(str::to_owned), "{what} {object}");
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
}

#[test]
fn pods_are_counted_and_summed() {
    let object = pod(
        json!({"cpu": "500m", "memory": "1Gi", "example.com/gpu": "2"}),
        json!({"cpu": "1"}),
    );
    check(
        json!({"pods": "2", "requests.cpu": "1", "limits.cpu": "2", "memory": "2Gi", "requests.example.com/gpu": "2", "count/pods": "9"}),
        json!({"pods": "1", "requests.cpu": "500m", "limits.cpu": "0", "memory": "1Gi", "requests.example.com/gpu": "0", "count/pods": "1"}),
        "pods",
        object.clone(),
        Ok(
            json!({"pods": "2", "requests.cpu": "1", "limits.cpu": "1", "memory": "2Gi", "requests.example.com/gpu": "2", "count/pods": "2"}),
        ),
    );
    check(
        json!({"pods": "1", "requests.cpu": "600m"}),
        json!({"pods": "1", "requests.cpu": "200m"}),
        "pods",
        object.clone(),
        Err(
            "exceeded quota: q, requested: pods=1,requests.cpu=500m, used: pods=1,requests.cpu=200m, limited: pods=1,requests.cpu=600m",
        ),
    );
    check(
        json!({"services": "1"}),
        json!({"services": "1"}),
        "pods",
        object.clone(),
        Ok(Value::Null),
    );
    check(
        json!({"pods": "1"}),
        json!({}),
        "pods",
        object,
        Err("status unknown for quota: q, resources: pods"),
    );
}

#[test]
fn containers_say_what_is_counted() {
    check(
        json!({"limits.cpu": "1", "requests.memory": "1Gi"}),
        json!({"limits.cpu": "0", "requests.memory": "0"}),
        "pods",
        pod(json!({}), json!({})),
        Err("failed quota: q: must specify limits.cpu for: c; requests.memory for: c"),
    );
    let mut whole = pod(json!({}), json!({}));
    whole["spec"]["resources"] = json!({"limits": {"cpu": "1"}});
    check(
        json!({"limits.cpu": "1"}),
        json!({"limits.cpu": "0"}),
        "pods",
        whole,
        Ok(json!({"limits.cpu": "1"})),
    );
}

#[test]
fn other_kinds_are_counted() {
    let plain = json!({});
    check(
        json!({"configmaps": "1"}),
        json!({"configmaps": "0"}),
        "configmaps",
        plain.clone(),
        Ok(json!({"configmaps": "1"})),
    );
    check(
        json!({"count/deployments.apps": "1"}),
        json!({"count/deployments.apps": "1"}),
        "apps deployments",
        plain,
        Err(
            "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1",
        ),
    );
    check(
        json!({"services.nodeports": "3", "services.loadbalancers": "1"}),
        json!({"services.nodeports": "0", "services.loadbalancers": "0"}),
        "services",
        json!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}}),
        Ok(json!({"services.nodeports": "2", "services.loadbalancers": "1"})),
    );
    check(
        json!({"requests.storage": "3Gi", "fast.storageclass.storage.k8s.io/requests.storage": "3Gi"}),
        json!({"requests.storage": "1Gi", "fast.storageclass.storage.k8s.io/requests.storage": "0"}),
        "persistentvolumeclaims",
        json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}),
        Ok(
            json!({"requests.storage": "3Gi", "fast.storageclass.storage.k8s.io/requests.storage": "2Gi"}),
        ),
    );
    check(
        json!({"gpu.deviceclass.resource.k8s.io/devices": "4"}),
        json!({"gpu.deviceclass.resource.k8s.io/devices": "1"}),
        "resource.k8s.io resourceclaims",
        json!({"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "gpu", "count": 2}},
            {"firstAvailable": [{"deviceClassName": "gpu"}, {"deviceClassName": "other"}]}]}}}),
        Ok(json!({"gpu.deviceclass.resource.k8s.io/devices": "4"})),
    );
}

#[test]
fn updates_are_charged_for_what_is_more() {
    let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    let ask = |old: &str, new: &str| {
        let quota = quota(
            json!({"requests.storage": "3Gi"}),
            json!({"requests.storage": "2Gi"}),
            json!({}),
        );
        ask(quota, "persistentvolumeclaims", &claim(old), &claim(new))
    };
    assert_eq!(
        ask("2Gi", "3Gi").unwrap()[0]["status"]["used"]["requests.storage"],
        "3Gi"
    );
    assert_eq!(ask("2Gi", "2Gi"), Ok(vec![]));
    assert_eq!(ask("2Gi", "1Gi"), Ok(vec![]));
    assert!(ask("2Gi", "4Gi").is_err());
}

fn check_scope(spec: Value, object: &Value, expected: bool) {
    let full = quota(json!({"pods": "0"}), json!({"pods": "0"}), spec.clone());
    assert_eq!(
        ask(full, "pods", &Value::Null, object).is_err(),
        expected,
        "{spec} {object}"
    );
}

#[test]
fn scopes_choose_pods() {
    let plain = pod(json!({}), json!({}));
    let mut busy = pod(json!({"cpu": "1"}), json!({}));
    busy["spec"]["activeDeadlineSeconds"] = json!(5);
    busy["spec"]["priorityClassName"] = json!("high");
    busy["spec"]["affinity"] = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["x"]}]}});
    for (scope, of_plain) in [
        ("Terminating", false),
        ("NotTerminating", true),
        ("BestEffort", true),
        ("NotBestEffort", false),
        ("CrossNamespacePodAffinity", false),
    ] {
        check_scope(json!({"scopes": [scope]}), &plain, of_plain);
        check_scope(json!({"scopes": [scope]}), &busy, !of_plain);
    }
    let class = |operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
    check_scope(class("In", json!(["high"])), &busy, true);
    check_scope(class("In", json!(["high"])), &plain, false);
    check_scope(class("NotIn", json!(["high"])), &plain, true);
    check_scope(class("DoesNotExist", json!([])), &plain, true);
    check_scope(class("Exists", json!([])), &busy, true);
}
