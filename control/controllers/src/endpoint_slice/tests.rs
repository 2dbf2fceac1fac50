//! Slices of Services, from objects to writes.

use serde_json::{Value, json};

use super::{MANAGED_BY, MANAGER, Slicer};
use crate::controller::Plan;
use crate::given;
use crate::write::Action;

/// A Service with a selector; the fields given replace others.
fn service(spec: Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "a", "uid": "s", "labels": {"team": "x"}},
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
            "selector": {"app": "web"},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "web"}],
        },
    });
    crate::write::merge(&mut service["spec"], spec);
    service
}

fn pod(name: &str, ip: &str, more: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [
            {"name": "c", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    });
    crate::write::merge(&mut pod, more);
    pod
}

fn planned(service: Value, pods: Value, slices: Value) -> Plan {
    let slicer = Slicer {
        services: given::store(json!([service])),
        pods: given::store(pods),
        nodes: given::store(json!([{"metadata": {"name": "n",
            "labels": {"topology.kubernetes.io/zone": "z"}}}])),
        slices: given::store(slices),
        namespaces: given::store(json!([])),
        limit: 100,
    };
    given::plan(&slicer, given::at(0), "a", "web")
}

fn created(plan: &Plan) -> Vec<&Value> {
    let made = plan.writes.iter().filter_map(|write| match &write.action {
        Action::Create { object, .. } => Some(object),
        _ => None,
    });
    made.collect()
}

#[test]
fn a_pod_becomes_an_endpoint() {
    let plan = planned(
        service(json!({})),
        json!([pod("p", "10.1.0.5", json!({}))]),
        json!([]),
    );
    assert_eq!(
        created(&plan),
        [&json!({
            "metadata": {
                "generateName": "web-",
                "namespace": "a",
                "labels": {
                    "team": "x",
                    "kubernetes.io/service-name": "web",
                    MANAGED_BY: MANAGER,
                },
                "ownerReferences": [{
                    "apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{
                "addresses": ["10.1.0.5"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "p"},
                "nodeName": "n",
                "zone": "z",
            }],
        })]
    );
}

#[test]
fn what_pods_are_shown_as() {
    let check = |spec: Value, more: Value, expected: Option<Value>| {
        let pods = json!([pod("p", "10.1.0.5", more)]);
        let plan = planned(service(spec), pods, json!([]));
        let made = created(&plan);
        let endpoints = made[0]["endpoints"].as_array().unwrap();
        let shown = endpoints
            .first()
            .map(|endpoint| endpoint["conditions"].clone());
        assert_eq!(shown, expected);
    };
    let state = |ready: bool, serving: bool, terminating: bool| {
        Some(json!({"ready": ready, "serving": serving, "terminating": terminating}))
    };
    let unready = json!({"status": {"conditions": []}});
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let all = json!({"publishNotReadyAddresses": true});
    check(json!({}), unready.clone(), state(false, false, false));
    check(json!({}), leaving.clone(), state(false, true, true));
    check(all.clone(), unready, state(true, false, false));
    check(all, leaving, state(true, true, true));
    check(json!({}), json!({"status": {"phase": "Failed"}}), None);
    check(
        json!({}),
        json!({"status": {"podIP": "", "podIPs": []}}),
        None,
    );
    check(
        json!({}),
        json!({"metadata": {"labels": {"app": "other"}}}),
        None,
    );
}

#[test]
fn pods_of_unknown_nodes_wait_unless_all_are_published() {
    let lost = pod("p", "10.1.0.5", json!({"spec": {"nodeName": "gone"}}));
    let plan = planned(service(json!({})), json!([lost]), json!([]));
    assert_eq!(created(&plan)[0]["endpoints"], json!([]));
    assert!(plan.requeue.is_some());
    let all = json!({"publishNotReadyAddresses": true});
    let plan = planned(service(all), json!([lost]), json!([]));
    assert_eq!(created(&plan)[0]["endpoints"][0]["nodeName"], "gone");
}

#[test]
fn each_family_has_slices_of_its_own() {
    let both = json!({"ipFamilies": ["IPv6", "IPv4"]});
    let two = json!({"status": {"podIPs": [{"ip": "10.1.0.5"}, {"ip": "fd00:0::5"}]}});
    let plan = planned(service(both), json!([pod("p", "10.1.0.5", two)]), json!([]));
    let seen: Vec<_> = created(&plan)
        .iter()
        .map(|slice| {
            (
                slice["addressType"].clone(),
                slice["endpoints"][0]["addresses"].clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (json!("IPv4"), json!(["10.1.0.5"])),
            (json!("IPv6"), json!(["fd00::5"])),
        ]
    );
}

#[test]
fn pods_with_another_port_go_into_another_slice() {
    let other = json!({"spec": {"containers": [
        {"name": "c", "ports": [{"name": "web", "containerPort": 9090, "protocol": "TCP"}]}]}});
    let pods = json!([pod("p", "10.1.0.5", json!({})), pod("q", "10.1.0.6", other)]);
    let plan = planned(service(json!({})), pods, json!([]));
    let ports: Vec<_> = created(&plan)
        .iter()
        .map(|slice| slice["ports"][0]["port"].clone())
        .collect();
    assert_eq!(ports, [json!(8080), json!(9090)]);
}

#[test]
fn nobody_writes_what_others_keep() {
    let external = planned(
        service(json!({"type": "ExternalName"})),
        json!([]),
        json!([]),
    );
    assert!(external.is_empty());
    let unselecting = planned(service(json!({"selector": null})), json!([]), json!([]));
    assert!(unselecting.is_empty());
}

#[test]
fn what_is_right_is_left_alone() {
    let pods = json!([pod("p", "10.1.0.5", json!({}))]);
    let plan = planned(service(json!({})), pods.clone(), json!([]));
    let mut slice = created(&plan)[0].clone();
    slice["metadata"]["name"] = json!("web-1");
    let again = planned(service(json!({})), pods.clone(), json!([slice]));
    assert!(again.is_empty(), "{again:?}");
    // A preference changes the hints alone.
    let near = service(json!({"trafficDistribution": "PreferClose"}));
    let plan = planned(near, pods.clone(), json!([slice]));
    let Action::Patch { changes, .. } = &plan.writes[0].action else {
        panic!("{plan:?}");
    };
    assert_eq!(
        changes["endpoints"][0]["hints"],
        json!({"forZones": [{"name": "z"}]})
    );
    assert_eq!(changes.as_object().unwrap().len(), 1);
    // A label of the Service comes and one goes.
    let mut relabelled = service(json!({}));
    relabelled["metadata"]["labels"] = json!({"tier": "y"});
    let plan = planned(relabelled, pods, json!([slice]));
    let Action::Patch { changes, .. } = &plan.writes[0].action else {
        panic!("{plan:?}");
    };
    let labels = &changes["metadata"]["labels"];
    assert_eq!(
        (&labels["tier"], &labels["team"]),
        (&json!("y"), &Value::Null)
    );
}

#[test]
fn slices_of_an_earlier_service_of_this_name_go() {
    let pods = json!([pod("p", "10.1.0.5", json!({}))]);
    let plan = planned(service(json!({})), pods.clone(), json!([]));
    let mut slice = created(&plan)[0].clone();
    slice["metadata"]["name"] = json!("web-1");
    slice["metadata"]["ownerReferences"][0]["uid"] = json!("older");
    let plan = planned(service(json!({})), pods, json!([slice]));
    assert!(matches!(&plan.writes[0].action, Action::Delete { name, .. } if &**name == "web-1"));
    assert_eq!(created(&plan).len(), 1);
}

#[test]
fn headless_services_need_no_ports() {
    let headless = json!({"clusterIP": "None", "ports": null});
    let named = json!({"spec": {"hostname": "first", "subdomain": "web"}});
    let plan = planned(
        service(headless),
        json!([pod("p", "10.1.0.5", named)]),
        json!([]),
    );
    let slice = created(&plan)[0];
    assert_eq!(slice["ports"], json!([]));
    assert_eq!(slice["endpoints"][0]["hostname"], "first");
    assert_eq!(slice["metadata"]["labels"][super::HEADLESS], "");
}
