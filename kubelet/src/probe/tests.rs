//! Probes and hooks against real servers on loopback, and commands against a stand-in runtime.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keelson_cri::CriError;
use keelson_cri::error::Call;
use keelson_cri::values::ExecOutput;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::Service;

use super::grpc::health::health_check_response::ServingStatus;
use super::grpc::health::health_server::{Health, HealthServer};
use super::grpc::health::{HealthCheckRequest, HealthCheckResponse};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Runs nothing: says what it was told to say.
#[derive(Clone)]
struct Script(Arc<dyn Fn() -> Option<Result<ExecOutput, CriError>> + Send + Sync>);

impl Script {
    fn says(exit_code: i32, stdout: &'static str, stderr: &'static str) -> Self {
        Self(Arc::new(move || Some(exited(exit_code, stdout, stderr))))
    }

    fn hangs() -> Self {
        Self(Arc::new(|| None))
    }
}

impl ExecSync for Script {
    async fn exec_sync(
        &self,
        _container_id: &str,
        _command: &[String],
        _timeout: Duration,
    ) -> Result<ExecOutput, CriError> {
        match (self.0)() {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn prober() -> Prober<Script> {
    Prober::new(Script::hangs())
}

fn exited(exit_code: i32, stdout: &str, stderr: &str) -> Result<ExecOutput, CriError> {
    Ok(ExecOutput {
        stdout: stdout.into(),
        stderr: stderr.into(),
        exit_code,
    })
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that reads one request per connection and answers with `reply`, `{}` standing for its
/// own address. Gives the requests' heads.
async fn scripted(reply: &'static str) -> (SocketAddr, mpsc::Receiver<(SocketAddr, String)>) {
    let (listener, address) = listener().await;
    let (heads, seen) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let head = read_head(&mut stream).await;
            let reply = reply.replace("{}", &address.to_string());
            stream.write_all(reply.as_bytes()).await.unwrap();
            if heads.send((from, head)).await.is_err() {
                break;
            }
        }
    });
    (address, seen)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn http_target(scheme: Scheme, address: SocketAddr, path: &str) -> HttpTarget {
    HttpTarget {
        url: Url::new(scheme, authority(address), path),
        host: None,
        headers: HeaderMap::new(),
    }
}

fn authority(address: SocketAddr) -> Authority {
    Authority {
        host: address.ip().to_string(),
        port: address.port(),
    }
}

async fn get(address: SocketAddr) -> ProbeReport {
    let target = ProbeTarget::Http(http_target(Scheme::Http, address, "/"));
    prober().probe("c", &target, 5 * SECOND).await
}

async fn check_reply(reply: &'static str, outcome: ProbeOutcome, message: &str) {
    let (address, _seen) = scripted(reply).await;
    let report = get(address).await;
    assert_eq!(
        (report.outcome, report.message.as_str()),
        (outcome, message),
        "{reply}"
    );
}

#[tokio::test]
async fn http_statuses() {
    use ProbeOutcome::{Failure, Success, Warning};
    for (reply, outcome, message) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Success,
            "ok",
        ),
        ("HTTP/1.0 200 OK\r\n\r\n", Success, ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", Success, ""),
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\nx",
            Warning,
            "Probe terminated redirects, Response body: x",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\nContent-Length: 0\r\n\r\n",
            Warning,
            "Probe terminated redirects, Response body: ",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            Warning,
            "Probe terminated redirects, Response body: ",
        ),
        (
            "HTTP/1.1 400 Bad\r\nContent-Length: 6\r\n\r\nsecret",
            Failure,
            "HTTP probe failed with statuscode: 400",
        ),
        (
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            Failure,
            "HTTP probe failed with statuscode: 503",
        ),
    ] {
        check_reply(reply, outcome, message).await;
    }
}

#[tokio::test]
async fn http_that_is_none() {
    let (address, _seen) = scripted("SSH-2.0-OpenSSH_9.2\r\n").await;
    let report = get(address).await;
    assert_eq!(report.outcome, ProbeOutcome::Failure);
    let url = format!("Get \"http://{address}/\": ");
    assert!(report.message.starts_with(&url), "{}", report.message);
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    let reply = "HTTP/1.1 302 Found\r\nLocation: next/../x\r\nContent-Length: 0\r\n\r\n";
    let (address, mut seen) = scripted(reply).await;
    let report = get(address).await;
    assert_eq!(report.outcome, ProbeOutcome::Failure);
    let expected = format!("Get \"http://{address}/\": stopped after 10 redirects");
    assert_eq!(report.message, expected);
    let mut targets = Vec::new();
    while let Ok((_, head)) = seen.try_recv() {
        targets.push(head.lines().next().unwrap().to_owned());
    }
    assert_eq!(targets.len(), 10);
    assert_eq!(targets[0], "GET / HTTP/1.1");
    assert!(targets[1..].iter().all(|line| line == "GET /x HTTP/1.1"));
}

#[tokio::test]
async fn a_redirect_to_another_port_of_the_host_counts_as_the_same_host() {
    let (end, _seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend").await;
    let reply = format!("HTTP/1.1 307 x\r\nLocation: http://{end}/y\r\nContent-Length: 0\r\n\r\n");
    let (start, _seen) = scripted(reply.leak()).await;
    let report = get(start).await;
    assert_eq!(report.message, "end");
}

#[tokio::test]
async fn what_is_sent() {
    let (address, mut seen) = scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut target = http_target(Scheme::Http, address, "/live?x=1");
    target.host = Some("web.example".parse().unwrap());
    target
        .headers
        .insert("user-agent", PROBE_AGENT.parse().unwrap());
    target.headers.append("x-a", "1".parse().unwrap());
    target.headers.append("x-a", "2".parse().unwrap());
    let target = ProbeTarget::Http(target);
    prober().probe("c", &target, 5 * SECOND).await;
    let (_, head) = seen.recv().await.unwrap();
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "GET /live?x=1 HTTP/1.1");
    lines.sort_unstable();
    let expected = [
        "Connection: close",
        "Host: web.example",
        "User-Agent: kube-probe/1.36",
        "X-A: 1",
        "X-A: 2",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let report = get(address).await;
    assert_eq!(report.outcome, ProbeOutcome::Success);
    assert_eq!(report.message.len(), MAX_MESSAGE);
}

#[tokio::test]
async fn a_probe_leaves_no_socket_behind() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, from) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(reply).await.unwrap();
        // The client closes first: an ordinary close would leave it in TIME_WAIT.
        let _ = stream.read_u8().await.unwrap_err();
        from
    });
    assert_eq!(get(address).await.outcome, ProbeOutcome::Success);
    let from = server.await.unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", from.port());
    let left: Vec<&str> = table
        .lines()
        .filter(|line| line.split_whitespace().nth(1) == Some(&local))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn tls_server() -> SocketAddr {
    let key = rcgen::generate_simple_self_signed(vec!["elsewhere.test".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let private = rustls_pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
            let _ = stream.write_all(reply).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let target = ProbeTarget::Http(http_target(Scheme::Https, tls_server().await, "/"));
    let report = prober().probe("c", &target, 5 * SECOND).await;
    assert_eq!(report, ProbeReport::new(ProbeOutcome::Success, "secure"));
}

#[tokio::test]
async fn https_to_a_plain_server() {
    let address = plain_speaker().await;
    let target = ProbeTarget::Http(http_target(Scheme::Https, address, "/"));
    let report = prober().probe("c", &target, 5 * SECOND).await;
    let expected =
        format!("Get \"https://{address}/\": http: server gave HTTP response to HTTPS client");
    assert_eq!(report, ProbeReport::new(ProbeOutcome::Failure, &expected));
}

/// Answers whatever comes first with HTTP, as servers do that are offered TLS; gives 200 to GET.
async fn plain_speaker() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut first = [0; 2048];
            let read = stream.read(&mut first).await.unwrap_or(0);
            let status = if first[..read].starts_with(b"GET ") {
                "200 OK"
            } else {
                "400 Bad"
            };
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn tcp() {
    let (listener, address) = listener().await;
    let target = ProbeTarget::Tcp(authority(address));
    let open = prober().probe("c", &target, 5 * SECOND).await;
    assert_eq!(open, ProbeReport::new(ProbeOutcome::Success, ""));
    drop(listener);
    let closed = prober().probe("c", &target, 5 * SECOND).await;
    let expected = format!("dial tcp {address}: connect: connection refused");
    assert_eq!(closed, ProbeReport::new(ProbeOutcome::Failure, &expected));
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_its_deadline() {
    let (_listener, address) = listener().await;
    let http = http_target(Scheme::Http, address, "/x");
    let grpc = GrpcTarget {
        authority: authority(address),
        service: String::new(),
    };
    for (target, message) in [
        (
            ProbeTarget::Exec(vec!["sleep".into(), "9".into()]),
            "command \"sleep 9\" timed out".to_owned(),
        ),
        (
            ProbeTarget::Http(http.clone()),
            format!(
                "Get \"http://{address}/x\": context deadline exceeded (Client.Timeout exceeded \
                 while awaiting headers)"
            ),
        ),
        (
            ProbeTarget::Grpc(grpc),
            "timeout: health rpc did not complete within 3s".to_owned(),
        ),
    ] {
        let start = Instant::now();
        let report = prober().probe("c", &target, 3 * SECOND).await;
        assert_eq!(report, ProbeReport::new(ProbeOutcome::Failure, &message));
        assert!(start.elapsed() < 3 * SECOND + SECOND / 10, "{message}");
    }
}

async fn check_exec(
    answer: impl Fn() -> Result<ExecOutput, CriError> + Send + Sync + 'static,
    outcome: ProbeOutcome,
    message: &str,
    attempts: usize,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let script = Script(Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Some(answer())
    }));
    let target = ProbeTarget::Exec(vec!["cat".into(), "/x".into()]);
    let report = Prober::new(script).probe("c", &target, SECOND).await;
    assert_eq!(report, ProbeReport::new(outcome, message));
    assert_eq!(count.load(Ordering::Relaxed), attempts, "{message}");
}

#[tokio::test]
async fn exec() {
    use ProbeOutcome::{Failure, Success, Unknown};
    check_exec(|| exited(0, "fine", ""), Success, "fine", 1).await;
    check_exec(|| exited(1, "out\n", "err\n"), Failure, "out\nerr\n", 1).await;
    let call = || Call::new("ExecSync", "c");
    let late = move || {
        Err(CriError::DeadlineExceeded {
            call: call(),
            after: SECOND,
        })
    };
    check_exec(late, Failure, "command \"cat /x\" timed out", 1).await;
    let gone = move || {
        Err(CriError::NotFound {
            call: call(),
            message: "no c".into(),
        })
    };
    check_exec(gone, Unknown, "ExecSync c: not found: no c", 3).await;
    let long = "é".repeat(MAX_MESSAGE);
    let output = long.clone();
    let verbose = move || exited(0, &output, "");
    check_exec(verbose, Success, &long[..MAX_MESSAGE], 1).await;
}

struct FixedHealth(ServingStatus);

#[tonic::async_trait]
impl Health for FixedHealth {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        let agent = request.metadata().get("user-agent").unwrap();
        assert_eq!(agent, PROBE_AGENT);
        if request.get_ref().service == "unknown" {
            return Err(tonic::Status::not_found("unknown service"));
        }
        let status = self.0.into();
        Ok(tonic::Response::new(HealthCheckResponse { status }))
    }
}

type Answer =
    Pin<Box<dyn Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send>>;

async fn grpc_server(
    answer: impl Fn(Request<Incoming>) -> Answer + Clone + Send + 'static,
) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer.clone()))
                .await;
        }
    });
    address
}

async fn check_grpc(address: SocketAddr, service: &str, outcome: ProbeOutcome, message: &str) {
    let target = ProbeTarget::Grpc(GrpcTarget {
        authority: authority(address),
        service: service.into(),
    });
    let report = prober().probe("c", &target, 5 * SECOND).await;
    assert_eq!(report, ProbeReport::new(outcome, message));
}

#[tokio::test]
async fn grpc() {
    use ProbeOutcome::{Failure, Success};
    let health = |status| {
        grpc_server(move |request| {
            let mut server = HealthServer::new(FixedHealth(status));
            Box::pin(async move { server.call(request).await })
        })
    };
    let serving = health(ServingStatus::Serving).await;
    check_grpc(serving, "", Success, "service healthy").await;
    let message =
        "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service";
    check_grpc(serving, "unknown", Failure, message).await;
    let sick = health(ServingStatus::NotServing).await;
    let message = "service unhealthy (responded with \"NOT_SERVING\")";
    check_grpc(sick, "", Failure, message).await;
    let other = grpc_server(|_| {
        Box::pin(async { Ok(tonic::Status::unimplemented("unknown service").into_http()) })
    });
    let message = "error: this server does not implement the grpc health protocol \
                   (grpc.health.v1.Health): unknown service";
    check_grpc(other.await, "", Failure, message).await;
    let (closed, address) = listener().await;
    drop(closed);
    let message = format!(
        "error: failed to connect service at \"{address}\": dial tcp {address}: connect: \
         connection refused"
    );
    check_grpc(address, "", Failure, &message).await;
}

fn owner() -> HookOwner {
    HookOwner {
        pod: "web_default(1-2)".into(),
        container: "nginx".into(),
    }
}

async fn hook(script: Script, target: &HookTarget) -> Result<HookNote, HookError> {
    Prober::new(script)
        .hook("c", &owner(), target, 5 * SECOND)
        .await
}

#[tokio::test(start_paused = true)]
async fn exec_hooks() {
    let target = HookTarget::Exec(vec!["touch".into(), "/x".into()]);
    let done = hook(Script::says(0, "", ""), &target).await;
    assert_eq!(done, Ok(HookNote::Done));
    let failed = hook(Script::says(2, "o", "e"), &target).await.unwrap_err();
    assert!(!failed.timed_out());
    assert_eq!(
        failed.to_string(),
        "Exec lifecycle hook ([touch /x]) for Container \"nginx\" in Pod \"web_default(1-2)\" \
         failed - error: command 'touch /x' exited with 2: e, message: \"oe\""
    );
    let start = Instant::now();
    let hung = hook(Script::hangs(), &target).await.unwrap_err();
    assert!(hung.timed_out());
    assert!(start.elapsed() < 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn sleep_hooks() {
    let start = Instant::now();
    let slept = hook(Script::hangs(), &HookTarget::Sleep(4)).await;
    assert_eq!(slept, Ok(HookNote::Done));
    assert!(start.elapsed() >= 4 * SECOND);
    assert_eq!(
        hook(Script::hangs(), &HookTarget::Sleep(-4)).await,
        Ok(HookNote::Done)
    );
    let cut = hook(Script::hangs(), &HookTarget::Sleep(6))
        .await
        .unwrap_err();
    assert!(cut.timed_out());
    assert_eq!(
        cut.to_string(),
        "Sleep lifecycle hook (6) for Container \"nginx\" in Pod \"web_default(1-2)\" failed - \
         error: container terminated before sleep hook finished"
    );
}

#[tokio::test]
async fn http_hooks_take_any_answer_and_fall_back_to_plain_http() {
    let http = |scheme, address| HookTarget::Http {
        path: "/stop".into(),
        target: http_target(scheme, address, "/stop"),
    };
    let (sick, _seen) = scripted("HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n").await;
    let done = hook(Script::hangs(), &http(Scheme::Http, sick)).await;
    assert_eq!(done, Ok(HookNote::Done));
    let plain = plain_speaker().await;
    let message = format!(
        "request to HTTPS lifecycle hook {plain} got HTTP response, retry with HTTP succeeded"
    );
    let fell_back = hook(Script::hangs(), &http(Scheme::Https, plain)).await;
    assert_eq!(fell_back, Ok(HookNote::HttpFallback { message }));
    let (closed, address) = listener().await;
    drop(closed);
    let failed = hook(Script::hangs(), &http(Scheme::Http, address))
        .await
        .unwrap_err();
    assert_eq!(
        failed.to_string(),
        format!(
            "HTTP lifecycle hook (/stop) for Container \"nginx\" in Pod \"web_default(1-2)\" failed \
             - error: Get \"http://{address}/stop\": dial tcp {address}: connect: connection refused"
        )
    );
}

#[test]
fn owners_are_named_as_upstream_names_pods() {
    let mut pod = k8s_openapi::api::core::v1::Pod::default();
    pod.metadata.name = Some("web".into());
    pod.metadata.namespace = Some("default".into());
    pod.metadata.uid = Some("1-2".into());
    assert_eq!(HookOwner::new(&pod, "nginx"), owner());
}
