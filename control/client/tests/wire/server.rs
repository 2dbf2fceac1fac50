//! An HTTPS server that answers as a closure says, and asks for client certificates.

#![expect(
    clippy::unwrap_used,
    reason = "what fails in a test server fails the test"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A CA with certificates for the server and for clients, in a folder.
pub struct Certificates {
    /// Where the files are.
    pub folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Certificates {
    /// A fresh CA, a server's certificate and one for `client`.
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let certificates = Self {
            folder,
            issuer: rcgen::Issuer::new(params, key),
        };
        certificates.issue("server");
        certificates.issue("client");
        certificates
    }

    /// Writes a new certificate and key under this name.
    pub fn issue(&self, name: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = self.folder.path();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn acceptor(&self) -> TlsAcceptor {
        let folder = self.folder.path();
        let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
            let found = CertificateDer::pem_file_iter(folder.join(name)).unwrap();
            found.map(Result::unwrap).collect()
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.pem"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(certificates("server.pem"), key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A request as it arrived.
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// The version of HTTP.
    pub version: String,
    /// The body.
    pub body: Bytes,
    /// What tells the client's certificate from others.
    pub certificate: String,
    headers: hyper::HeaderMap,
}

impl Seen {
    /// A header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer. Without a body the answer never comes.
pub struct Reply {
    code: u16,
    header: Option<(&'static str, &'static str)>,
    body: Option<String>,
}

impl Reply {
    /// An object.
    pub fn json(code: u16, body: &Value) -> Self {
        Self {
            code,
            header: None,
            body: Some(body.to_string()),
        }
    }

    /// Text, and then the end.
    pub fn text(body: &str) -> Self {
        Self {
            code: 200,
            header: None,
            body: Some(body.to_owned()),
        }
    }

    /// No answer.
    pub fn never() -> Self {
        Self {
            code: 0,
            header: None,
            body: None,
        }
    }

    /// The same with a header.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

/// The server; it ends when it is dropped.
pub struct TestServer {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl TestServer {
    /// Starts it.
    pub async fn start(
        certificates: &Certificates,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, answer) = (certificates.acceptor(), Arc::new(answer));
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let count = connections.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                let count = count.clone();
                open.spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
                    let shown = format!("{:x?}", Sha256::digest(&shown));
                    let service =
                        service_fn(move |request| serve(request, shown.clone(), answer.clone()));
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self {
            port,
            connections,
            _tasks: tasks,
        }
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    request: Request<Incoming>,
    certificate: String,
    answer: Arc<impl Fn(&Seen) -> Reply>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let seen = Seen {
        method: head.method.to_string(),
        url: head.uri.path_and_query().unwrap().to_string(),
        version: format!("{:?}", head.version),
        body: body.collect().await.unwrap().to_bytes(),
        certificate,
        headers: head.headers,
    };
    let reply = answer(&seen);
    let Some(body) = reply.body else {
        return std::future::pending().await;
    };
    let mut response = Response::builder().status(reply.code);
    if let Some((name, value)) = reply.header {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body.into())).unwrap())
}
