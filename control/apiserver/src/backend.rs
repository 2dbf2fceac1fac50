//! Requests passed on: to kubelets over TLS with this server's own certificate, to pods and
//! services as their scheme asks. Upgraded connections are passed through as bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use keelson_api::status_error::Reason;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::failure::{Failure, Outcome};
use crate::server::tls::{Files, Reloading, TlsError, certificates, roots};

/// How long a backend may take to be reached.
const DIAL: Duration = Duration::from_secs(10);
/// Headers that are about one connection only, or that are this server's business.
const NOT_PASSED: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

/// The way to backends.
pub(crate) struct Backends {
    kubelets: Reloading<KubeletFiles, Arc<ClientConfig>>,
    anyone: Arc<ClientConfig>,
    streams: TaskTracker,
    stopping: CancellationToken,
}

/// The files of the connection to kubelets.
#[derive(Clone, Debug, Default)]
pub(crate) struct KubeletFiles {
    /// `--kubelet-client-certificate` and `--kubelet-client-key`.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// `--kubelet-certificate-authority`; without it any certificate is taken, as upstream does.
    pub(crate) authority: Option<PathBuf>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With its query.
    pub(crate) path: String,
}

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    /// TLS with anybody.
    Https,
    /// TLS with a kubelet.
    Kubelet,
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Backends {
    /// Reads the files.
    pub(crate) fn open(files: KubeletFiles, stopping: CancellationToken) -> Result<Self, TlsError> {
        Ok(Self {
            kubelets: Reloading::open(files)?,
            anyone: Arc::new(client_config(&KubeletFiles::default())?),
            streams: TaskTracker::new(),
            stopping,
        })
    }

    /// Waits until every stream has ended.
    pub(crate) async fn drained(&self) {
        self.streams.close();
        self.streams.wait().await;
    }

    /// Passes a request on and its answer back.
    pub(crate) async fn relay(
        &self,
        target: &Target,
        mut request: Request<Incoming>,
    ) -> Outcome<Response<Body>> {
        let stream = timeout(DIAL, self.dial(target)).await;
        let stream = stream.map_err(|_| unreachable(target, "no answer in time"))??;
        let broken = |error: hyper::Error| unreachable(target, &error.to_string());
        let upgrade = request.headers().contains_key(header::UPGRADE);
        let headers = passed(request.headers(), upgrade);
        let client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let method = request.method().clone();
        let body = if upgrade {
            Empty::<Bytes>::new()
                .map_err(|never| match never {})
                .boxed()
        } else {
            request.into_body().boxed()
        };
        let mut outgoing = Request::new(body);
        *outgoing.method_mut() = method;
        *outgoing.uri_mut() = target
            .path
            .parse()
            .map_err(|_| Failure::bad_request("the path cannot be passed on"))?;
        *outgoing.headers_mut() = headers;
        if let Ok(host) = format!("{}:{}", target.host, target.port).parse() {
            outgoing.headers_mut().insert(header::HOST, host);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        self.keep(async move {
            // Its end is seen by whoever reads the answer.
            let _ = connection.with_upgrades().await;
        });
        let response = sender.send_request(outgoing).await.map_err(broken)?;
        Ok(match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.join(client, response)
            }
            _ => answer(response),
        })
    }

    /// Lets both sides of an upgrade talk.
    fn join(
        &self,
        client: hyper::upgrade::OnUpgrade,
        mut response: Response<Incoming>,
    ) -> Response<Body> {
        let backend = hyper::upgrade::on(&mut response);
        self.keep(async move {
            let Ok((client, backend)) = tokio::try_join!(client, backend) else {
                return;
            };
            let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
            // Either side may hang up at any time.
            let _ = copy_bidirectional(&mut client, &mut backend).await;
        });
        let (head, _) = response.into_parts();
        Response::from_parts(head, Body::empty())
    }

    fn keep(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.streams.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stopping.cancelled() => {}
            }
        });
    }

    async fn dial(&self, target: &Target) -> Outcome<Box<dyn Connection>> {
        let failed = |error: std::io::Error| unreachable(target, &error.to_string());
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(failed)?;
        let config = match target.scheme {
            Scheme::Http => return Ok(Box::new(stream)),
            Scheme::Https => Arc::clone(&self.anyone),
            Scheme::Kubelet => self.kubelets.current(),
        };
        let name = ServerName::try_from(target.host.clone())
            .map_err(|error| unreachable(target, &error.to_string()))?;
        let connector = TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }
}

fn unreachable(target: &Target, why: &str) -> Failure {
    let Target { host, port, .. } = target;
    let message = format!("error trying to reach service: dial tcp {host}:{port}: {why}");
    Failure::new(Reason::ServiceUnavailable, message)
}

fn answer(response: Response<Incoming>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    head.headers.remove(header::CONNECTION);
    head.headers.remove(header::TRANSFER_ENCODING);
    Response::from_parts(head, Body::Relayed(body))
}

/// Headers by which this server was told who calls.
fn is_about_the_caller(name: &str) -> bool {
    name.starts_with("impersonate-") || name.starts_with("x-remote-")
}

/// The headers that a backend gets.
fn passed(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut passed = headers.clone();
    for name in &NOT_PASSED {
        passed.remove(name);
    }
    if !upgrade {
        passed.remove(header::CONNECTION);
        passed.remove(header::UPGRADE);
    }
    let acting: Vec<HeaderName> = passed
        .keys()
        .filter(|name| is_about_the_caller(name.as_str()))
        .cloned()
        .collect();
    for name in acting {
        passed.remove(name);
    }
    passed
}

impl Files<Arc<ClientConfig>> for KubeletFiles {
    fn paths(&self) -> Vec<&Path> {
        let identity = self
            .identity
            .iter()
            .flat_map(|(certificate, key)| [certificate, key]);
        identity
            .chain(&self.authority)
            .map(PathBuf::as_path)
            .collect()
    }

    fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        client_config(self).map(Arc::new)
    }
}

fn client_config(files: &KubeletFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    let builder = match &files.authority {
        Some(path) => builder.with_root_certificates(roots(&[path])?),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    };
    let Some((certificate, key)) = &files.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        what: "a private key",
        path: key.clone(),
        source,
    })?;
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|source| TlsError::Pair {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        })
}

/// Takes any certificate whose owner has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_here() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "impersonate-user",
            "x-remote-user",
            "host",
            "accept",
            "upgrade",
            "connection",
        ] {
            headers.insert(name, "x".parse().unwrap());
        }
        let names = |upgrade| {
            let passed = passed(&headers, upgrade);
            let mut names: Vec<String> = passed.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(false), ["accept"]);
        assert_eq!(names(true), ["accept", "connection", "upgrade"]);
    }
}
