//! Who callers are and what they may do: default roles, tokens, reviews, nodes.

use serde_json::{Value, json};

use super::harness::{Client, Server};

const KEY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/src/auth/service_account/testdata/ec_pkcs8.pem"
);

/// A server whose first objects are there.
async fn server() -> Server {
    let key = format!("--service-account-signing-key-file={KEY}");
    let flags = [
        "--in-memory",
        "--service-account-issuer=https://issuer",
        "--api-audiences=api",
        "--enable-bootstrap-token-auth",
        &key,
    ];
    let server = Server::with(&flags).await;
    let mut admin = server.admin().await;
    while admin.get("/readyz").await.code != 200 {}
    server
}

async fn ask(
    client: &mut Client,
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let reply = client.ask(method, path, &headers, body).await;
    (reply.code, reply.value)
}

async fn token(admin: &mut Client, path: &str, spec: Value) -> String {
    let reply = admin.post(path, &json!({"spec": spec})).await;
    assert_eq!(reply.code, 201, "{}", reply.value);
    reply.value["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cluster_begins_with_roles_and_namespaces() {
    let server = server().await;
    let mut admin = server.admin().await;
    for path in [
        "/api/v1/namespaces/kube-node-lease",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/system:controller:token-cleaner",
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/catch-all",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
    ] {
        let reply = admin.get(path).await;
        assert_eq!(reply.code, 200, "{path}: {}", reply.value);
    }
    let service = admin
        .get("/api/v1/namespaces/default/services/kubernetes")
        .await
        .value;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
}

#[tokio::test]
async fn service_accounts_get_tokens_and_use_them() {
    let server = server().await;
    let mut admin = server.admin().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin
        .post(accounts, &json!({"metadata": {"name": "robot"}}))
        .await;
    let path = format!("{accounts}/robot/token");
    let token = token(&mut admin, &path, json!({})).await;
    let mut stranger = server.stranger().await;
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, found) = ask(&mut stranger, &token, "POST", who, &json!({})).await;
    assert_eq!(code, 201, "{found}");
    assert_eq!(
        found["status"]["userInfo"]["username"],
        "system:serviceaccount:default:robot"
    );
    let review = json!({"spec": {"token": token}});
    let found = admin
        .post("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .await
        .value;
    assert_eq!(found["status"]["audiences"], json!(["api"]), "{found}");
    let keys = admin.get("/openid/v1/jwks").await.value;
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    admin.delete(&format!("{accounts}/robot")).await;
    // A token ends with its account, once caches have seen it go.
    while ask(&mut stranger, &token, "POST", who, &json!({})).await.0 != 401 {}
}

#[tokio::test]
async fn rights_can_be_asked_for() {
    let server = server().await;
    let mut jane = server.client("jane", &[]).await;
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let may = |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}});
    assert_eq!(
        jane.post(path, &may("get")).await.value["status"]["allowed"],
        false
    );
    let mut admin = server.admin().await;
    let binding = json!({"metadata": {"name": "jane"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "ClusterRole", "name": "system:aggregate-to-view", "apiGroup": "rbac.authorization.k8s.io"}});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let made = admin.post(bindings, &binding).await;
    assert_eq!(made.code, 201, "{}", made.value);
    while jane.post(path, &may("get")).await.value["status"]["allowed"] != true {}
    assert_eq!(
        jane.post(path, &may("delete")).await.value["status"]["allowed"],
        false
    );
    let rules = json!({"spec": {"namespace": "default"}});
    let found = jane
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            &rules,
        )
        .await
        .value;
    assert!(
        found["status"]["resourceRules"].as_array().unwrap().len() > 5,
        "{found}"
    );
}

#[tokio::test]
async fn nodes_read_what_their_pods_need() {
    let server = server().await;
    let mut admin = server.admin().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["mine", "other"] {
        admin
            .post(secrets, &json!({"metadata": {"name": name}}))
            .await;
    }
    admin
        .post(
            "/api/v1/namespaces/default/serviceaccounts",
            &json!({"metadata": {"name": "default"}}),
        )
        .await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "s", "secret": {"secretName": "mine"}}]}});
    let made = admin.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(made.code, 201, "{}", made.value);
    let mut node = server.client("system:node:n", &["system:nodes"]).await;
    while node.get(&format!("{secrets}/mine")).await.code != 200 {}
    let refused = node.get(&format!("{secrets}/other")).await;
    assert_eq!(
        refused.value["message"],
        "secrets \"other\" is forbidden: User \"system:node:n\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\": no relationship found between node 'n' and this object"
    );
    assert_eq!(node.get("/api/v1/pods").await.code, 403);
    assert_eq!(
        node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn")
            .await
            .code,
        200
    );
    assert_eq!(node.get("/api/v1/services").await.code, 200);
}

#[tokio::test]
async fn bootstrap_tokens_prove_new_nodes() {
    let server = server().await;
    let mut admin = server.admin().await;
    let secret = json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}});
    let made = admin
        .post("/api/v1/namespaces/kube-system/secrets", &secret)
        .await;
    assert_eq!(made.code, 201, "{}", made.value);
    let mut stranger = server.stranger().await;
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, found) = ask(
        &mut stranger,
        "abcdef.0123456789abcdef",
        "POST",
        who,
        &json!({}),
    )
    .await;
    assert_eq!(code, 201, "{found}");
    assert_eq!(
        found["status"]["userInfo"]["groups"],
        json!(["system:bootstrappers", "system:authenticated"])
    );
    assert_eq!(
        ask(
            &mut stranger,
            "abcdef.0123456789abcdee",
            "POST",
            who,
            &json!({})
        )
        .await
        .0,
        401
    );
}
