//! One plain HTTP/1.1 request over a connection of its own.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a web server may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Nobody listens, or the network drops it.
    #[error("connect: {0}")]
    Connect(std::io::Error),
    /// The talk broke off.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It took too long.
    #[error("nothing within {} s", DEADLINE.as_secs())]
    Slow,
}

/// The body of the answer to `GET /`.
///
/// # Errors
/// When nobody answers in time.
pub async fn get(address: SocketAddr) -> Result<String, WebError> {
    let request = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(WebError::Connect)?;
        let (_, body) = exchange(stream, Request::new(Empty::new())).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    timeout(DEADLINE, request)
        .await
        .unwrap_or(Err(WebError::Slow))
}

/// Sends `request` on `stream` and gathers the answer.
///
/// # Errors
/// When the connection breaks or what comes is not HTTP.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), hyper::Error> {
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("localhost"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It ends once all bytes are in: what is left is to take them.
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    }
}
