//! What is mirrored, what isn't, and what becomes of mirrors.

use serde_json::{Value, json};

use super::Mirror;
use crate::controller::Plan;
use crate::given;
use crate::write::{Action, merge};

fn planned(service: Value, endpoints: Value, slices: Value, limit: usize) -> Plan {
    let mut base = json!({"metadata": {"name": "db", "namespace": "a", "uid": "e",
        "labels": {"team": "x"}, "annotations": {"note": "y",
            "endpoints.kubernetes.io/last-change-trigger-time": "then"}}});
    merge(&mut base, endpoints);
    let mirror = Mirror {
        endpoints: given::store(json!([base])),
        services: given::store(service),
        slices: given::store(slices),
        limit,
    };
    given::plan(&mirror, given::at(0), "a", "db")
}

fn service(spec: Value) -> Value {
    json!([{"metadata": {"name": "db", "namespace": "a"}, "spec": spec}])
}

fn subset(ready: &[&str], others: &[&str], port: u16) -> Value {
    let list = |ips: &[&str]| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>();
    json!({"addresses": list(ready), "notReadyAddresses": list(others),
        "ports": [{"name": "", "port": port, "protocol": "TCP"}]})
}

fn made(plan: &Plan) -> Vec<Value> {
    let made = plan.writes.iter().filter_map(|write| match &write.action {
        Action::Create { object, .. } => Some(object.clone()),
        _ => None,
    });
    made.collect()
}

/// Each write in a few words.
fn told(plan: &Plan) -> Vec<String> {
    let told = plan.writes.iter().map(|write| match &write.action {
        Action::Create { object, .. } => format!("create {}", object["addressType"]),
        Action::Patch { name, changes, .. } => {
            let fields: Vec<_> = changes.as_object().unwrap().keys().cloned().collect();
            format!("change {name}: {}", fields.join(" "))
        }
        Action::Delete { name, .. } => format!("delete {name}"),
    });
    told.collect()
}

#[test]
fn each_family_and_each_set_of_ports_has_a_slice() {
    let subsets = json!({"subsets": [
        subset(&["10.0.0.1", "fd00::1"], &["10.0.0.2"], 80),
        subset(&["10.0.0.3"], &[], 81),
    ]});
    let plan = planned(service(json!({})), subsets, json!([]), 1000);
    let slices = made(&plan);
    let summary: Vec<_> = slices
        .iter()
        .map(|slice| {
            let endpoints = slice["endpoints"].as_array().unwrap().iter();
            let endpoints: Vec<_> = endpoints
                .map(|e| {
                    format!(
                        "{} {}",
                        e["addresses"][0].as_str().unwrap(),
                        e["conditions"]["ready"]
                    )
                })
                .collect();
            (slice["ports"][0]["port"].clone(), endpoints)
        })
        .collect();
    let all = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        summary,
        [
            (json!(80), all(&["10.0.0.1 true", "10.0.0.2 false"])),
            (json!(81), all(&["10.0.0.3 true"])),
            (json!(80), all(&["fd00::1 true"])),
        ]
    );
    let meta = &slices[0]["metadata"];
    assert_eq!(
        meta["labels"],
        json!({"team": "x", "kubernetes.io/service-name": "db",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"})
    );
    assert_eq!(meta["annotations"], json!({"note": "y"}));
    assert_eq!(meta["ownerReferences"][0]["kind"], "Endpoints");
}

/// A slice as it is after it was made.
fn there(slice: &Value, name: &str) -> Value {
    let mut slice = slice.clone();
    merge(
        &mut slice,
        json!({"metadata": {"name": name, "generateName": null}}),
    );
    slice
}

#[test]
fn mirrors_follow_and_end() {
    let subsets = json!({"subsets": [subset(&["10.0.0.1"], &[], 80)]});
    let plan = planned(service(json!({})), subsets.clone(), json!([]), 1000);
    let slice = there(&made(&plan)[0], "db-1");
    let slices = json!([slice]);
    let check = |service: Value, endpoints: Value, expected: &[&str]| {
        let plan = planned(service, endpoints.clone(), slices.clone(), 1000);
        assert_eq!(told(&plan), expected, "{endpoints}");
    };
    let with = |more: Value| {
        let mut endpoints = subsets.clone();
        merge(&mut endpoints, more);
        endpoints
    };
    let plain = || service(json!({}));
    check(plain(), subsets.clone(), &[]);
    let more = json!({"subsets": [subset(&["10.0.0.1", "10.0.0.2"], &[], 80)]});
    check(plain(), more, &["change db-1: endpoints"]);
    let other = json!({"subsets": [subset(&["10.0.0.1"], &[], 81)]});
    check(plain(), other, &["change db-1: endpoints ports"]);
    check(plain(), json!({"subsets": []}), &["delete db-1"]);
    let sixth = json!({"subsets": [subset(&["fd00::1"], &[], 80)]});
    check(plain(), sixth, &["delete db-1", "create \"IPv6\""]);
    let labels = |labels: Value| with(json!({"metadata": {"labels": labels}}));
    check(
        plain(),
        labels(json!({"team": "z"})),
        &["change db-1: metadata"],
    );
    let skip = json!({"endpointslice.kubernetes.io/skip-mirror": "true"});
    check(plain(), labels(skip), &["delete db-1"]);
    let lock =
        json!({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "x"}}});
    check(plain(), with(lock), &["delete db-1"]);
    check(
        service(json!({"selector": {"a": "b"}})),
        subsets.clone(),
        &["delete db-1"],
    );
    check(json!([]), subsets.clone(), &["delete db-1"]);
}

#[test]
fn what_is_left_out_is_told() {
    let subsets =
        json!({"subsets": [subset(&["name", "10.0.0.1", "10.0.0.2"], &["10.0.0.3"], 80)]});
    let plan = planned(service(json!({})), subsets, json!([]), 2);
    assert_eq!(made(&plan)[0]["endpoints"].as_array().unwrap().len(), 2);
    let told: Vec<_> = plan.events.iter().map(|event| event.reason).collect();
    assert_eq!(told, ["InvalidIPAddress", "TooManyAddressesToMirror"]);
    assert!(plan.events[1].message.ends_with("1 addresses were skipped"));
}
