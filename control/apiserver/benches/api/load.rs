//! The load: connections over TLS that send one request after the other, and what that took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::target::Target;
use crate::{Make, share_of};

/// Connections at once.
pub const CONNECTIONS: usize = 32;

/// One request.
pub struct Work {
    method: &'static str,
    path: String,
    kind: &'static str,
    body: Bytes,
}

impl Work {
    pub fn new(method: &'static str, path: String, kind: &'static str, body: String) -> Self {
        let body = body.into();
        Self {
            method,
            path,
            kind,
            body,
        }
    }
}

/// What many requests took.
pub struct Measured {
    /// Requests a second.
    pub rate: f64,
    pub p99: Duration,
    /// Processors that this process used.
    pub own: f64,
    /// Processors that the server used.
    pub theirs: f64,
}

/// A connection.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub async fn open(target: &Target) -> Self {
        let dialled = Self::dial(target.address, &target.client).await;
        dialled.expect("a connection")
    }

    /// A connection, if somebody is there.
    pub async fn dial(address: SocketAddr, client: &Arc<ClientConfig>) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let connector = TlsConnector::from(Arc::clone(client));
        let name = "localhost".try_into().ok()?;
        let stream = connector.connect(name, stream).await.ok()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self(sender))
    }

    /// Sends a request.
    pub async fn ask(&mut self, work: &Work) -> hyper::Response<Incoming> {
        let request = Request::builder()
            .method(work.method)
            .uri(&work.path)
            .header("host", "localhost")
            .header("content-type", work.kind)
            .body(Full::new(work.body.clone()))
            .expect("a request");
        self.0.ready().await.expect("a connection");
        self.0.send_request(request).await.expect("an answer")
    }

    /// Sends a request and gives its answer as it comes.
    pub async fn stream(&mut self, work: &Work) -> Incoming {
        let response = self.ask(work).await;
        assert!(
            response.status().is_success(),
            "{} {}",
            work.path,
            response.status()
        );
        response.into_body()
    }

    /// Sends a request and gives the size of its answer.
    pub async fn send(&mut self, work: &Work) -> usize {
        let mut body = self.stream(work).await;
        let mut size = 0;
        while let Some(block) = next(&mut body).await {
            size += block.len();
        }
        size
    }

    /// Sends a request and reads its answer.
    pub async fn value(&mut self, work: &Work) -> Value {
        let body = self.stream(work).await.collect().await.expect("a body");
        serde_json::from_slice(&body.to_bytes()).expect("JSON")
    }
}

/// The next block of an answer.
pub async fn next(body: &mut Incoming) -> Option<Bytes> {
    let frame = body.frame().await?.expect("a body");
    frame.into_data().ok()
}

/// Has all requests sent.
pub async fn run(
    target: &Target,
    count: usize,
    make: impl Fn(usize) -> Work + Send + Sync + 'static,
) -> Measured {
    let make: Make = Arc::new(make);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(target).await);
    }
    let (begun, own, theirs) = (Instant::now(), own_time(), target.time());
    let mut senders = tokio::task::JoinSet::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        let make = Arc::clone(&make);
        senders.spawn(async move {
            let mut times = Vec::new();
            for number in share_of(count, number) {
                let work = make(number);
                let begun = Instant::now();
                connection.send(&work).await;
                times.push(begun.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Measured {
        rate: count as f64 / took,
        p99: times[times.len() * 99 / 100],
        own: (own_time() - own).as_secs_f64() / took,
        theirs: (target.time() - theirs).as_secs_f64() / took,
    }
}

/// The processor's time that this process has used.
pub fn own_time() -> Duration {
    crate::target::time_of("self")
}
