//! Webhooks over TLS: what they change, and what they say to the caller.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A webhook that adds a label and warns of it.
async fn webhook(server: &Server) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(server.tls()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let answer =
                    service_fn(|request| async { Ok::<_, Infallible>(respond(request).await) });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
    address
}

async fn respond(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap();
    let asked = &review["request"];
    let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]);
    let answer = json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": {
        "uid": asked["uid"], "allowed": true, "patchType": "JSONPatch",
        "patch": STANDARD.encode(patch.to_string()),
        "warnings": [format!("{} is labelled", asked["name"].as_str().unwrap_or_default())]}});
    Response::new(Full::new(answer.to_string().into()))
}

#[tokio::test]
async fn mutating_webhooks_change_and_warn() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    while admin.get("/readyz").await.code != 200 {}
    let address = webhook(&server).await;
    let ca = std::fs::read(server.folder.path().join("ca.crt")).unwrap();
    let rules = json!([{"operations": ["CREATE", "UPDATE"], "apiGroups": [""],
        "apiVersions": ["v1"], "resources": ["configmaps"]}]);
    let hook = json!({"name": "label.example.com", "admissionReviewVersions": ["v1"],
        "sideEffects": "None", "timeoutSeconds": 30, "rules": rules, "clientConfig": {
            "url": format!("https://localhost:{}/label", address.port()),
            "caBundle": STANDARD.encode(ca)}});
    let configuration = json!({"metadata": {"name": "label"}, "webhooks": [hook]});
    let place = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let made = admin.post(place, &configuration).await;
    assert_eq!(made.code, 201, "{}", made.value);
    // A list that asks for the newest has the caches catch up.
    admin.get(place).await;
    let made = admin.post(MAPS, &json!({"metadata": {"name": "a"}})).await;
    assert_eq!(made.code, 201, "{}", made.value);
    assert_eq!(made.value["metadata"]["labels"], json!({"seen": "yes"}));
    assert!(
        made.headers["warning"]
            .to_str()
            .unwrap()
            .contains("a is labelled"),
        "{made:?}"
    );
    let patch = json!({"data": {"k": "v"}});
    let changed = admin
        .patch(&format!("{MAPS}/a"), "merge-patch+json", &patch)
        .await;
    assert!(
        changed.headers["warning"]
            .to_str()
            .unwrap()
            .contains("a is labelled"),
        "{changed:?}"
    );
}
