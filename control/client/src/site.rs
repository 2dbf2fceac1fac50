//! HTTPS for a program's health and figures, as on ports 10257 and 10259: some paths for anybody,
//! the others for whom the cluster knows and lets read them ([`gate`]). Must not know what a page
//! says.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub mod authority;
pub mod gate;
pub mod tls;

pub use authority::Authority;
pub use gate::Gate;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once; more wait.
const CONNECTIONS: usize = 32;

/// Why a site is not served.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The port is taken or not ours.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// There is no certificate to show.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// Where a site is, and what it shows first.
#[derive(Clone, Debug)]
pub struct Place {
    /// Address and port.
    pub address: SocketAddr,
    /// The certificate chain and its key, PEM files; one is made if there are none.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Says what is at a path: a status and a text. Nothing where there is no page.
pub type Pages = Box<dyn Fn(&str) -> Option<(StatusCode, String)> + Send + Sync>;

struct Site {
    gate: Gate,
    pages: Pages,
    tls: TlsAcceptor,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

/// Opens the port and serves until the token is cancelled. Says where.
///
/// # Errors
/// The port or the certificate cannot be had.
pub async fn open(
    place: Place,
    gate: Gate,
    pages: Pages,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Result<SocketAddr, SiteError> {
    let tls = tls::acceptor(place.certificate.as_ref())?;
    let address = place.address;
    let failed = |source| SiteError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let opened = listener.local_addr().map_err(failed)?;
    let site = Arc::new(Site { gate, pages, tls });
    tasks.spawn(serve(listener, site, stop));
    Ok(opened)
}

async fn serve(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if room => {
                // A failed accept is the client's or a want of descriptors: others still count.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, site.clone()));
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let Ok(Ok(stream)) = timeout(PATIENCE, site.tls.accept(stream)).await else {
        return;
    };
    let shown = stream.get_ref().1.peer_certificates();
    let shown: Arc<[CertificateDer<'static>]> = shown.unwrap_or_default().to_vec().into();
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, shown) = (site.clone(), shown.clone());
        async move { Ok::<_, Infallible>(site.answer(&request, &shown).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!("a client of the port went: {error}");
    }
}

impl Site {
    async fn answer(
        &self,
        request: &Request<Incoming>,
        shown: &[CertificateDer<'_>],
    ) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let proof = request.headers().get(AUTHORIZATION);
        let proof = proof.and_then(|value| value.to_str().ok());
        let admitted = self.gate.admit(shown, proof, request.method(), path).await;
        if let Err(refused) = admitted {
            return text(refused.status(), format!("{refused}\n"));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let refusal = "only GET is understood here\n";
            return text(StatusCode::METHOD_NOT_ALLOWED, refusal.to_owned());
        }
        match (self.pages)(path) {
            Some((code, page)) => text(code, page),
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }
}

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    let kind = match body.starts_with('{') {
        true => HeaderValue::from_static("application/json"),
        false => HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
