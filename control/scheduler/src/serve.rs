//! HTTPS on 10259: health for anybody; figures for whom the apiserver knows and lets read them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub mod caller;
pub mod tls;

use caller::Callers;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once, at most.
const CONNECTIONS: usize = 64;

/// What is served.
pub struct Site {
    /// Whether all is well.
    pub healthy: Box<dyn Fn() -> bool + Send + Sync>,
    /// The figures.
    pub figures: Box<dyn Fn() -> String + Send + Sync>,
    /// Who may read them.
    pub callers: Callers,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

type Answer = Response<Full<Bytes>>;

fn answer(code: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

impl Site {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if matches!(path, "/healthz" | "/livez" | "/readyz") {
            return match (self.healthy)() {
                true => answer(StatusCode::OK, "ok"),
                false => answer(StatusCode::INTERNAL_SERVER_ERROR, "not healthy"),
            };
        }
        let token = request.headers().get(AUTHORIZATION);
        let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let verb = request.method().as_str().to_lowercase();
        match self.callers.admit(token, &verb, path).await {
            caller::Verdict::Unknown => answer(StatusCode::UNAUTHORIZED, "Unauthorized"),
            caller::Verdict::Forbidden => answer(StatusCode::FORBIDDEN, "Forbidden"),
            caller::Verdict::Admitted if request.method() != Method::GET => {
                answer(StatusCode::METHOD_NOT_ALLOWED, "only GET")
            }
            caller::Verdict::Admitted if path == "/metrics" => {
                answer(StatusCode::OK, (self.figures)())
            }
            caller::Verdict::Admitted => answer(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

/// Serves until the token is cancelled; connections end with it.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    site: Arc<Site>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < CONNECTIONS;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if room => {
                // A failed accept is the client's or a want of descriptors: others still count.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, tls.clone(), site.clone()));
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, site: Arc<Site>) {
    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else {
        return tracing::debug!("a client did not speak TLS");
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a client went: {error}");
    }
}
