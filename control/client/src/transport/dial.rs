//! Opens one connection: TCP, TLS, HTTP/2 or HTTP/1.1 as agreed. Must not know about pools.

use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::RequestBody;
use crate::kubeconfig::Server;

const CONNECT_LIMIT: Duration = Duration::from_secs(30);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A silent connection is pinged after this time ...
const PING_AFTER: Duration = Duration::from_secs(30);
/// ... and given up when the ping is not answered for this long.
const PING_LIMIT: Duration = Duration::from_secs(15);
/// What one stream may have on its way to us, in bytes. Small: lists come in pages.
const STREAM_WINDOW: u32 = 256 << 10;
/// What one connection may have on its way to us, in bytes.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// A fresh connection.
pub(super) enum Dialed {
    /// Carries many requests at once.
    H2(http2::SendRequest<RequestBody>),
    /// Carries one after the other.
    H1(http1::SendRequest<RequestBody>),
}

/// Host and port as URLs have them.
pub(super) fn authority(server: &Server) -> String {
    if server.host.contains(':') {
        format!("[{}]:{}", server.host, server.port)
    } else {
        format!("{}:{}", server.host, server.port)
    }
}

/// Connects; the error is a sentence about the step that failed.
pub(super) async fn dial(
    server: &Server,
    name: Option<&str>,
    tls: Arc<ClientConfig>,
) -> Result<Dialed, String> {
    let tcp = TcpStream::connect((server.host.as_str(), server.port));
    let tcp = timeout(CONNECT_LIMIT, tcp)
        .await
        .map_err(|_| "no answer to the connection attempt".to_owned())?
        .map_err(|error| error.to_string())?;
    keep_alive(&tcp).map_err(|error| format!("cannot set socket options: {error}"))?;
    if !server.https {
        return http1(tcp).await;
    }
    let name = ServerName::try_from(name.unwrap_or(&server.host).to_owned())
        .map_err(|error| format!("the server's name cannot be checked: {error}"))?;
    let stream = timeout(HANDSHAKE_LIMIT, TlsConnector::from(tls).connect(name, tcp))
        .await
        .map_err(|_| "TLS handshake takes too long".to_owned())?
        .map_err(|error| format!("TLS handshake: {error}"))?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return http2(stream).await;
    }
    http1(stream).await
}

/// HTTP/1.1 has no pings: the kernel asks instead.
fn keep_alive(tcp: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, PING_AFTER)?;
    sockopt::set_tcp_keepintvl(tcp, PING_LIMIT / 3)?;
    sockopt::set_tcp_keepcnt(tcp, 3)?;
    Ok(())
}

async fn http1(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Dialed, String> {
    let (sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|error| format!("HTTP/1.1: {error}"))?;
    tokio::spawn(async move {
        // Whoever has a request on it hears of the error.
        let _ = connection.await;
    });
    Ok(Dialed::H1(sender))
}

async fn http2(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Dialed, String> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(io))
        .await
        .map_err(|error| format!("HTTP/2: {error}"))?;
    tokio::spawn(async move {
        // Whoever has a request on it hears of the error.
        let _ = connection.await;
    });
    Ok(Dialed::H2(sender))
}
