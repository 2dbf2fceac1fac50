//! Listening and connections: plain, TLS and unix. HTTP/1.1 with upgrades.
//!
//! Guarantees: at most [`MAX_CONNECTIONS`] connections at once on each door; every connection
//! belongs to its server, ends when its client is silent for [`IDLE`] between requests, and has
//! [`DRAIN`] to finish after shutdown began.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::{Door, Services};
use super::measure::Measured;
use super::tls::ReloadingTls;
use super::unix::is_trusted;

/// Connections served at once on one door.
pub const MAX_CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request, and may stay silent between two.
pub const IDLE: Duration = Duration::from_secs(90);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may go on after shutdown began.
pub const DRAIN: Duration = Duration::from_secs(2);
/// The longest head of a request.
const MAX_HEAD: usize = 64 * 1024;
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
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ListenError { address, source })
}

/// One open door.
pub enum Listener {
    /// Port 10250.
    Secure(TcpListener, Arc<ReloadingTls>),
    /// `readOnlyPort`.
    ReadOnly(TcpListener),
    /// Port 10248.
    Health(TcpListener),
    /// The administrator's socket.
    Local(UnixListener),
}

/// Serves one door until `shutdown`, then waits for its connections, but not for long.
pub async fn serve(listener: Listener, services: Arc<Services>, shutdown: CancellationToken) {
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
        let connection = match next {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(OUT_OF_FILES).await;
                continue;
            }
        };
        let (services, shutdown) = (Arc::clone(&services), shutdown.clone());
        connections.spawn(async move {
            let _place = place;
            connection.run(services, shutdown).await;
        });
    }
    connections.close();
    // What is not done by then is dropped with the runtime.
    let _ = timeout(DRAIN, connections.wait()).await;
}

enum Connection {
    Tls(TcpStream, Arc<ReloadingTls>),
    Plain(TcpStream, Door),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Secure(listener, tls) => {
                Ok(Connection::Tls(listener.accept().await?.0, Arc::clone(tls)))
            }
            Self::ReadOnly(listener) => Ok(Connection::Plain(
                listener.accept().await?.0,
                Door::ReadOnly,
            )),
            Self::Health(listener) => {
                Ok(Connection::Plain(listener.accept().await?.0, Door::Health))
            }
            Self::Local(listener) => Ok(Connection::Unix(listener.accept().await?.0)),
        }
    }
}

impl Connection {
    async fn run(self, services: Arc<Services>, shutdown: CancellationToken) {
        match self {
            Self::Tls(stream, tls) => {
                let setup = tls.current();
                let acceptor = TlsAcceptor::from(Arc::clone(&setup.config));
                // A client that cannot shake hands is its own problem.
                let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                    return;
                };
                let credentials = setup.credentials(stream.get_ref().1.peer_certificates());
                converse(stream, Door::Secure(credentials), services, shutdown).await;
            }
            Self::Plain(stream, door) => converse(stream, door, services, shutdown).await,
            Self::Unix(stream) if is_trusted(&stream) => {
                converse(stream, Door::Local, services, shutdown).await;
            }
            Self::Unix(_) => {}
        }
    }
}

/// Serves the requests of one connection.
async fn converse<S>(stream: S, door: Door, services: Arc<Services>, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (services, door) = (Arc::clone(&services), door.clone());
        async move {
            let measured = Measured::start(&door, &request);
            let response = services.answer(&door, request).await;
            measured.finish();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // Errors of a connection are its client's: it went away or spoke nonsense.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(DRAIN, connection).await;
}

#[cfg(test)]
mod tests;
