//! Requests over real connections: a client, the kubelet's HTTP server, and a stand-in for the
//! runtime's streaming server.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::service::service_fn;
use keelson_cri::{Deadlines, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::fake_runtime::FakeRuntime;
use super::*;

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

/// A kubelet that would send every request to `url`.
struct Kubelet {
    address: SocketAddr,
    streaming: Arc<Streaming>,
}

impl Kubelet {
    async fn start(url: String) -> Self {
        let socket = Endpoint::from(std::path::PathBuf::from("/nowhere.sock"));
        let client = Client::new(&socket, Deadlines::default());
        let streaming = Arc::new(Streaming::new(client, Duration::from_secs(60)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = streaming.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, url) = (server.clone(), url.clone());
                let service = service_fn(move |request| {
                    let (server, url) = (server.clone(), url.clone());
                    async move { Ok::<_, hyper::Error>(answer(&server, &url, request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades(),
                );
            }
        });
        Self { address, streaming }
    }
}

async fn answer(streaming: &Streaming, url: &str, request: Request<Incoming>) -> Response<Body> {
    let is_forward = request.uri().path().starts_with("/portForward");
    let asked = Asked::new(request);
    let outcome = async {
        let client = if is_forward {
            Speaks::port_forward(&asked)?
        } else {
            Speaks::remote_command(&asked)?
        };
        let streams = Streams::parse(&asked.query).unwrap_or(Streams {
            stdin: false,
            stdout: false,
            stderr: false,
            tty: false,
        });
        streaming.start(url, client, streams, asked).await
    };
    outcome.await.unwrap_or_else(respond::respond)
}

/// The runtime's server: gives the head of each request, and the connection after the answer.
async fn runtime(
    answer: &'static str,
) -> (String, tokio::sync::mpsc::Receiver<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/TOKEN", listener.local_addr().unwrap());
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            sender.send((head, stream)).await.unwrap();
        }
    });
    (url, receiver)
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn lines(head: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = head.trim_end().lines().collect();
    lines[1..].sort_unstable();
    lines
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";

#[tokio::test]
async fn spdy_passes_through_byte_for_byte() {
    let (url, mut sessions) = runtime(SWITCHED).await;
    let kubelet = Kubelet::start(url.clone()).await;
    let mut client = TcpStream::connect(kubelet.address).await.unwrap();
    client
        .write_all(
            b"POST /exec/default/web/nginx?command=ls&output=1 HTTP/1.1\r\nHost: node:10250\r\n\
              Authorization: Bearer secret\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
              X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n",
        )
        .await
        .unwrap();
    let (asked, mut runtime) = sessions.recv().await.unwrap();
    let host = url
        .strip_prefix("http://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let expected = [
        "POST /exec/TOKEN HTTP/1.1",
        "Connection: Upgrade",
        &format!("Host: {host}"),
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
    ];
    assert_eq!(lines(&asked), expected);
    let answered = head(&mut client).await.to_ascii_lowercase();
    assert!(answered.starts_with("http/1.1 101 "), "{answered}");
    assert!(answered.contains("upgrade: spdy/3.1\r\n"), "{answered}");
    assert!(
        answered.contains("x-stream-protocol-version: v4.channel.k8s.io\r\n"),
        "{answered}"
    );
    client
        .write_all(b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01")
        .await
        .unwrap();
    let mut heard = [0; 12];
    runtime.read_exact(&mut heard).await.unwrap();
    runtime.write_all(&heard).await.unwrap();
    drop(runtime);
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).await.unwrap();
    assert_eq!(echoed, b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01");
}

async fn websocket(
    kubelet: &Kubelet,
    path: &str,
    protocol: &str,
) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::Error> {
    let url = format!("ws://{}{path}", kubelet.address);
    let mut request = url.into_client_request().unwrap();
    let value = protocol.parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", value);
    let stream = TcpStream::connect(kubelet.address).await.unwrap();
    let (client, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
    Ok(client)
}

#[tokio::test]
async fn websocket_v5_is_bridged_to_spdy() {
    let (url, mut sessions) = runtime(SWITCHED).await;
    let kubelet = Kubelet::start(url).await;
    let path = "/exec/default/web/nginx?command=cat&input=1&output=1";
    let mut client = websocket(&kubelet, path, "v5.channel.k8s.io")
        .await
        .unwrap();
    let (asked, stream) = sessions.recv().await.unwrap();
    let asked = lines(&asked);
    assert_eq!(asked[0], "POST /exec/TOKEN HTTP/1.1");
    let upgrade = [
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: v4.channel.k8s.io",
    ];
    assert_eq!(asked[3..], upgrade);
    let mut runtime = FakeRuntime::new(stream);
    runtime.accept(3).await;
    assert_eq!(runtime.opened, ["error", "stdin", "stdout"]);
    client.send(Message::binary(&b"\0hi"[..])).await.unwrap();
    client.send(Message::binary(&b"\xff\0"[..])).await.unwrap();
    let (heard, fin) = runtime.hear("stdin", usize::MAX).await;
    assert_eq!((heard.as_slice(), fin), (&b"hi"[..], true));
    runtime.say("stdout", &heard, true).await;
    runtime.finish(SUCCESS).await;
    let mut messages = Vec::new();
    while let Some(Ok(message)) = client.next().await {
        messages.push(message);
    }
    let status = [&b"\x03"[..], SUCCESS.as_bytes()].concat();
    let expected = [&b"\x01"[..], b"\x01hi", &status].map(|data| Message::binary(data.to_vec()));
    assert_eq!(messages[..3], expected);
    assert!(matches!(messages[3], Message::Close(_)));
}

#[tokio::test]
async fn port_forwarding_is_tunnelled() {
    let (url, mut sessions) = runtime(SWITCHED).await;
    let kubelet = Kubelet::start(url).await;
    let protocol = "SPDY/3.1+portforward.k8s.io";
    let mut client = websocket(&kubelet, "/portForward/default/web", protocol)
        .await
        .unwrap();
    let (asked, mut runtime) = sessions.recv().await.unwrap();
    assert!(
        asked.contains("X-Stream-Protocol-Version: portforward.k8s.io\r\n"),
        "{asked}"
    );
    client.send(Message::binary(&b"syn"[..])).await.unwrap();
    let mut heard = [0; 3];
    runtime.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"syn");
    runtime.write_all(b"reply").await.unwrap();
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::binary(&b"reply"[..])
    );
}

async fn refused(kubelet: &Kubelet, headers: &str) -> (u16, String) {
    let mut client = TcpStream::connect(kubelet.address).await.unwrap();
    let request = format!(
        "GET /exec/default/web/nginx?output=1 HTTP/1.1\r\nHost: x\r\n{headers}Connection: Upgrade, \
         close\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

#[tokio::test]
async fn refusals_reach_the_client() {
    let refusal =
        "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlost\r\n0\r\n\r\n";
    let (url, _sessions) = runtime(refusal).await;
    let kubelet = Kubelet::start(url).await;
    let spdy = "Upgrade: SPDY/3.1\r\n";
    assert_eq!(refused(&kubelet, spdy).await, (404, "lost".to_owned()));
    let none = refused(&kubelet, "").await;
    assert_eq!(none, (400, "Upgrade request required".to_owned()));
    let unknown = "Upgrade: websocket\r\nSec-WebSocket-Protocol: v9.channel.k8s.io\r\n";
    assert_eq!(refused(&kubelet, unknown).await.0, 403);
    let keyless = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(refused(&kubelet, keyless).await.0, 400);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let kubelet = Kubelet::start(format!("http://{gone}/exec/T")).await;
    let (status, text) = refused(&kubelet, spdy).await;
    assert_eq!(status, 500);
    let expected = format!("connecting to the container runtime's streaming server at {gone}: ");
    assert!(text.starts_with(&expected), "{text}");
}

#[tokio::test]
async fn shutdown_ends_sessions() {
    let (url, mut sessions) = runtime(SWITCHED).await;
    let kubelet = Kubelet::start(url).await;
    let path = "/exec/default/web/nginx?command=cat&input=1";
    let mut client = websocket(&kubelet, path, "v5.channel.k8s.io")
        .await
        .unwrap();
    let (_, stream) = sessions.recv().await.unwrap();
    let mut runtime = FakeRuntime::new(stream);
    runtime.accept(2).await;
    kubelet.streaming.shutdown().await;
    assert_eq!(runtime.next().await, None);
    while let Some(Ok(_)) = client.next().await {}
}

#[test]
fn only_upgrades_are_upgrades() {
    for (connection, upgrade, expected) in [
        ("Upgrade", true, true),
        ("keep-alive, upgrade", true, true),
        ("keep-alive", true, false),
        ("Upgrade", false, false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        if upgrade {
            headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        }
        let mut request = Request::new(Bytes::new());
        let asked = Asked {
            method: Method::GET,
            headers,
            query: Query::default(),
            upgrade: hyper::upgrade::on(&mut request),
        };
        assert_eq!(asked.is_upgrade(), expected, "{connection} {upgrade}");
    }
}
