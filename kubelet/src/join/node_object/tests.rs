//! What the Node object says of a machine, and what of it is sent.

use k8s_openapi::api::core::v1::{NodeStatus, NodeSystemInfo};
use keelson_cri::values::{Image, RuntimeCondition, RuntimeStatus};
use serde_json::{Value, json};

use super::{Found, Setting, adoption, registration, status, status_patch, transitions};
use crate::join::node_object::Amounts;
use keelson_api::quantity::Quantity;

fn setting() -> Setting {
    Setting {
        name: "n".into(),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        port: 10250,
        labels: [("kubernetes.io/os", "linux"), ("zone", "z")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        taints: Vec::new(),
        provider_id: String::new(),
        allocatable: Amounts::from([
            ("cpu".to_owned(), Quantity::from_milli(1500)),
            ("pods".to_owned(), Quantity::from_units(110)),
        ]),
        memory: 4 << 30,
        storage_path: "/".into(),
        most_pods: 110,
    }
}

fn runtime(network: bool) -> RuntimeStatus {
    let condition = |kind: &str, status: bool| RuntimeCondition {
        kind: kind.to_owned(),
        status,
        reason: "NetworkPluginNotReady".into(),
        message: "cni config uninitialized".into(),
    };
    RuntimeStatus {
        conditions: vec![
            condition("RuntimeReady", true),
            condition("NetworkReady", network),
        ],
        ..RuntimeStatus::default()
    }
}

fn found(runtime: Result<RuntimeStatus, String>) -> Found {
    Found {
        milli_cpu: 2000,
        storage: 10 << 30,
        huge_pages: vec![(2 << 20, 8), (1 << 30, 0)],
        system: NodeSystemInfo::default(),
        runtime,
        images: Vec::new(),
        pressure: [crate::evict::Condition::DiskPressure].into(),
        certificate: None,
    }
}

fn at(second: u32) -> jiff::Timestamp {
    format!("2026-01-01T00:00:{second:02}Z").parse().unwrap()
}

fn condition(status: &NodeStatus, kind: &str) -> Value {
    let conditions = status.conditions.iter().flatten();
    let mut found = conditions.filter(|condition| condition.type_ == kind);
    serde_json::to_value(found.next().unwrap()).unwrap()
}

#[test]
fn a_machine_as_the_api_sees_it() {
    let status = status(&setting(), &found(Ok(runtime(true))), None, 50, at(0));
    let said = serde_json::to_value(&status).unwrap();
    assert_eq!(
        said["capacity"],
        json!({"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "10Gi",
            "hugepages-2Mi": "16Mi", "hugepages-1Gi": "0"})
    );
    assert_eq!(said["allocatable"]["cpu"], "1500m");
    assert_eq!(said["allocatable"]["memory"], "4Gi");
    assert_eq!(
        said["addresses"],
        json!([{"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "Hostname", "address": "n"}])
    );
    assert_eq!(said["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    let node = registration(&setting(), status);
    let labels = node.metadata.labels.unwrap();
    assert_eq!(labels["beta.kubernetes.io/os"], "linux");
    assert_eq!(labels["zone"], "z");
}

#[test]
fn ready_says_why_not_and_since_when() {
    let first = status(&setting(), &found(Ok(runtime(false))), None, 50, at(0));
    let ready = condition(&first, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("KubeletNotReady"))
    );
    assert_eq!(
        ready["message"],
        "[container runtime network not ready: NetworkReady=false \
         reason:NetworkPluginNotReady message:cni config uninitialized]"
    );
    let down = found(Err("no such socket".into()));
    let second = status(&setting(), &down, Some(&first), 50, at(5));
    let ready = condition(&second, "Ready");
    assert_eq!(
        ready["lastTransitionTime"], "2026-01-01T00:00:00Z",
        "not ready since then"
    );
    assert_eq!(ready["lastHeartbeatTime"], "2026-01-01T00:00:05Z");
    let third = status(
        &setting(),
        &found(Ok(runtime(true))),
        Some(&second),
        50,
        at(9),
    );
    let ready = condition(&third, "Ready");
    assert_eq!(ready["status"], "True");
    assert_eq!(ready["lastTransitionTime"], "2026-01-01T00:00:09Z");
}

#[test]
fn an_old_certificate_is_told_of_until_it_is_renewed() {
    let mut found = found(Ok(runtime(true)));
    let state = |status: &NodeStatus| {
        let mut all = status.conditions.iter().flatten();
        let condition = all.find(|known| known.type_ == "ClientCertificateExpiring");
        condition.map(|condition| condition.status.clone())
    };
    let told =
        |found: &Found, before: Option<&NodeStatus>| status(&setting(), found, before, 50, at(0));
    let good = told(&found, None);
    assert_eq!(state(&good), None);
    found.certificate = Some("the client certificate expires soon".into());
    let old = told(&found, Some(&good));
    assert_eq!(state(&old).as_deref(), Some("True"));
    found.certificate = None;
    let renewed = told(&found, Some(&old));
    assert_eq!(state(&renewed).as_deref(), Some("False"));
}

#[test]
fn events_tell_what_changed() {
    let status = |ready: &str, memory: &str| -> NodeStatus {
        serde_json::from_value(json!({"conditions": [{"type": "Ready", "status": ready},
            {"type": "MemoryPressure", "status": memory}]}))
        .unwrap()
    };
    let check = |before: &NodeStatus, now: &NodeStatus, expected: &[&str]| {
        assert_eq!(transitions(before, now), expected);
    };
    let (good, bad) = (status("True", "False"), status("False", "True"));
    let new = NodeStatus::default();
    check(&new, &good, &["NodeReady", "NodeHasSufficientMemory"]);
    check(&good, &good, &[]);
    check(&good, &bad, &["NodeNotReady", "NodeHasInsufficientMemory"]);
}

#[test]
fn pressure_is_told() {
    let status = status(&setting(), &found(Ok(runtime(true))), None, 50, at(0));
    let told = |kind: &str| {
        let condition = condition(&status, kind);
        format!(
            "{} {}",
            condition["status"].as_str().unwrap(),
            condition["reason"].as_str().unwrap()
        )
    };
    assert_eq!(told("DiskPressure"), "True KubeletHasDiskPressure");
    assert_eq!(told("MemoryPressure"), "False KubeletHasSufficientMemory");
    assert_eq!(told("PIDPressure"), "False KubeletHasSufficientPID");
}

#[test]
fn only_what_changed_is_sent() {
    let before = status(&setting(), &found(Ok(runtime(true))), None, 50, at(0));
    let later = status(
        &setting(),
        &found(Ok(runtime(true))),
        Some(&before),
        50,
        at(10),
    );
    assert_eq!(status_patch(&before, &later, false), None);
    let due = status_patch(&before, &later, true).unwrap();
    let fields: Vec<_> = due["status"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["conditions"]);
    let moved = Setting {
        addresses: vec!["10.0.0.2".parse().unwrap()],
        ..setting()
    };
    let moved = status(&moved, &found(Ok(runtime(true))), Some(&before), 50, at(10));
    let patch = status_patch(&before, &moved, false).unwrap();
    assert_eq!(
        patch["status"],
        json!({"addresses": [{"$patch": "replace"},
            {"type": "InternalIP", "address": "10.0.0.2"},
            {"type": "Hostname", "address": "n"}]})
    );
}

#[test]
fn the_largest_images_are_told() {
    let image = |id: &str, size: u64| Image {
        id: id.to_owned(),
        repo_tags: vec![format!("{id}:1")],
        repo_digests: Vec::new(),
        size,
        uid: None,
        username: String::new(),
        pinned: false,
        runtime_handler: String::new(),
    };
    let found = Found {
        images: vec![image("a", 1), image("b", 3), image("c", 2)],
        ..found(Ok(runtime(true)))
    };
    let status = status(&setting(), &found, None, 2, at(0));
    let names: Vec<_> = status
        .images
        .unwrap()
        .into_iter()
        .flat_map(|i| i.names.unwrap())
        .collect();
    assert_eq!(names, ["b:1", "c:1"]);
}

#[test]
fn a_node_that_is_there_keeps_what_others_gave_it() {
    let mut known = registration(&setting(), NodeStatus::default());
    known
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("role".into(), "x".into());
    assert_eq!(adoption(&setting(), &known), None);
    known.metadata.labels.as_mut().unwrap().remove("zone");
    let patch = adoption(&setting(), &known).unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"zone": "z"}));
}
