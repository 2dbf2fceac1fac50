//! What kubelets may write, and what not.

use serde_json::json;

use super::*;
use crate::admit::tests::{World, request};
use crate::auth::User;

fn world() -> World {
    let pod = |name: &str, node: &str| {
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"nodeName": node, "volumes": [
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"serviceAccountToken": {"audience": "vault"}}]}},
            {"csi": {"driver": "d"}}]}})
    };
    World::default()
        .with(
            "",
            "nodes",
            json!({"metadata": {"name": "n1", "uid": "u1"}}),
        )
        .with("", "pods", pod("x", "n1"))
        .with("", "pods", pod("y", "n2"))
        .with(
            "storage.k8s.io",
            "csidrivers",
            json!({"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "csi"}]}}),
        )
}

/// `OPERATION GROUP RESOURCE[/SUBRESOURCE] NAMESPACE/NAME`.
fn ask(what: &str, old: &Value, new: &Value) -> Result<(), String> {
    let user = User::known("system:node:n1", ["system:nodes".to_owned()]);
    let words: Vec<&str> = what.split(' ').collect();
    let operation = match words[0] {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        _ => Operation::Delete,
    };
    let group = if words[1] == "core" { "" } else { words[1] };
    let (namespace, name) = words[3].split_once('/').unwrap();
    let request = Request {
        namespace,
        name,
        ..request(operation, group, words[2], &user, old)
    };
    decide(&request, new, &world()).map_err(|failure| {
        let message = failure.message().to_owned();
        message
            .split_once(" is forbidden: ")
            .map_or(message.clone(), |(_, why)| why.to_owned())
    })
}

fn check(what: &str, old: &Value, new: &Value, expected: Result<(), &str>) {
    assert_eq!(
        ask(what, old, new),
        expected.map_err(str::to_owned),
        "{what}"
    );
}

fn mirror() -> Value {
    json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true}]},
        "spec": {"nodeName": "n1"}})
}

fn mirror_with(path: &str, value: Value) -> Value {
    let mut pod = mirror();
    let steps: Vec<&str> = path.split('/').collect();
    fields::put(&mut pod, &steps, value);
    pod
}

#[test]
fn nodes_mirror_what_they_run() {
    let create = |pod: &Value, expected| check("CREATE core pods ns/", &Value::Null, pod, expected);
    create(&mirror(), Ok(()));
    create(
        &json!({"spec": {"nodeName": "n1"}}),
        Err(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
    );
    create(
        &mirror_with("spec/nodeName", json!("n2")),
        Err("node \"n1\" can only create pods with spec.nodeName set to itself"),
    );
    create(
        &mirror_with("metadata/ownerReferences", json!([])),
        Err("node \"n1\" can only create pods with an owner reference set to itself"),
    );
    let mut other = mirror();
    other["metadata"]["ownerReferences"][0]["uid"] = json!("u2");
    create(&other, Err("node n1 UID mismatch: expected u2 got u1"));
    create(
        &mirror_with("spec/serviceAccountName", json!("a")),
        Err("node \"n1\" can not create pods that reference a service account"),
    );
    create(
        &mirror_with("spec/volumes", json!([{"configMap": {"name": "c"}}])),
        Err("node \"n1\" can not create pods that reference configmaps"),
    );
}

#[test]
fn nodes_write_the_status_of_their_pods() {
    let pod = |node: &str, label: &str| json!({"metadata": {"labels": {"a": label}}, "spec": {"nodeName": node}});
    check(
        "UPDATE core pods/status ns/x",
        &pod("n1", "b"),
        &pod("n1", "b"),
        Ok(()),
    );
    check(
        "UPDATE core pods/status ns/x",
        &pod("n2", "b"),
        &pod("n2", "b"),
        Err("node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
    );
    check(
        "UPDATE core pods/status ns/x",
        &pod("n1", "b"),
        &pod("n1", "c"),
        Err("node \"n1\" cannot update labels through pod status"),
    );
    check(
        "DELETE core pods ns/x",
        &pod("n1", ""),
        &Value::Null,
        Ok(()),
    );
    check(
        "DELETE core pods ns/x",
        &pod("n2", ""),
        &Value::Null,
        Err("node \"n1\" can only delete pods with spec.nodeName set to itself"),
    );
    check(
        "UPDATE core pods ns/x",
        &pod("n1", ""),
        &pod("n1", ""),
        Err("unexpected operation \"UPDATE\""),
    );
    check(
        "CREATE core pods/eviction ns/x",
        &Value::Null,
        &json!({}),
        Ok(()),
    );
    check(
        "CREATE core pods/eviction ns/y",
        &Value::Null,
        &json!({}),
        Err("node n1 can only evict pods with spec.nodeName set to itself"),
    );
}

#[test]
fn nodes_write_themselves() {
    let node = |labels: Value, taints: Value| json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints}});
    let plain = node(json!({}), json!([]));
    check(
        "CREATE core nodes /",
        &Value::Null,
        &node(json!({"kubernetes.io/os": "linux"}), json!([])),
        Ok(()),
    );
    check(
        "CREATE core nodes /",
        &Value::Null,
        &node(json!({"node-role.kubernetes.io/x": ""}), json!([])),
        Err("node \"n1\" is not allowed to set the following labels: node-role.kubernetes.io/x"),
    );
    check("UPDATE core nodes/status /n1", &plain, &plain, Ok(()));
    check(
        "UPDATE core nodes /n2",
        &plain,
        &plain,
        Err("node \"n1\" is not allowed to modify node \"n2\""),
    );
    check(
        "UPDATE core nodes /n1",
        &plain,
        &node(json!({}), json!([{"key": "a"}])),
        Err("node \"n1\" is not allowed to modify taints"),
    );
    check(
        "UPDATE core nodes /n1",
        &node(json!({"node-restriction.kubernetes.io/a": "b"}), json!([])),
        &plain,
        Err("is not allowed to modify labels: node-restriction.kubernetes.io/a"),
    );
}

#[test]
fn nodes_write_what_is_named_after_them() {
    let named = |name: &str| json!({"metadata": {"name": name}});
    check(
        "CREATE coordination.k8s.io leases kube-node-lease/",
        &Value::Null,
        &named("n1"),
        Ok(()),
    );
    check(
        "UPDATE coordination.k8s.io leases kube-node-lease/n2",
        &named("n2"),
        &named("n2"),
        Err("can only access node lease with the same name as the requesting node"),
    );
    check(
        "CREATE coordination.k8s.io leases ns/",
        &Value::Null,
        &named("n1"),
        Err("can only access leases in the \"kube-node-lease\" system namespace"),
    );
    check(
        "UPDATE storage.k8s.io csinodes /n2",
        &named("n2"),
        &named("n2"),
        Err("can only access CSINode with the same name as the requesting node"),
    );
    let slice = |node: &str| json!({"spec": {"nodeName": node}});
    check(
        "CREATE resource.k8s.io resourceslices /",
        &Value::Null,
        &slice("n1"),
        Ok(()),
    );
    check(
        "DELETE resource.k8s.io resourceslices /s",
        &slice("n2"),
        &Value::Null,
        Err("can only delete ResourceSlice with the same NodeName as the requesting node"),
    );
}

#[test]
fn nodes_change_the_status_of_claims() {
    let claim = |size: &str, phase: &str| json!({"metadata": {"resourceVersion": phase}, "spec": {"size": size}, "status": {"phase": phase}});
    check(
        "UPDATE core persistentvolumeclaims/status ns/c",
        &claim("1", "a"),
        &claim("1", "b"),
        Ok(()),
    );
    let refused = "node \"n1\" is not allowed to update fields other than status.quantity and status.conditions";
    check(
        "UPDATE core persistentvolumeclaims/status ns/c",
        &claim("1", "a"),
        &claim("2", "a"),
        Err(refused),
    );
}

#[test]
fn nodes_ask_for_tokens_of_their_pods() {
    let token = |name: &str, uid: &str, audiences: Value| json!({"spec": {"audiences": audiences, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}}});
    let create = |object: &Value, expected| {
        check(
            "CREATE core serviceaccounts/token ns/sa",
            &Value::Null,
            object,
            expected,
        )
    };
    create(&token("x", "x", json!([])), Ok(()));
    create(&token("x", "x", json!(["vault"])), Ok(()));
    create(&token("x", "x", json!(["csi"])), Ok(()));
    create(
        &token("x", "x", json!(["other"])),
        Err("audience \"other\" not found in pod spec volume"),
    );
    create(
        &token("x", "x", json!(["vault", "csi"])),
        Err("node may only request 0 or 1 audiences"),
    );
    create(
        &json!({"spec": {}}),
        Err("node requested token not bound to a pod"),
    );
    create(
        &token("x", "", json!([])),
        Err("node requested token with a pod binding without a uid"),
    );
    create(
        &token("y", "y", json!([])),
        Err("node requested token bound to a pod scheduled on a different node"),
    );
    create(&token("z", "z", json!([])), Err("pods \"z\" not found"));
}

#[test]
fn nodes_ask_for_certificates_of_their_own_name() {
    use base64::Engine as _;
    let made = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(pem);
        json!({"spec": {"signerName": "kubernetes.io/kubelet-serving", "request": text}})
    };
    let create = |object: &Value, expected| {
        check(
            "CREATE certificates.k8s.io certificatesigningrequests /",
            &Value::Null,
            object,
            expected,
        )
    };
    create(&made("system:node:n1"), Ok(()));
    create(
        &made("system:node:n2"),
        Err("can only create a node CSR with CN=system:node:n1"),
    );
}
