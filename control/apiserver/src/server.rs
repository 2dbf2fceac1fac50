//! Listening and connections: TLS, HTTP/1.1 and HTTP/2 on one port, upgrades passed through.
//!
//! Guarantees: at most [`MAX_CONNECTIONS`] at once; a handshake and a request's head have a
//! deadline; every connection belongs to the server and has until the end of the drain to finish.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;

pub(crate) mod tls;

use tls::{Peer, ReloadingTls};

/// Connections served at once.
const MAX_CONNECTIONS: usize = 8192;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(32);
/// The longest head of a request.
const MAX_HEAD: u32 = 64 * 1024;
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 250;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take.
const PING: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(15);
/// How long to wait when the process has no file descriptor left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens for TCP connections.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ListenError { address, source })
}

/// Who answers requests.
pub(crate) trait Answer: Send + Sync + 'static {
    /// Answers one request of a peer.
    fn answer(
        self: Arc<Self>,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves until `shutdown`, then gives connections `drain` to finish.
pub(crate) async fn serve<A: Answer>(
    listener: TcpListener,
    tls: Arc<ReloadingTls>,
    answer: Arc<A>,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            break;
        };
        let next = tokio::select! {
            () = shutdown.cancelled() => break,
            next = listener.accept() => next,
        };
        let (stream, address) = match next {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        let connection = Connection {
            stream,
            address,
            tls: Arc::clone(&tls),
            answer: Arc::clone(&answer),
        };
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let _place = place;
            connection.run(shutdown, drain).await;
        });
    }
    connections.close();
    // What is not done by then is dropped with the runtime.
    let _ = timeout(drain, connections.wait()).await;
}

struct Connection<A> {
    stream: TcpStream,
    address: SocketAddr,
    tls: Arc<ReloadingTls>,
    answer: Arc<A>,
}

impl<A: Answer> Connection<A> {
    async fn run(self, shutdown: CancellationToken, drain: Duration) {
        let Self {
            stream,
            address,
            tls,
            answer,
        } = self;
        prepare(&stream);
        let setup = tls.current();
        let acceptor = TlsAcceptor::from(Arc::clone(&setup.config));
        // A client that cannot shake hands is its own problem.
        let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
            return;
        };
        let peer = Arc::new(Peer::new(address, setup, stream.get_ref().1));
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, peer) = (Arc::clone(&answer), Arc::clone(&peer));
            async move { Ok::<_, Infallible>(answer.answer(peer, request).await) }
        });
        let builder = builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // Errors of a connection are its client's: it went away or spoke nonsense.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = timeout(drain, connection).await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_ANSWER);
    builder
}

/// Small answers leave at once, and a peer that vanished is noticed.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = rustix::fd::AsFd::as_fd(stream);
    let _ = rustix::net::sockopt::set_socket_keepalive(socket, true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(socket, PING);
    let _ = rustix::net::sockopt::set_tcp_keepintvl(socket, PING_ANSWER);
}
