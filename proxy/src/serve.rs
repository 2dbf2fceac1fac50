//! HTTP: health on 10256, metrics on 10249, and the health-check node ports of load balancers.
//! Knows the shape of the answers; what is healthy is told by the one who syncs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::model::ServiceKey;
use crate::model::rule_set::HealthCheck;

const HEADER_PATIENCE: Duration = Duration::from_secs(10);

/// What the servers tell of.
#[derive(Debug)]
pub struct Board {
    /// Counts and times.
    pub metrics: Mutex<Metrics>,
    health: Mutex<Health>,
    services: Mutex<BTreeMap<u16, (ServiceKey, usize)>>,
    mode: &'static str,
    config: String,
}

#[derive(Debug)]
struct Health {
    patience: Duration,
    waiting_since: Option<Instant>,
    updated: Option<Timestamp>,
    leaving: bool,
}

/// An answer.
pub type Answer = Response<Full<Bytes>>;

impl Board {
    /// A proxy that has not synced yet. A change that waits for longer than `patience` is a sign
    /// of bad health. `mode` is what /proxyMode and `config` what /configz shows.
    #[must_use]
    pub fn new(patience: Duration, mode: &'static str, config: String) -> Self {
        Self {
            metrics: Mutex::default(),
            health: Mutex::new(Health {
                patience,
                waiting_since: None,
                updated: None,
                leaving: false,
            }),
            services: Mutex::default(),
            mode,
            config,
        }
    }

    /// A change waits.
    pub fn queued(&self, now: Instant) {
        self.health.lock().waiting_since.get_or_insert(now);
    }

    /// All changes are in the rules.
    pub fn synced(&self, at: Timestamp) {
        let mut health = self.health.lock();
        health.waiting_since = None;
        health.updated = Some(at);
    }

    /// Whether load balancers should leave this node.
    pub fn set_leaving(&self, leaving: bool) {
        self.health.lock().leaving = leaving;
    }

    fn is_live(&self, now: Instant) -> bool {
        let health = self.health.lock();
        let waits = health.waiting_since.map(|since| now.duration_since(since));
        waits.is_none_or(|time| time < health.patience)
    }

    fn health(&self, with_node: bool, now: Instant, clock: Timestamp) -> Answer {
        let live = self.is_live(now);
        let health = self.health.lock();
        let well = live && !(with_node && health.leaving);
        let code = if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let mut metrics = self.metrics.lock();
        let counts = if with_node {
            &mut metrics.healthz
        } else {
            &mut metrics.livez
        };
        *counts.entry(code.as_u16()).or_default() += 1;
        let updated = if live { Some(clock) } else { health.updated };
        let mut body = json!({
            "lastUpdated": updated.map(|at| at.to_string()),
            "currentTime": clock.to_string(),
        });
        if with_node {
            body["nodeEligible"] = json!(!health.leaving);
        }
        answer(code, "application/json", body.to_string())
    }

    /// The answer of the health server.
    #[must_use]
    pub fn health_server(&self, path: &str) -> Answer {
        match path {
            "/healthz" => self.health(true, Instant::now(), Timestamp::now()),
            "/livez" => self.health(false, Instant::now(), Timestamp::now()),
            _ => not_found(),
        }
    }

    /// The answer of the metrics server.
    #[must_use]
    pub fn metrics_server(&self, path: &str) -> Answer {
        match path {
            "/metrics" => plain(200, self.metrics.lock().text()),
            "/healthz" => plain(200, "ok".into()),
            "/proxyMode" => plain(200, self.mode.into()),
            "/configz" => answer(StatusCode::OK, "application/json", self.config.clone()),
            _ => not_found(),
        }
    }

    /// The answer of a health-check node port.
    #[must_use]
    pub fn service_server(&self, port: u16) -> Answer {
        let Some((key, endpoints)) = self.services.lock().get(&port).cloned() else {
            return not_found();
        };
        let live = self.is_live(Instant::now());
        let code = if live && endpoints > 0 {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let body = json!({
            "service": {"namespace": key.namespace(), "name": key.name()},
            "localEndpoints": endpoints,
            "serviceProxyHealthy": live,
        });
        let mut response = answer(code, "application/json", body.to_string());
        let headers = response.headers_mut();
        headers.insert(
            "X-Content-Type-Options",
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(
            "X-Load-Balancing-Endpoint-Weight",
            HeaderValue::from(endpoints),
        );
        response
    }
}

fn answer(code: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// There is no such path.
#[must_use]
pub fn not_found() -> Answer {
    plain(404, "404 page not found\n".into())
}

/// An answer of plain text.
#[must_use]
pub fn plain(code: u16, text: String) -> Answer {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(code, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// Answers by path.
pub type Handler = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

/// Serves until the token is cancelled; connections end with it.
pub async fn serve(listener: TcpListener, handler: Handler, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // A failed accept is the client's or a want of descriptors: others still count.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(TokioIo::new(stream), handler.clone()));
                }
            }
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TokioIo<tokio::net::TcpStream>, handler: Handler) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = handler(request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .serve_connection(stream, service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a client of the health or metrics server went: {error}");
    }
}

/// The health-check node ports, each with a server of its own.
#[derive(Debug, Default)]
pub struct ServicePorts {
    running: BTreeMap<u16, (CancellationToken, JoinSet<()>)>,
}

impl ServicePorts {
    /// Opens and closes ports so that these are open. A port that is taken is told and tried again
    /// at the next call.
    pub async fn update(
        &mut self,
        board: &Arc<Board>,
        wanted: BTreeMap<u16, (ServiceKey, HealthCheck)>,
    ) {
        let gone = self
            .running
            .extract_if(.., |port, _| !wanted.contains_key(port));
        for (_, (stop, mut tasks)) in gone {
            stop.cancel();
            while tasks.join_next().await.is_some() {}
        }
        *board.services.lock() = wanted
            .iter()
            .map(|(port, (key, check))| (*port, (key.clone(), check.local_endpoints)))
            .collect();
        for (port, (key, _)) in wanted {
            if self.running.contains_key(&port) {
                continue;
            }
            let any = SocketAddr::new(IpAddr::from([0_u16; 8]), port);
            let bound = match TcpListener::bind(any).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind(SocketAddr::new([0; 4].into(), port)).await,
            };
            match bound {
                Ok(listener) => self.open(board, port, listener),
                Err(error) => tracing::warn!("health check port {port} of {key}: {error}"),
            }
        }
    }

    fn open(&mut self, board: &Arc<Board>, port: u16, listener: TcpListener) {
        let stop = CancellationToken::new();
        let board = board.clone();
        let handler: Handler = Arc::new(move |_| board.service_server(port));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, handler, stop.clone()));
        self.running.insert(port, (stop, tasks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(Duration::from_secs(60), "nftables", "{}".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_waits_too_long_is_unhealthy() {
        let board = board();
        let code = |path| board.health_server(path).status().as_u16();
        assert_eq!(
            (code("/healthz"), code("/livez"), code("/x")),
            (200, 200, 404)
        );
        board.queued(Instant::now());
        tokio::time::advance(Duration::from_secs(59)).await;
        board.queued(Instant::now());
        assert_eq!(code("/healthz"), 200);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((code("/healthz"), code("/livez")), (503, 503));
        board.synced(Timestamp::UNIX_EPOCH);
        assert_eq!(code("/healthz"), 200);
        board.set_leaving(true);
        assert_eq!((code("/healthz"), code("/livez")), (503, 200));
        let metrics = board.metrics.lock();
        assert_eq!((metrics.healthz[&503], metrics.livez[&503]), (2, 1));
    }

    #[tokio::test]
    async fn health_check_ports_open_tell_and_close() {
        let board = Arc::new(board());
        let mut ports = ServicePorts::default();
        let free = TcpListener::bind("[::]:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let wanted = |local_endpoints| {
            let check = HealthCheck {
                port,
                local_endpoints,
            };
            BTreeMap::from([(port, (ServiceKey::new("ns", "lb"), check))])
        };
        ports.update(&board, wanted(2)).await;
        assert!(get(port).await.starts_with("HTTP/1.1 200 OK"));
        assert!(
            get(port)
                .await
                .contains("x-load-balancing-endpoint-weight: 2")
        );
        ports.update(&board, wanted(0)).await;
        assert!(get(port).await.starts_with("HTTP/1.1 503"));
        ports.update(&board, BTreeMap::new()).await;
        assert!(
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
        );
    }

    async fn get(port: u16) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}
