//! The client against a small server of this test's own, over real sockets and real TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use keelson_client::cache::{Reflector, reflect};
use keelson_client::kubeconfig::{Config, Identity, Pem, Server};
use keelson_client::request::{DeleteOptions, Patch, WriteOptions};
use keelson_client::{Client, Error, Resource, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod server;

use server::{Certificates, Reply, TestServer};

fn pods() -> Resource {
    Resource::of::<Pod>()
}

fn config(server: &TestServer, certificates: &Certificates, client: &str) -> Config {
    let folder = certificates.folder.path();
    Config {
        servers: vec![Server {
            https: true,
            host: "127.0.0.1".into(),
            port: server.port,
            prefix: String::new(),
        }],
        ca: Some(Pem::File(folder.join("ca.pem"))),
        certificate: Some((
            Pem::File(folder.join(format!("{client}.pem"))),
            Pem::File(folder.join(format!("{client}.key"))),
        )),
        ..Config::plain("", 0)
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_say_who_we_are() {
    let certificates = Certificates::new();
    let server = TestServer::start(&certificates, |request| {
        let said = json!({
            "metadata": {"name": "p"},
            "seen": {
                "method": request.method,
                "url": request.url,
                "agent": request.header("user-agent"),
                "type": request.header("content-type"),
                "body": String::from_utf8_lossy(&request.body),
                "version": request.version,
            }
        });
        Reply::json(200, &said)
    })
    .await;
    let client = Client::new(&config(&server, &certificates, "client"), "test").unwrap();
    let path = pods().named("n", "p");
    let got: Value = client.get(&path).await.unwrap();
    assert_eq!(got["seen"]["method"], "GET");
    assert_eq!(
        got["seen"]["agent"],
        concat!("keelson-test/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(got["seen"]["version"], "HTTP/2.0");
    let patch = Patch::Strategic(json!({"status": {}}));
    let status = path.clone().subresource("status");
    let patched: Value = client
        .patch(&status, &patch, &WriteOptions::default())
        .await
        .unwrap();
    assert_eq!(
        patched["seen"]["type"],
        "application/strategic-merge-patch+json"
    );
    assert_eq!(patched["seen"]["body"], r#"{"status":{}}"#);
    let typed: Pod = client
        .create(&pods().within("n"), &json!({}))
        .await
        .unwrap();
    assert_eq!(typed.metadata.name.as_deref(), Some("p"));
    client
        .delete(&path, &DeleteOptions::now("u"))
        .await
        .unwrap();
    let many = (0..20).map(|_| client.get::<Value>(&path));
    for outcome in futures_util::future::join_all(many).await {
        outcome.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn waits_when_asked_and_reports_what_the_server_said() {
    let certificates = Certificates::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let server = TestServer::start(&certificates, move |request| {
        if request.url.ends_with("/missing") {
            let status = json!({"kind": "Status", "code": 404, "reason": "NotFound",
                "message": "pods \"missing\" not found"});
            return Reply::json(404, &status);
        }
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::json(429, &json!({})).with("retry-after", "1"),
            _ => Reply::json(200, &json!({})),
        }
    })
    .await;
    let client = Client::new(&config(&server, &certificates, "client"), "test").unwrap();
    client.get::<Value>(&pods().named("n", "p")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let error = client
        .get::<Value>(&pods().named("n", "missing"))
        .await
        .unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        "get pods n/missing: 404 NotFound: pods \"missing\" not found"
    );
}

#[tokio::test]
async fn a_refused_token_is_read_again() {
    let certificates = Certificates::new();
    let server = TestServer::start(&certificates, |request| {
        match request.header("authorization") {
            "Bearer new" => Reply::json(200, &json!({})),
            _ => Reply::json(401, &json!({})),
        }
    })
    .await;
    let token = certificates.folder.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let config = Config {
        identity: Identity::TokenFile(token.clone()),
        ..config(&server, &certificates, "client")
    };
    let client = Client::new(&config, "test").unwrap();
    let path = pods().named("n", "p");
    assert!(
        client
            .get::<Value>(&path)
            .await
            .unwrap_err()
            .is_unauthorized()
    );
    std::fs::write(&token, "new").unwrap();
    client.get::<Value>(&path).await.unwrap();
}

#[tokio::test]
async fn new_certificates_are_shown_on_new_connections() {
    let certificates = Certificates::new();
    let server = TestServer::start(&certificates, |request| {
        Reply::json(200, &json!({"serial": request.certificate}))
    })
    .await;
    let client = Client::new(&config(&server, &certificates, "client"), "test").unwrap();
    let path = pods().named("n", "p");
    let first: Value = client.get(&path).await.unwrap();
    certificates.issue("client");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    let second: Value = client.get(&path).await.unwrap();
    assert_ne!(first["serial"], second["serial"]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_another_ca_vouches_for_is_not_believed() {
    let (ours, theirs) = (Certificates::new(), Certificates::new());
    let server = TestServer::start(&theirs, |_| Reply::json(200, &json!({}))).await;
    let believing = config(&server, &ours, "client");
    let client = Client::new(&believing, "test").unwrap();
    let path = pods().named("n", "p");
    let error = client.get::<Value>(&path).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
    let anyone = Config {
        insecure: true,
        certificate: config(&server, &theirs, "client").certificate,
        ..believing
    };
    let client = Client::new(&anyone, "test").unwrap();
    client.get::<Value>(&path).await.unwrap();
}

#[tokio::test]
async fn the_next_server_is_used_when_one_is_gone() {
    let certificates = Certificates::new();
    let server = TestServer::start(&certificates, |_| Reply::json(200, &json!({}))).await;
    let mut config = config(&server, &certificates, "client");
    let gone = Server {
        port: 1,
        ..config.servers[0].clone()
    };
    config.servers.insert(0, gone);
    let client = Client::new(&config, "test").unwrap();
    client.get::<Value>(&pods().all()).await.unwrap();
    assert_eq!(client.server(), format!("127.0.0.1:{}", server.port));
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let certificates = Certificates::new();
    let server = TestServer::start(&certificates, |_| Reply::never()).await;
    let client = Client::new(&config(&server, &certificates, "client"), "test").unwrap();
    let client = client.with_limit(Duration::from_millis(200));
    let error = client.get::<Value>(&pods().all()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

/// Answers as an apiserver does: no streaming lists, one list, then watches. The first watch
/// brings a change and breaks; the second says that the version is too old.
fn reflected(request: &server::Seen, watches: &AtomicUsize) -> Reply {
    let map = |name: &str, version: &str| {
        json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": version},
            "data": {"k": version}})
    };
    if request.url.contains("sendInitialEvents") {
        return Reply::json(422, &json!({"kind": "Status", "code": 422}));
    }
    if !request.url.contains("watch=true") {
        let first = watches.load(Ordering::Relaxed) == 0;
        let (items, version) = if first {
            (json!([map("a", "1"), map("b", "2")]), "2")
        } else {
            (json!([map("a", "7")]), "7")
        };
        let list = json!({"metadata": {"resourceVersion": version}, "items": items});
        return Reply::json(200, &list);
    }
    let line = |kind: &str, object: Value| format!("{}\n", json!({"type": kind, "object": object}));
    match watches.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::text(&line("ADDED", map("c", "3"))),
        1 => Reply::text(&line("ERROR", json!({"kind": "Status", "code": 410}))),
        _ => Reply::never(),
    }
}

#[tokio::test]
async fn a_reflector_rides_out_what_a_server_does() {
    let certificates = Certificates::new();
    let watches = Arc::new(AtomicUsize::new(0));
    let count = watches.clone();
    let server = TestServer::start(&certificates, move |request| reflected(request, &count)).await;
    let client = Client::new(&config(&server, &certificates, "client"), "test").unwrap();
    let (store, writer) = Store::<ConfigMap>::new(Vec::new());
    let mut changes = store.changes();
    let stop = CancellationToken::new();
    let what = Reflector::new(client, Resource::of::<ConfigMap>().within("n"));
    let task = tokio::spawn(reflect(what, writer, stop.clone()));
    store.synced().await;
    let wait = async {
        loop {
            let change = changes.next().await;
            if change.latest().metadata.name.as_deref() == Some("c") && change.current().is_none() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap();
    let held = store.get("n", "a").unwrap();
    assert_eq!(held.metadata.resource_version.as_deref(), Some("7"));
    assert!(store.get("n", "b").is_none());
    stop.cancel();
    task.await.unwrap();
}
