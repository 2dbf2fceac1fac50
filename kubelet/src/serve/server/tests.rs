//! Servers on loopback and on a unix socket, asked by a real client.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1 as client;
use hyper::{Method, Response};
use keelson_cri::{Client, Deadlines, Endpoint};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::serve::access::Access;
use crate::serve::handle::Offer;
use crate::serve::streaming::Streaming;
use crate::serve::tls::policy::TlsPolicy;
use crate::serve::tls::{TlsFiles, self_signed};
use crate::serve::unix;
use crate::serve::view::fake::FakeNode;
use crate::stats::Collector;
use crate::stats::collector::Sources;
use crate::stats::volumes::Volumes;

struct Node {
    place: TempDir,
    view: Arc<FakeNode>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// A certificate authority with one signed client.
struct Authority {
    file: PathBuf,
    identity: (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
}

fn authority(place: &Path, name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = place.join(format!("{name}.crt"));
    std::fs::write(&file, certificate.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ann");
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    Authority {
        file,
        identity: (vec![signed.der().clone()], key),
    }
}

impl Node {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("0.log");
        std::fs::write(&log, "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
        Self {
            view: Arc::new(FakeNode::new(log)),
            place,
            shutdown: CancellationToken::new(),
            tasks: Vec::new(),
        }
    }

    fn services(&self, offer: Offer) -> Arc<Services> {
        let socket = format!("unix://{}", self.place.path().join("cri.sock").display());
        let endpoint: Endpoint = socket.parse().unwrap();
        let cri = Client::new(&endpoint, Deadlines::default());
        let stats = Collector::new(Sources {
            view: self.view.clone(),
            cri: cri.clone(),
            cgroups: None,
            node_name: "node-1".into(),
            root: self.place.path().to_owned(),
            pod_logs: self.place.path().to_owned(),
            volumes: Arc::new(Volumes::new(self.place.path(), None)),
        });
        Arc::new(Services {
            view: self.view.clone(),
            streaming: Streaming::new(cri.clone(), Duration::from_secs(60)),
            cri,
            stats: Arc::new(stats),
            access: Arc::new(Access::closed()),
            offer: Offer {
                log_directory: self.place.path().to_owned(),
                ..offer
            },
        })
    }

    fn open(&mut self, listener: Listener, offer: Offer) {
        let served = serve(listener, self.services(offer), self.shutdown.clone());
        self.tasks.push(tokio::spawn(served));
    }

    async fn open_tcp(
        &mut self,
        door: impl FnOnce(TcpListener) -> Listener,
        offer: Offer,
    ) -> SocketAddr {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.open(door(listener), offer);
        address
    }

    async fn open_tls(&mut self, client_ca: Option<PathBuf>) -> (SocketAddr, TlsFiles) {
        let pki = self.place.path().join("pki");
        let address = "127.0.0.1".parse().unwrap();
        let files = self_signed::ensure(&pki, "node-1", &[address], client_ca).unwrap();
        let tls = ReloadingTls::open(files.clone(), TlsPolicy::default()).unwrap();
        let door = |listener| Listener::Secure(listener, Arc::new(tls));
        (self.open_tcp(door, Offer::default()).await, files)
    }

    async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn send<S>(stream: S, method: Method, path: &str) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", "node-1").body(Empty::<Bytes>::new());
    sender.send_request(request.unwrap()).await.unwrap()
}

async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    read(send(stream, Method::GET, path).await).await
}

async fn get_tls(
    address: SocketAddr,
    trusted: &Path,
    identity: Option<&Authority>,
    path: &str,
) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Authority {
            identity: (chain, key),
            ..
        }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .unwrap(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    read(send(stream, Method::GET, path).await).await
}

#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let mut node = Node::new();
    let ours = authority(node.place.path(), "ours");
    let theirs = authority(node.place.path(), "theirs");
    let (address, files) = node.open_tls(Some(ours.file.clone())).await;
    let trusted = &files.certificate;
    let (status, pods) = get_tls(address, trusted, Some(&ours), "/pods").await;
    assert_eq!(status, 200);
    assert!(pods.contains(r#""name":"web""#), "{pods}");
    let unauthorized = (401, "Unauthorized".to_owned());
    assert_eq!(get_tls(address, trusted, None, "/pods").await, unauthorized);
    assert_eq!(
        get_tls(address, trusted, None, "/nothing").await,
        unauthorized
    );
    assert_eq!(
        get_tls(address, trusted, Some(&theirs), "/pods").await,
        unauthorized
    );
    let health = get_tls(address, trusted, None, "/healthz").await;
    assert_eq!(health, unauthorized, "it is told on its own port");
    let healthy = (200, "ok".to_owned());
    let health = get_tls(address, trusted, Some(&ours), "/healthz").await;
    assert_eq!(health, healthy);
    let hidden = get_tls(address, trusted, Some(&ours), "/status").await;
    assert_eq!(hidden, (404, "404: Page Not Found".into()));
    node.stop().await;
}

#[tokio::test]
async fn changed_certificates_are_taken_and_broken_ones_are_not() {
    let mut node = Node::new();
    // Who is turned away has shaken hands all the same.
    let (address, files) = node.open_tls(None).await;
    let first = node.place.path().join("first.crt");
    std::fs::copy(&files.certificate, &first).unwrap();
    assert_eq!(get_tls(address, &first, None, "/healthz").await.0, 401);
    std::fs::write(&files.certificate, "nonsense").unwrap();
    assert_eq!(get_tls(address, &first, None, "/healthz").await.0, 401);
    let pki = node.place.path().join("pki");
    self_signed::ensure(&pki, "node-2", &["127.0.0.1".parse().unwrap()], None).unwrap();
    assert_eq!(
        get_tls(address, &files.certificate, None, "/healthz")
            .await
            .0,
        401
    );
    node.stop().await;
}

#[tokio::test]
async fn the_health_port_tells_health_alone() {
    let mut node = Node::new();
    let address = node.open_tcp(Listener::Health, Offer::default()).await;
    assert_eq!(get(address, "/healthz").await, (200, "ok".into()));
    assert_eq!(get(address, "/pods").await.0, 404);
    *node.view.stale.lock() = Some("the pod loop has not turned for 5m".into());
    let (status, report) = get(address, "/healthz").await;
    assert_eq!(status, 500);
    assert!(report.contains("[-]syncloop failed"), "{report}");
    node.stop().await;
}

#[tokio::test]
async fn the_read_only_port_shows_little() {
    let mut node = Node::new();
    let address = node.open_tcp(Listener::ReadOnly, Offer::default()).await;
    for (path, status) in [
        ("/pods", 200),
        ("/metrics", 200),
        ("/metrics/probes", 200),
        ("/healthz", 200),
        ("/runningpods/", 404),
        ("/containerLogs/default/web/app", 404),
        ("/configz", 404),
        ("/why?pod=web", 404),
    ] {
        assert_eq!(get(address, path).await.0, status, "{path}");
    }
    let (_, page) = get(address, "/metrics").await;
    for line in [
        "kubelet_running_pods 1",
        "kubelet_desired_pods{static=\"true\"} 1",
        "kubelet_running_containers{container_state=\"running\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
    node.stop().await;
}

async fn local(path: &Path, method: Method, request: &str) -> Response<Incoming> {
    let stream = UnixStream::connect(path).await.unwrap();
    send(stream, method, request).await
}

async fn with_socket(offer: Offer) -> (Node, PathBuf) {
    let mut node = Node::new();
    let path = node.place.path().join("run/kubelet.sock");
    let listener = unix::listen(&path).unwrap();
    node.open(Listener::Local(listener), offer);
    (node, path)
}

const ROUTES: &[(Method, &str, u16, &str)] = &[
    (
        Method::GET,
        "/stats/summary?only_cpu_and_memory=true",
        200,
        "\"nodeName\":\"node-1\"",
    ),
    (Method::GET, "/stats/summary", 500, "cri.sock"),
    (
        Method::GET,
        "/metrics/resource",
        200,
        "container_start_time_seconds{container=\"app\",pod=\"web\",namespace=\"default\"} 1767225600",
    ),
    (Method::GET, "/runningpods/", 200, "\"web\""),
    (
        Method::GET,
        "/configz",
        200,
        r#"{"kubeletconfig":{"maxPods":110}}"#,
    ),
    (Method::GET, "/logs/", 200, "<a href=\"0.log\">"),
    (Method::GET, "/logs/0.log", 200, "hello"),
    (Method::GET, "/logs/..%2f..%2fetc%2fpasswd", 404, ""),
    (
        Method::GET,
        "/status",
        200,
        "default    late  0/1    Pending",
    ),
    (
        Method::GET,
        "/status?output=json",
        200,
        r#""waitsFor":"container app: ImagePullBackOff""#,
    ),
    (
        Method::GET,
        "/why?pod=late",
        200,
        "container app: ImagePullBackOff",
    ),
    (
        Method::GET,
        "/why?pod=late&output=json",
        200,
        r#""phase":"Pending""#,
    ),
    (
        Method::GET,
        "/why?pod=none",
        404,
        "default/none is not on this node",
    ),
    (Method::GET, "/why", 400, "parameter pod is missing"),
    (
        Method::POST,
        "/checkpoint/default/web/app",
        501,
        "not supported",
    ),
    (Method::GET, "/debug/pprof/heap", 501, "not supported"),
    (
        Method::GET,
        "/containerLogs/default/web/app?timestamps=1",
        200,
        "2026-01-01T00:00:00.000000000Z hello\n",
    ),
    (
        Method::GET,
        "/containerLogs/default/none/app",
        404,
        "pod \"none\" does not exist",
    ),
    (
        Method::GET,
        "/containerLogs/default/web/x",
        404,
        "container \"x\" not found in pod \"web\"",
    ),
    (
        Method::GET,
        "/containerLogs/default/late/app",
        400,
        "waiting to start: trying and failing to pull image",
    ),
    (
        Method::GET,
        "/containerLogs/default/web/app?tailLines=-1",
        422,
        "Invalid request.",
    ),
    (Method::POST, "/pods", 405, "Method Not Allowed"),
    (Method::GET, "/nothing", 404, "404: Page Not Found"),
];

#[tokio::test]
async fn every_route_answers_the_administrator() {
    let (node, socket) = with_socket(Offer::default()).await;
    for (method, path, status, part) in ROUTES {
        let (got, body) = read(local(&socket, method.clone(), path).await).await;
        assert_eq!(got, *status, "{path}: {body}");
        assert!(body.contains(part), "{path}: {body}");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_turned_off_says_so() {
    let mut node = Node::new();
    let off = Offer {
        debugging: false,
        ..Offer::default()
    };
    let ca = authority(node.place.path(), "ours");
    let pki = node.place.path().join("pki");
    let loopback = "127.0.0.1".parse().unwrap();
    let files = self_signed::ensure(&pki, "n", &[loopback], Some(ca.file.clone())).unwrap();
    let tls = Arc::new(ReloadingTls::open(files.clone(), TlsPolicy::default()).unwrap());
    let address = node.open_tcp(|l| Listener::Secure(l, tls), off).await;
    for (path, status, text) in [
        (
            "/containerLogs/default/web/app",
            405,
            "Debug endpoints are disabled.\n",
        ),
        (
            "/exec/default/web/app",
            405,
            "Debug endpoints are disabled.\n",
        ),
        ("/logs/", 405, "Debug endpoints are disabled.\n"),
        ("/configz", 404, "404: Page Not Found"),
    ] {
        let seen = get_tls(address, &files.certificate, Some(&ca), path).await;
        assert_eq!(seen, (status, text.into()), "{path}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_followed_log_arrives_as_it_is_written_and_ends_with_the_container() {
    let (node, socket) = with_socket(Offer::default()).await;
    let path = "/containerLogs/default/web/app?follow=true";
    let mut body = local(&socket, Method::GET, path).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "hello\n");
    let mut log = std::fs::File::options()
        .append(true)
        .open(&node.view.log)
        .unwrap();
    log.write_all(b"2026-01-01T00:00:01Z stderr F more\n")
        .unwrap();
    let second = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(second, "more\n");
    node.view.running.send_replace(false);
    assert!(body.frame().await.is_none());
    node.stop().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_idle_connections() {
    let mut node = Node::new();
    let address = node.open_tcp(Listener::Health, Offer::default()).await;
    let idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(get(address, "/healthz").await.0, 200);
    let stopped = timeout(DRAIN + Duration::from_secs(8), node.stop());
    stopped.await.expect("servers stop within the drain");
    drop(idle);
}
