//! Streams and proxied requests, as far as a kubelet that speaks TLS and knows its callers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use keelson_api::certificate_subject::Subject;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::harness::{Client, Server, authority};

const POD: &str = "/api/v1/namespaces/default/pods/p";

/// A kubelet that says what it was asked, and after an upgrade says back what it hears.
async fn kubelet(tls: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    });
    address
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let caller = Subject::of(&shown).unwrap().common_name.unwrap();
    let answer = service_fn(move |request| {
        let caller = caller.clone();
        async move { Ok::<_, Infallible>(respond(&caller, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    let _ = connection.await;
}

async fn respond(caller: &str, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let told = format!("{} {} of {caller}", request.method(), request.uri());
    let Some(protocol) = request.headers().get(UPGRADE).cloned() else {
        let credentials = request.headers().contains_key("authorization");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        let text = format!(
            "{told} {body}{}",
            if credentials { " with credentials" } else { "" }
        );
        return Response::new(Full::new(text.into()));
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(CONNECTION, "Upgrade".parse().unwrap());
    response.headers_mut().insert(UPGRADE, protocol);
    for name in ["x-stream-protocol-version", "sec-websocket-protocol"] {
        if let Some(value) = request.headers().get(name).cloned() {
            response.headers_mut().insert(name, value);
        }
    }
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
        let mut stream = TokioIo::new(upgraded);
        stream.write_all(told.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    response
}

/// A server with a node whose kubelet is there, and a pod on it.
async fn cluster(server: &Server, kubelet: SocketAddr) -> Client {
    let mut admin = server.admin().await;
    let node = json!({"metadata": {"name": "n"}});
    assert_eq!(admin.post("/api/v1/nodes", &node).await.code, 201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}}}});
    let patched = admin
        .patch("/api/v1/nodes/n/status", "merge-patch+json", &status)
        .await;
    assert_eq!(patched.code, 200, "{}", patched.value);
    let account = json!({"metadata": {"name": "default"}});
    admin
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
        "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}});
    let made = admin.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(made.code, 201, "{}", made.value);
    let status = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    admin
        .patch(&format!("{POD}/status"), "merge-patch+json", &status)
        .await;
    admin
}

/// What comes of an upgraded stream: the headers, and what the kubelet said before its echo.
async fn upgrade(
    client: &mut Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (String, String) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 101, "{path}");
    let chosen = ["x-stream-protocol-version", "sec-websocket-protocol"];
    let chosen = chosen.iter().find_map(|name| response.headers().get(*name));
    let chosen = chosen.unwrap().to_str().unwrap().to_owned();
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    stream.write_all(b" <over>").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    (chosen, heard)
}

#[tokio::test]
async fn streams_reach_the_kubelet_under_the_servers_own_name() {
    let server = Server::start().await;
    let kubelet = kubelet(server.kubelet_tls(None)).await;
    let mut admin = cluster(&server, kubelet).await;
    let by = "of kube-apiserver-kubelet-client";
    let bearer = [("authorization", "Bearer mine")];
    let mut check = async |method: &str, path: &str, body: &Value, expected: &str| {
        let reply = admin.ask(method, path, &bearer, body).await;
        assert_eq!(reply.value, Value::from(expected), "{path}");
    };
    check(
        "GET",
        &format!("{POD}/log?container=a&tailLines=3"),
        &Value::Null,
        &format!("GET /containerLogs/default/p/a?tailLines=3 {by} "),
    )
    .await;
    check(
        "GET",
        "/api/v1/nodes/n/proxy/stats/summary?only=cpu",
        &Value::Null,
        &format!("GET /stats/summary?only=cpu {by} "),
    )
    .await;
    check(
        "POST",
        &format!("/api/v1/nodes/n:{}/proxy/run", kubelet.port()),
        &json!(7),
        &format!("POST /run {by} 7"),
    )
    .await;
}

#[tokio::test]
async fn upgraded_streams_are_passed_through_whatever_they_speak() {
    let server = Server::start().await;
    let kubelet = kubelet(server.kubelet_tls(None)).await;
    cluster(&server, kubelet).await;
    let check = async |method: &str, query: &str, headers: &[(&str, &str)], place: &str| {
        let mut client = server.admin().await;
        let (chosen, heard) =
            upgrade(&mut client, method, &format!("{POD}/{query}"), headers).await;
        assert_eq!(chosen, headers[2].1, "{query}");
        let expected = format!("{method} {place} of kube-apiserver-kubelet-client <over>");
        assert_eq!(heard, expected, "{query}");
    };
    let spdy = |version| {
        [
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", version),
        ]
    };
    let socket = |protocol| {
        [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", protocol),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ]
    };
    check(
        "POST",
        "exec?container=b&command=ls&command=-l&stdout=true",
        &spdy("v4.channel.k8s.io"),
        "/exec/default/p/b?command=ls&command=-l&output=1",
    )
    .await;
    check(
        "GET",
        "exec?container=a&command=sh&stdin=true&tty=true",
        &socket("v5.channel.k8s.io"),
        "/exec/default/p/a?command=sh&input=1&tty=1",
    )
    .await;
    check(
        "POST",
        "attach?container=a&stdout=true",
        &spdy("v4.channel.k8s.io"),
        "/attach/default/p/a?output=1",
    )
    .await;
    check(
        "GET",
        "portforward?ports=80",
        &socket("SPDY/3.1+portforward.k8s.io"),
        "/portForward/default/p?port=80",
    )
    .await;
}

#[tokio::test]
async fn neither_strangers_nor_this_machine_are_spoken_to() {
    let server = Server::start().await;
    let (foreign, _) = authority();
    let kubelet = kubelet(server.kubelet_tls(Some(&foreign))).await;
    let mut admin = cluster(&server, kubelet).await;
    let reply = admin.get(&format!("{POD}/log?container=a")).await;
    assert_eq!(reply.code, 503, "{}", reply.value);
    for path in [
        format!("{POD}/proxy/"),
        "/api/v1/nodes/n:1/proxy/".to_owned(),
    ] {
        let reply = admin.get(&path).await;
        assert_eq!(reply.code, 400, "{path}: {}", reply.value);
        assert!(
            reply.value["message"]
                .to_string()
                .contains("address not allowed"),
            "{reply:?}"
        );
    }
}
