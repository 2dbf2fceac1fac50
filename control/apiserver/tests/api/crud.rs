//! One object's life.

use serde_json::{Value, json};

use super::harness::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let created = client.post(MAPS, &map("one")).await;
    assert_eq!(created.code, 201, "{created:?}");
    let metadata = &created.value["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert!(metadata["uid"].is_string() && metadata["creationTimestamp"].is_string());
    let again = client.post(MAPS, &map("one")).await;
    assert_eq!(
        (again.code, &again.value["reason"]),
        (409, &json!("AlreadyExists"))
    );
    let path = format!("{MAPS}/one");
    assert_eq!(client.get(&path).await.value, created.value);

    let mut changed = created.value.clone();
    changed["data"]["b"] = json!("2");
    let updated = client.put(&path, &changed).await;
    assert_eq!(updated.code, 200, "{updated:?}");
    assert_ne!(
        updated.value["metadata"]["resourceVersion"],
        metadata["resourceVersion"]
    );
    let stale = client.put(&path, &changed).await;
    assert_eq!(
        (stale.code, &stale.value["reason"]),
        (409, &json!("Conflict"))
    );
    let patched = client
        .patch(&path, "merge-patch+json", &json!({"data": {"a": null}}))
        .await;
    assert_eq!(patched.value["data"], json!({"b": "2"}), "{patched:?}");

    let deleted = client.delete(&path).await;
    assert_eq!(
        (deleted.code, &deleted.value["status"]),
        (200, &json!("Success"))
    );
    assert_eq!(client.get(&path).await.code, 404);
}

#[tokio::test]
async fn bad_requests_are_refused_with_reasons() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let cases = [
        (
            "POST",
            MAPS,
            json!({"kind": "Pod", "apiVersion": "v1"}),
            400,
            "BadRequest",
        ),
        (
            "POST",
            MAPS,
            json!({"metadata": {"name": "Not_A_Name"}}),
            422,
            "Invalid",
        ),
        ("POST", MAPS, json!({"metadata": {}}), 422, "Invalid"),
        (
            "POST",
            MAPS,
            json!({"metadata": {"name": "a", "namespace": "b"}}),
            400,
            "BadRequest",
        ),
        (
            "GET",
            "/api/v1/namespaces/default/nothings/a",
            Value::Null,
            404,
            "NotFound",
        ),
        ("GET", "/nothing", Value::Null, 404, "NotFound"),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps/a",
            map("a"),
            405,
            "MethodNotAllowed",
        ),
        (
            "GET",
            "/api/v1/configmaps?fieldSelector=a.b=c",
            Value::Null,
            400,
            "BadRequest",
        ),
    ];
    for (method, path, body, code, reason) in cases {
        let headers = [("content-type", "application/json")];
        let reply = client.ask(method, path, &headers, &body).await;
        assert_eq!(reply.code, code, "{method} {path}: {reply:?}");
        assert_eq!(reply.value["reason"], reason, "{method} {path}");
    }
    let path = format!("{MAPS}?fieldValidation=Strict");
    let odd = json!({"metadata": {"name": "a"}, "dta": {}});
    let strict = client.post(&path, &odd).await;
    let message = strict.value["message"].as_str().unwrap();
    assert!(message.contains("unknown field \"dta\""), "{message}");
    let warned = client
        .post(MAPS, &json!({"metadata": {"name": "a"}, "dta": {}}))
        .await;
    let warning = warned.headers["warning"].to_str().unwrap();
    assert_eq!(warning, r#"299 - "unknown field \"dta\"""#);
}

#[tokio::test]
async fn nothing_is_written_in_a_dry_run() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let tried = client
        .post(&format!("{MAPS}?dryRun=All"), &map("dry"))
        .await;
    assert_eq!(tried.code, 201);
    assert_eq!(client.get(&format!("{MAPS}/dry")).await.code, 404);
}

#[tokio::test]
async fn generated_names_differ() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let wish = json!({"metadata": {"generateName": "web-"}});
    let one = client.post(MAPS, &wish).await.value["metadata"]["name"].clone();
    let two = client.post(MAPS, &wish).await.value["metadata"]["name"].clone();
    assert!(one.as_str().unwrap().starts_with("web-"));
    assert_ne!(one, two);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    let mut held = map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post(MAPS, &held).await;
    let path = format!("{MAPS}/held");
    let deleted = client.delete(&path).await;
    assert!(
        deleted.value["metadata"]["deletionTimestamp"].is_string(),
        "{deleted:?}"
    );
    let free = json!({"metadata": {"finalizers": null}});
    assert_eq!(
        client.patch(&path, "merge-patch+json", &free).await.code,
        200
    );
    assert_eq!(client.get(&path).await.code, 404);
}

#[tokio::test]
async fn who_is_let_in() {
    let server = Server::start().await;
    let mut stranger = server.stranger().await;
    assert_eq!(stranger.get("/livez").await.code, 200);
    assert_eq!(stranger.get("/api").await.code, 401);
    let mut jane = server.client("jane", &["devs"]).await;
    let refused = jane.get(MAPS).await;
    assert_eq!(refused.code, 403, "{refused:?}");
    let message = "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refused.value["message"], message);
    let mut admin = server.admin().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["configmaps"]}]});
    assert_eq!(
        admin
            .post(&format!("{rbac}/clusterroles"), &role)
            .await
            .code,
        201
    );
    let binding = json!({"metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "devs"}]});
    let bound = admin
        .post(&format!("{rbac}/namespaces/default/rolebindings"), &binding)
        .await;
    assert_eq!(bound.code, 201, "{bound:?}");
    // A list that asks for the newest has everybody's caches catch up.
    admin.get(&format!("{rbac}/rolebindings")).await;
    assert_eq!(jane.get(MAPS).await.code, 200);
    assert_eq!(jane.get("/api/v1/configmaps").await.code, 403);
    let headers = [("impersonate-user", "jane"), ("impersonate-group", "devs")];
    let acted = admin
        .ask("GET", "/api/v1/configmaps", &headers, &Value::Null)
        .await;
    assert_eq!(acted.code, 403);
}

#[tokio::test]
async fn requests_and_objects_are_counted() {
    let server = Server::start().await;
    let mut client = server.admin().await;
    client.post(MAPS, &map("one")).await;
    client.get(MAPS).await;
    let page = client.get("/metrics").await;
    let text = page.value.as_str().unwrap();
    let created = "verb=\"POST\",group=\"\",version=\"v1\",resource=\"configmaps\"";
    assert!(text.contains(created), "{text}");
    assert!(
        text.contains("apiserver_storage_objects{resource=\"configmaps\"} "),
        "{text}"
    );
}
