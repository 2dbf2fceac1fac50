//! Defaults of the core group: services, volumes, nodes, limits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::fill::Default::{AbsentText, Bool, List, Number, Object, Text};
use super::fill::{Rule, apply_rules, at, enter, items, pod_spec, text};

/// Fills in a pod.
pub fn pod(pod: &mut Value) {
    pod_spec(pod.as_object_mut());
    apply_rules(pod, &[("status.phase", Text("Pending"))]);
}

/// Fills in the template of a pod template.
pub fn pod_template(object: &mut Value) {
    pod_spec(at(object, &["template"]));
}

/// Fills in a replication controller: labels and selector default to those of its pods.
pub fn replication_controller(object: &mut Value) {
    apply_rules(
        object,
        &[
            ("spec.replicas", Number(1)),
            ("spec.minReadySeconds", Number(0)),
        ],
    );
    pod_spec(at(object, &["spec", "template"]));
    let labels = object.pointer("/spec/template/metadata/labels").cloned();
    let Some(labels @ Value::Object(_)) = labels else {
        return;
    };
    if let Some(spec) = at(object, &["spec"]) {
        let selector = enter(spec, "selector");
        if selector.as_object().is_some_and(Map::is_empty) {
            *selector = labels.clone();
        }
    }
    if let Some(metadata) = at(object, &["metadata"]) {
        metadata.entry("labels").or_insert(labels);
    }
}

const SERVICE: &[Rule] = &[
    ("spec.sessionAffinity", Text("None")),
    ("spec.type", Text("ClusterIP")),
    ("spec.ports[].protocol", Text("TCP")),
    ("status.loadBalancer", Object),
];

/// Fills in a service; addresses and node ports are for the allocator.
pub fn service(service: &mut Value) {
    apply_rules(service, SERVICE);
    for port in items(service, &["spec", "ports"]) {
        let number = port.get("port").cloned();
        let Some(fields) = port.as_object_mut() else {
            continue;
        };
        let target = fields.get("targetPort").unwrap_or(&Value::Null);
        if target.is_null() || *target == json!(0) || *target == json!("") {
            fields.extend(number.map(|number| ("targetPort".to_owned(), number)));
        }
    }
    match text(service, "/spec/sessionAffinity") {
        "ClientIP" => {
            let rule = (
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                Number(10_800),
            );
            apply_rules(service, &[rule]);
        }
        _ => {
            at(service, &["spec"]).map(|spec| spec.remove("sessionAffinityConfig"));
        }
    }
    traffic(service);
}

/// How traffic is spread depends on where it may come from.
fn traffic(service: &mut Value) {
    let kind = text(service, "/spec/type").to_owned();
    let outside = service
        .pointer("/spec/externalIPs")
        .and_then(Value::as_array);
    let external = kind == "ClusterIP" && outside.is_some_and(|ips| !ips.is_empty());
    if external || kind == "NodePort" || kind == "LoadBalancer" {
        apply_rules(service, &[("spec.externalTrafficPolicy", Text("Cluster"))]);
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        apply_rules(
            service,
            &[("spec.internalTrafficPolicy", AbsentText("Cluster"))],
        );
    }
    if kind == "LoadBalancer" {
        apply_rules(
            service,
            &[("spec.allocateLoadBalancerNodePorts", Bool(true))],
        );
    }
}

/// Fills in a namespace: what must happen before it goes, and its name as a label.
pub fn namespace(namespace: &mut Value) {
    // One that leaves has none again when it was finalized.
    if namespace.pointer("/metadata/deletionTimestamp").is_none() {
        apply_rules(namespace, &[("spec.finalizers", List(&["kubernetes"]))]);
    }
    apply_rules(namespace, &[("status.phase", Text("Active"))]);
    let name = text(namespace, "/metadata/name").to_owned();
    if !name.is_empty()
        && let Some(metadata) = at(namespace, &["metadata"])
        && let Some(labels) = enter(metadata, "labels").as_object_mut()
    {
        labels.insert(
            "kubernetes.io/metadata.name".to_owned(),
            Value::String(name),
        );
    }
}

/// Fills in a node: everything it has can be allocated, unless it says otherwise.
pub fn node(node: &mut Value) {
    let Some(status) = at(node, &["status"]) else {
        return;
    };
    let Some(Value::Object(capacity)) = status.get("capacity").cloned() else {
        return;
    };
    let Some(allocatable) = enter(status, "allocatable").as_object_mut() else {
        return;
    };
    for (name, amount) in capacity {
        allocatable.entry(name).or_insert(amount);
    }
}

/// Fills in a secret; what it was given as plain text becomes data.
pub fn secret(secret: &mut Value) {
    if let Some(fields) = secret.as_object_mut()
        && let Some(Value::Object(plain)) = fields.remove("stringData")
        && let Some(data) = enter(fields, "data").as_object_mut()
    {
        for (key, value) in plain {
            let bytes = value.as_str().unwrap_or_default().as_bytes();
            data.insert(key, Value::String(BASE64.encode(bytes)));
        }
    }
    apply_rules(secret, &[("type", Text("Opaque"))]);
}

/// Fills in the ports of endpoints.
pub fn endpoints(endpoints: &mut Value) {
    for subset in items(endpoints, &["subsets"]) {
        apply_rules(subset, &[("ports[].protocol", Text("TCP"))]);
    }
}

const VOLUME: &[Rule] = &[
    ("status.phase", Text("Pending")),
    ("spec.persistentVolumeReclaimPolicy", Text("Retain")),
    ("spec.volumeMode", AbsentText("Filesystem")),
    ("spec.hostPath?.type", AbsentText("")),
    ("spec.iscsi?.iscsiInterface", Text("default")),
    ("spec.rbd?.pool", Text("rbd")),
    ("spec.rbd?.user", Text("admin")),
    ("spec.rbd?.keyring", Text("/etc/ceph/keyring")),
    ("spec.azureDisk?.cachingMode", AbsentText("ReadWrite")),
    ("spec.azureDisk?.kind", AbsentText("Shared")),
    ("spec.azureDisk?.fsType", AbsentText("ext4")),
    ("spec.azureDisk?.readOnly", Bool(false)),
    ("spec.scaleIO?.storageMode", Text("ThinProvisioned")),
    ("spec.scaleIO?.fsType", Text("xfs")),
];

/// Fills in a persistent volume.
pub fn persistent_volume(volume: &mut Value) {
    apply_rules(volume, VOLUME);
}

/// Fills in a claim.
pub fn persistent_volume_claim(claim: &mut Value) {
    let rules = [
        ("status.phase", Text("Pending")),
        ("spec.volumeMode", AbsentText("Filesystem")),
    ];
    apply_rules(claim, &rules);
}

/// Fills in a limit range: what a container may have at most is what it gets, and what it gets
/// is what it asks for.
pub fn limit_range(range: &mut Value) {
    for limit in items(range, &["spec", "limits"]) {
        if text(limit, "/type") != "Container" {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            copy_missing(limit, from, to);
        }
    }
}

fn copy_missing(limit: &mut Value, from: &str, to: &str) {
    let Some(Value::Object(amounts)) = limit.get(from).cloned() else {
        return;
    };
    let Some(fields) = limit.as_object_mut() else {
        return;
    };
    let Some(target) = enter(fields, to).as_object_mut() else {
        return;
    };
    for (name, amount) in amounts {
        target.entry(name).or_insert(amount);
    }
}
