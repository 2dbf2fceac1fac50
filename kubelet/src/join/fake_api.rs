//! An apiserver for tests: real TLS and HTTP/2 on loopback, answers as a closure says, and
//! remembers what it was asked.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keelson_client::Client;
use keelson_client::kubeconfig::Config;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// The body; null if it is none or no JSON.
    pub body: Value,
    /// The client certificate in DER; empty if none was shown.
    pub certificate: Vec<u8>,
    headers: HeaderMap,
}

impl Seen {
    /// A header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The URL without its query.
    pub fn path(&self) -> &str {
        self.url.split('?').next().unwrap()
    }

    /// Method and path, for messages and comparisons.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path())
    }
}

/// An answer.
pub enum Reply {
    /// An object, or a `Status` that refuses.
    Json(u16, Value),
    /// Lines of JSON as they come, until the sender is dropped.
    Stream(mpsc::Receiver<Value>),
}

impl Reply {
    /// A `Status` with this code and reason.
    pub fn refusal(code: u16, reason: &str) -> Self {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": reason});
        Self::Json(code, status)
    }
}

/// The answer to a streaming list of these objects; what is sent later follows.
pub fn watch_of(objects: &[Value]) -> (mpsc::Sender<Value>, Reply) {
    let (sender, lines) = mpsc::channel(64);
    for object in objects {
        let added = json!({"type": "ADDED", "object": object});
        sender.try_send(added).unwrap();
    }
    let mark = json!({"resourceVersion": "100",
        "annotations": {"k8s.io/initial-events-end": "true"}});
    let mark = json!({"kind": "Object", "apiVersion": "v1", "metadata": mark});
    let mark = json!({"type": "BOOKMARK", "object": mark});
    sender.try_send(mark).unwrap();
    (sender, Reply::Stream(lines))
}

/// Who vouches for the server and its clients.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Arc::new(Self { pem, issuer })
    }

    /// Certificate and key of the node, made so long ago and good for so long from now.
    pub fn pair(&self, ago: Duration, left: Duration) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = named("system:node:n");
        let now = std::time::SystemTime::now();
        params.not_before = (now - ago).into();
        params.not_after = (now + left).into();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        certificate.pem() + &key.serialize_pem()
    }

    /// Signs a request for a certificate, good for that long.
    pub fn sign(&self, request: &str, good_for: Duration) -> String {
        sign(&self.issuer, request, good_for)
    }
}

/// The server; it ends when it is dropped.
pub struct FakeApi {
    /// Who vouches for it.
    pub authority: Arc<Authority>,
    place: TempDir,
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    count: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

type Answer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

impl FakeApi {
    /// Starts one that answers so.
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_by(Authority::new(), answer).await
    }

    /// The same under an authority that the answers may use.
    pub async fn start_by(
        authority: Arc<Authority>,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("ca.pem"), &authority.pem).unwrap();
        write_identity(&place, &authority.issuer, "server", "server");
        write_identity(&place, &authority.issuer, "client", "system:node:n");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (counter, count) = watch::channel(0);
        let served = Served {
            answer: Arc::new(answer),
            seen: seen.clone(),
            counter: Arc::new(counter),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor(&place), served));
        Self {
            authority,
            place,
            port,
            seen,
            count,
            _tasks: tasks,
        }
    }

    /// A kubeconfig for it, with a client certificate in files.
    pub fn kubeconfig(&self) -> PathBuf {
        let file = |name: &str| self.place.path().join(name).display().to_string();
        let user =
            json!({"client-certificate": file("client.pem"), "client-key": file("client.key")});
        self.write_kubeconfig("kubeconfig", &user)
    }

    /// A kubeconfig with another user.
    pub fn write_kubeconfig(&self, name: &str, user: &Value) -> PathBuf {
        let ca = self.place.path().join("ca.pem").display().to_string();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user}],
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority": ca,
            }}],
        });
        let path = self.place.path().join(name);
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&Config::from_file(&self.kubeconfig()).unwrap(), "kubelet").unwrap()
    }

    /// Everything it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Waits until something that it was asked is as wanted, and returns the first such request.
    pub async fn wait_for(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        self.wait_for_nth(0, wanted).await
    }

    /// The same for the request after so many others that are as wanted.
    pub async fn wait_for_nth(&self, nth: usize, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut count = self.count.clone();
        let is_there = || {
            let seen = self.seen.lock();
            let mut found = seen.iter().filter(|seen| wanted(seen));
            found.nth(nth).cloned()
        };
        let found = async {
            loop {
                count.mark_unchanged();
                if let Some(found) = is_there() {
                    return found;
                }
                count.changed().await.unwrap();
            }
        };
        let limit = Duration::from_secs(60);
        let found = tokio::time::timeout(limit, found).await;
        found.unwrap_or_else(|_| {
            let lines: Vec<_> = self.seen().iter().map(Seen::line).collect();
            panic!("it was not asked that, only {lines:#?}")
        })
    }
}

/// The key of a request for a certificate: a point of P-256, as rcgen makes them.
struct Point(Vec<u8>);

impl rcgen::PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Signs a request for a certificate with the name of the node.
fn sign(issuer: &Issuer<'_, KeyPair>, request: &str, good_for: Duration) -> String {
    let request = CertificateSigningRequestDer::from_pem_slice(request.as_bytes()).unwrap();
    let begin: &[u8] = &[0x03, 0x42, 0x00, 0x04];
    let mut windows = request.windows(begin.len());
    let at = windows.position(|window| window == begin).unwrap() + 3;
    let mut params = named("system:node:n");
    let now = std::time::SystemTime::now();
    params.not_before = (now - Duration::from_secs(1)).into();
    params.not_after = (now + good_for).into();
    let key = Point(request[at..at + 65].to_vec());
    params.signed_by(&key, issuer).unwrap().pem()
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let kind = rcgen::DnType::CommonName;
    params.distinguished_name.push(kind, common_name);
    params
}

fn write_identity(place: &TempDir, issuer: &Issuer<'_, KeyPair>, name: &str, common_name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate = named(common_name).signed_by(&key, issuer).unwrap();
    let path = |end| place.path().join(format!("{name}.{end}"));
    std::fs::write(path("pem"), certificate.pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
}

fn acceptor(place: &TempDir) -> TlsAcceptor {
    let path = |name| place.path().join(name);
    let certificates = |name| -> Vec<CertificateDer<'static>> {
        let found = CertificateDer::pem_file_iter(path(name)).unwrap();
        found.map(Result::unwrap).collect()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates("ca.pem"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated();
    let key = PrivateKeyDer::from_pem_file(path("server.key")).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(certificates("server.pem"), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[derive(Clone)]
struct Served {
    answer: Answer,
    seen: Arc<Mutex<Vec<Seen>>>,
    counter: Arc<watch::Sender<usize>>,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, served: Served) {
    let mut open = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (acceptor, served) = (acceptor.clone(), served.clone());
        open.spawn(async move {
            let Ok(stream) = acceptor.accept(tcp).await else {
                return;
            };
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.map_or_else(Vec::new, |chain| chain[0].to_vec());
            let service = service_fn(move |request| serve(request, shown.clone(), served.clone()));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

type ReplyBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn serve(
    request: Request<Incoming>,
    certificate: Vec<u8>,
    served: Served,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = Seen {
        method: head.method.to_string(),
        url: head.uri.path_and_query().unwrap().to_string(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        certificate,
        headers: head.headers,
    };
    let reply = (served.answer)(&seen);
    served.seen.lock().push(seen);
    served.counter.send_modify(|count| *count += 1);
    let (code, body) = match reply {
        Reply::Json(code, value) => {
            let body = http_body_util::Full::new(Bytes::from(value.to_string()));
            (code, body.boxed_unsync())
        }
        Reply::Stream(lines) => {
            let lines = futures_util::stream::unfold(lines, |mut lines| async {
                let line: Value = lines.recv().await?;
                Some((Bytes::from(format!("{line}\n")), lines))
            });
            let frames = lines.map(|line| Ok(Frame::data(line)));
            (200, BodyExt::boxed_unsync(StreamBody::new(frames)))
        }
    };
    Ok(Response::builder().status(code).body(body).unwrap())
}
