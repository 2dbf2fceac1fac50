//! What a cluster begins with, who vouches for whom, and what the server counts.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::harness::{Client, Server, authority, parameters};

async fn ready(server: &Server) -> Client {
    let mut admin = server.admin().await;
    while admin.get("/readyz").await.code != 200 {}
    admin
}

#[tokio::test]
async fn servers_behind_this_one_learn_how_it_finds_out_who_calls() {
    let folder = TempDir::new().unwrap();
    let (front, root) = authority();
    let path = folder.path().join("front.crt");
    std::fs::write(&path, root.pem()).unwrap();
    let ca = format!("--requestheader-client-ca-file={}", path.display());
    let server = Server::with(&[
        "--in-memory",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        &ca,
    ])
    .await;
    let mut admin = ready(&server).await;
    let place = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let data = admin.get(place).await.value["data"].clone();
    assert_eq!(data["requestheader-client-ca-file"], root.pem());
    assert_eq!(
        data["requestheader-allowed-names"],
        r#"["front-proxy-client"]"#
    );
    let own = std::fs::read_to_string(server.folder.path().join("ca.crt")).unwrap();
    assert_eq!(data["client-ca-file"], own);

    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let ask = async |mut client: Client| {
        let headers = [
            ("content-type", "application/json"),
            ("x-remote-user", "jane"),
            ("x-remote-group", "system:masters"),
            ("x-remote-extra-scope", "all"),
        ];
        let reply = client.ask("POST", who, &headers, &json!({})).await;
        (reply.code, reply.value["status"]["userInfo"].clone())
    };
    let known = server
        .client_with(&front, parameters("front-proxy-client", &[]))
        .await;
    let (code, user) = ask(known).await;
    assert_eq!((code, &user["username"]), (201, &json!("jane")));
    assert_eq!(user["extra"]["scope"], json!(["all"]));
    let other = server.client_with(&front, parameters("another", &[])).await;
    assert_eq!(ask(other).await.0, 401);
    // Headers mean nothing from those who are no proxies.
    let (_, user) = ask(server.client("joe", &["system:masters"]).await).await;
    assert_eq!(user["username"], "joe");
}

#[tokio::test]
async fn a_cluster_begins_with_its_service_range_and_its_servers() {
    let server = Server::with(&["--in-memory", "--advertise-address=192.0.2.7"]).await;
    let mut admin = ready(&server).await;
    let range = admin
        .get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes")
        .await
        .value;
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/12"]));
    assert_eq!(range["status"]["conditions"][0]["type"], "Ready");
    let endpoints = admin
        .get("/api/v1/namespaces/default/endpoints/kubernetes")
        .await
        .value;
    let subset = &endpoints["subsets"][0];
    assert_eq!(subset["addresses"], json!([{"ip": "192.0.2.7"}]));
    assert_eq!(
        subset["ports"][0]["port"],
        Value::from(server.address.port())
    );
}

#[tokio::test]
async fn what_is_done_is_counted_under_upstreams_names() {
    let server = Server::with(&[]).await;
    let mut admin = ready(&server).await;
    let made = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    let reply = admin
        .post("/api/v1/namespaces/default/configmaps", &made)
        .await;
    assert_eq!(reply.code, 201, "{}", reply.value);
    admin.get("/api/v1/namespaces/default/configmaps/a").await;
    let page = admin.get("/metrics").await.value;
    let page = page.as_str().unwrap();
    for name in [
        "apiserver_request_total{verb=\"POST\",group=\"\",version=\"v1\",resource=\"configmaps\"",
        "apiserver_request_duration_seconds_bucket{verb=\"GET\"",
        "apiserver_current_inflight_requests{request_kind=\"mutating\"}",
        "etcd_request_duration_seconds_count{operation=\"create\",group=\"\",resource=\"configmaps\"}",
        "apiserver_storage_objects{",
        "apiserver_storage_size_bytes{storage_cluster_id=\"embedded\"}",
        "keelson_store_commit_duration_seconds_count",
        "apiserver_admission_controller_admission_duration_seconds_bucket{name=\"",
        "apiserver_admission_step_admission_duration_seconds_count{",
    ] {
        assert!(
            page.lines().any(|line| line.starts_with(name)),
            "{name} in {page}"
        );
    }
}

#[tokio::test]
async fn health_can_be_kept_from_strangers() {
    let server = Server::with(&["--in-memory", "--anonymous-auth=false"]).await;
    assert_eq!(server.stranger().await.get("/livez").await.code, 401);
    let open = Server::start().await;
    let mut stranger = open.stranger().await;
    while stranger.get("/livez").await.code != 200 {}
    assert_eq!(stranger.get("/version").await.code, 401);
}
