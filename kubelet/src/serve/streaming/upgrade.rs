//! The connection to the runtime's streaming server: opened, and turned into a byte stream by an
//! HTTP upgrade.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::resolve::{ResolveError, Resolver};

/// How long the runtime may take to accept a connection and to answer the upgrade.
const PATIENCE: Duration = Duration::from_secs(30);
/// A refusal's text is cut here.
const MAX_REFUSAL: usize = 64 * 1024;
/// Names the versions of the protocol that the client speaks, most wanted first.
pub(super) const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// A byte stream in either direction.
pub(super) type Pipe = TokioIo<Upgraded>;

/// The runtime's answer to an upgrade.
#[derive(Debug)]
pub(super) enum Answer {
    /// It switched protocols; these are its headers.
    Switched(HeaderMap, Pipe),
    /// It did not; this is what it said, for the client to read.
    Refused(Response<Bytes>),
}

/// Why the runtime gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    /// Only plain HTTP to a host and port is understood.
    #[error(
        "the container runtime's streaming URL {0:?} is not supported: it must be http://HOST:PORT/PATH (disable TLS streaming in the runtime's configuration)"
    )]
    Url(String),
    /// Its host has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nobody listens there.
    #[error("connecting to the container runtime's streaming server at {address}: {source}")]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
    /// It hung up, or does not speak HTTP.
    #[error("the container runtime's streaming server: {0}")]
    Http(#[from] hyper::Error),
    /// It did not answer.
    #[error("the container runtime's streaming server did not answer within {PATIENCE:?}")]
    TimedOut,
}

/// Where to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    host: String,
    port: u16,
    authority: HeaderValue,
    target: Uri,
}

impl Location {
    /// From the URL that the runtime gave for one request.
    pub(super) fn parse(url: &str) -> Result<Self, UpgradeError> {
        Self::try_parse(url).ok_or_else(|| UpgradeError::Url(url.to_owned()))
    }

    fn try_parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let authority = uri.authority()?;
        let host = authority.host().trim_matches(['[', ']']);
        Some(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).ok()?,
            target: uri.path_and_query()?.as_str().parse().ok()?,
        })
    }
}

/// An upgrade of our own: POST, to SPDY, speaking `protocol`.
pub(super) fn to_spdy(protocol: HeaderValue) -> (Method, HeaderMap) {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(STREAM_PROTOCOL, protocol);
    (Method::POST, headers)
}

/// Asks the runtime to switch protocols.
pub(super) async fn upgrade(
    location: &Location,
    method: Method,
    headers: HeaderMap,
) -> Result<Answer, UpgradeError> {
    timeout(PATIENCE, ask(location, method, headers))
        .await
        .unwrap_or(Err(UpgradeError::TimedOut))
}

async fn ask(
    location: &Location,
    method: Method,
    mut headers: HeaderMap,
) -> Result<Answer, UpgradeError> {
    let stream = connect(location).await?;
    headers.insert(HOST, location.authority.clone());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = location.target.clone();
    *request.headers_mut() = headers;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        receive(response).await
    };
    let connection = connection.with_upgrades();
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection is done once it is handed over, or the server has closed it.
        _ = &mut connection => exchange.await,
    }
}

async fn connect(location: &Location) -> Result<TcpStream, UpgradeError> {
    let mut failure = None;
    for ip in Resolver::default().lookup(&location.host).await? {
        let address = SocketAddr::new(ip, location.port);
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Keystrokes go out one by one.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => {
                failure.get_or_insert(UpgradeError::Connect { address, source });
            }
        }
    }
    Err(failure.unwrap_or_else(|| ResolveError::NotFound(location.host.clone()).into()))
}

async fn receive(mut response: Response<Incoming>) -> Result<Answer, UpgradeError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut response).await?;
        let (parts, _) = response.into_parts();
        return Ok(Answer::Switched(parts.headers, TokioIo::new(upgraded)));
    }
    let (parts, body) = response.into_parts();
    // What a refusal says is worth showing, but not worth failing for.
    let text = match Limited::new(body, MAX_REFUSAL).collect().await {
        Ok(text) => text.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Ok(Answer::Refused(Response::from_parts(parts, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let location = Location::parse("http://127.0.0.1:4321/exec/TOKEN?x=y").unwrap();
        assert_eq!((location.host.as_str(), location.port), ("127.0.0.1", 4321));
        assert_eq!(location.target, "/exec/TOKEN?x=y");
        let location = Location::parse("http://[::1]/attach/a").unwrap();
        assert_eq!((location.host.as_str(), location.port), ("::1", 80));
        assert_eq!(location.authority, "[::1]");
        for url in [
            "https://127.0.0.1:1/",
            "/exec/x",
            "unix:///x",
            "http://",
            "",
        ] {
            assert!(Location::parse(url).is_err(), "{url}");
        }
    }
}
