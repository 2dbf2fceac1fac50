//! What is filled in, refused, charged and told on the way in.

use serde_json::{Value, json};

use super::harness::{Client, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, spec: Value) -> Value {
    let mut pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// A server and somebody who may do everything, with the account that pods run as.
async fn begin() -> (Server, Client) {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let account = json!({"metadata": {"name": "default"}});
    let made = admin
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    assert_eq!(made.code, 201, "{}", made.value);
    (server, admin)
}

async fn make(client: &mut Client, path: &str, object: &Value) -> Value {
    let reply = client.post(path, object).await;
    assert_eq!(reply.code, 201, "{path}: {}", reply.value);
    reply.value
}

async fn refused(client: &mut Client, path: &str, object: &Value, expected: &str) {
    let reply = client.post(path, object).await;
    assert_eq!(
        (reply.code, reply.value["message"].as_str().unwrap()),
        (403, expected)
    );
}

#[tokio::test]
async fn pods_get_account_token_priority_and_tolerations() {
    let (_server, mut admin) = begin().await;
    let found = make(&mut admin, PODS, &pod("p", json!({}))).await;
    let spec = &found["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["priority"], 0);
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3607
    );
    let missing = pod("q", json!({"serviceAccountName": "no"}));
    let why = "pods \"q\" is forbidden: error looking up service account default/no: serviceaccount \"no\" not found";
    refused(&mut admin, PODS, &missing, why).await;
    let nowhere = admin
        .post("/api/v1/namespaces/no/pods", &pod("p", json!({})))
        .await;
    assert_eq!(
        (nowhere.code, &nowhere.value["message"]),
        (404, &json!("namespaces \"no\" not found"))
    );
}

#[tokio::test]
async fn quotas_are_charged_and_kept() {
    let (_server, mut admin) = begin().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let mut quota = make(
        &mut admin,
        quotas,
        &json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}),
    )
    .await;
    quota["status"] = json!({"hard": {"pods": "2"}, "used": {"pods": "0"}});
    let status = format!("{quotas}/q/status");
    let put = admin.put(&status, &quota).await;
    assert_eq!(put.code, 200, "{}", put.value);
    make(&mut admin, PODS, &pod("a", json!({}))).await;
    make(&mut admin, PODS, &pod("b", json!({}))).await;
    let why = "pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    refused(&mut admin, PODS, &pod("c", json!({})), why).await;
    let found = admin.get(&format!("{quotas}/q")).await.value;
    assert_eq!(found["status"]["used"], json!({"pods": "2"}));
}

#[tokio::test]
async fn levels_refuse_and_warn() {
    let (_server, mut admin) = begin().await;
    let namespace = json!({"metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    make(&mut admin, "/api/v1/namespaces", &namespace).await;
    make(
        &mut admin,
        "/api/v1/namespaces/strict/serviceaccounts",
        &json!({"metadata": {"name": "default"}}),
    )
    .await;
    let why = "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    refused(
        &mut admin,
        "/api/v1/namespaces/strict/pods",
        &pod("p", json!({"hostNetwork": true})),
        why,
    )
    .await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("", json!({"hostNetwork": true}))["spec"]});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let reply = admin
        .post("/apis/apps/v1/namespaces/strict/deployments", &deployment)
        .await;
    assert_eq!(reply.code, 201, "{}", reply.value);
    let warning = reply.headers["warning"].to_str().unwrap();
    assert!(warning.contains("would violate PodSecurity"), "{warning}");
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let (server, mut admin) = begin().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"metadata": {"name": "granter"}, "rules": [
        {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    make(&mut admin, &format!("{rbac}/roles"), &role).await;
    let binding = json!({"metadata": {"name": "granter"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "granter", "apiGroup": "rbac.authorization.k8s.io"}});
    make(&mut admin, &format!("{rbac}/rolebindings"), &binding).await;
    let mut jane = server.client("jane", &[]).await;
    let of = |name: &str, verb: &str| json!({"metadata": {"name": name}, "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]});
    // Caches may still have to hear of the binding.
    while jane
        .post(&format!("{rbac}/roles"), &of("fine", "get"))
        .await
        .code
        == 403
    {}
    let why = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}";
    refused(
        &mut jane,
        &format!("{rbac}/roles"),
        &of("more", "delete"),
        why,
    )
    .await;
}

#[tokio::test]
async fn nodes_write_what_is_theirs() {
    let (server, mut admin) = begin().await;
    let mut node = server.client("system:node:n", &["system:nodes"]).await;
    let own = node
        .post("/api/v1/nodes", &json!({"metadata": {"name": "n"}}))
        .await;
    assert_eq!(own.code, 201, "{}", own.value);
    assert_eq!(
        own.value["spec"]["taints"][0]["key"],
        "node.kubernetes.io/not-ready"
    );
    let why = "nodes \"m\" is forbidden: node \"n\" is not allowed to modify node \"m\"";
    refused(
        &mut node,
        "/api/v1/nodes",
        &json!({"metadata": {"name": "m"}}),
        why,
    )
    .await;
    let gone = admin.delete("/api/v1/namespaces/kube-system").await;
    assert_eq!(
        gone.value["message"],
        "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"
    );
}
