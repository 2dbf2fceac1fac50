//! HTTPS on 10257: health for anybody, metrics for those whom the server lets read them. Must not
//! know what is counted.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use keelson_client::cache::Key;
use keelson_client::metrics::{QueueMetrics, render};
use keelson_client::{Client, Queue};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::options::Options;

mod review;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once; more wait.
const CONNECTIONS: usize = 32;

/// Why the port is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken or not ours.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file of `--tls-cert-file` or `--tls-private-key-file` cannot be used.
    #[error("read {path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// No certificate could be made.
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit.
    #[error("certificate and key of the port: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the port tells of.
pub struct Board {
    queues: Mutex<Vec<Queue<Key>>>,
    leading: AtomicBool,
    reviewer: Client,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("leading", &self.leading)
            .finish_non_exhaustive()
    }
}

impl Board {
    /// Nothing runs yet. The client asks who may read metrics.
    #[must_use]
    pub fn new(reviewer: Client) -> Self {
        Self {
            queues: Mutex::new(Vec::new()),
            leading: AtomicBool::new(false),
            reviewer,
        }
    }

    /// A queue whose figures are shown.
    pub fn add_queue(&self, queue: Queue<Key>) {
        self.queues.lock().push(queue);
    }

    /// Whether this manager leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.store(leading, Ordering::Relaxed);
    }

    fn metrics(&self) -> String {
        let queues = self.queues.lock();
        let queues: Vec<_> = queues
            .iter()
            .map(|queue| queue as &dyn QueueMetrics)
            .collect();
        let leading = u8::from(self.leading.load(Ordering::Relaxed));
        format!(
            "# HELP leader_election_master_status Whether this one leads\n\
             # TYPE leader_election_master_status gauge\n\
             leader_election_master_status{{name=\"kube-controller-manager\"}} {leading}\n{}",
            render(&queues)
        )
    }

    async fn answer(&self, request: &Request<Incoming>, open: &[String]) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let is_open = |allowed: &String| allowed == path;
        if !open.iter().any(is_open) {
            let token = request.headers().get(AUTHORIZATION);
            let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
            if let Some(refusal) = review::refusal(&self.reviewer, token, path).await {
                return text(refusal.0, refusal.1);
            }
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed\n".into(),
            );
        }
        match path {
            "/healthz" | "/livez" | "/readyz" => text(StatusCode::OK, "ok".into()),
            "/metrics" => text(StatusCode::OK, self.metrics()),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".into()),
        }
    }
}

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// Opens the port, unless it is 0, and serves until the token is cancelled.
///
/// # Errors
/// The port or the certificate cannot be had.
pub async fn serve(
    options: &Options,
    board: Arc<Board>,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    if options.secure_port == 0 {
        return Ok(());
    }
    let address = SocketAddr::new(options.bind_address, options.secure_port);
    let tls = TlsAcceptor::from(Arc::new(tls(options)?));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
    let open: Arc<[String]> = options.authorization_always_allow_paths.clone().into();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let intake = async {
            loop {
                while connections.try_join_next().is_some() {}
                let Ok(permit) = room.clone().acquire_owned().await else {
                    return;
                };
                // A failed accept is the client's or a want of descriptors: others still count.
                if let Ok((stream, _)) = listener.accept().await {
                    let one = connection(stream, tls.clone(), board.clone(), open.clone());
                    connections.spawn(async move {
                        one.await;
                        drop(permit);
                    });
                }
            }
        };
        stop.run_until_cancelled(intake).await;
        connections.shutdown().await;
    });
    Ok(())
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, board: Arc<Board>, open: Arc<[String]>) {
    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (board, open) = (board.clone(), open.clone());
        async move { Ok::<_, Infallible>(board.answer(&request, &open).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!("a client of the port went: {error}");
    }
}

fn tls(options: &Options) -> Result<ServerConfig, ServeError> {
    let (chain, key) = match (&options.tls_cert_file, &options.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            let failed = |path: &PathBuf| {
                let path = path.clone();
                move |source| ServeError::File { path, source }
            };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(failed(certificate))?;
            (
                chain,
                PrivateKeyDer::from_pem_file(key).map_err(failed(key))?,
            )
        }
        _ => {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
            let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
            (vec![made.cert.der().clone()], key.into())
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(config)
}
