//! `httpGet`: one GET over one connection that is not kept, redirects followed while they stay on
//! the same host. No process, no spawned task: everything ends when the future is dropped.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::{ConnectError, Dialer};
use super::target::HttpTarget;
use super::url::{LocationError, Scheme, Url};
use super::{MAX_MESSAGE, ProbeOutcome, ProbeReport};

const MAX_REQUESTS: usize = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came is not HTTP.
    #[error("{0}")]
    Protocol(#[from] hyper::Error),
    /// The request can't be written.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// Redirected for ever.
    #[error("stopped after {MAX_REQUESTS} redirects")]
    TooManyRedirects,
    /// Redirected to nowhere.
    #[error("{0}")]
    Location(#[from] LocationError),
}

/// The last answer; its body is cut at [`MAX_MESSAGE`].
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// Runs the probe; the caller sets the deadline.
pub(super) async fn probe(dialer: &Dialer, target: &HttpTarget) -> ProbeReport {
    match get(dialer, target).await {
        Ok(reply) => judge(&reply),
        Err(error) => ProbeReport::new(ProbeOutcome::Failure, &format_failure(target, &error)),
    }
}

/// How `net/http` clients phrase a request that failed.
pub(super) fn format_failure(target: &HttpTarget, cause: &dyn std::fmt::Display) -> String {
    format!("Get {:?}: {cause}", target.url.to_string())
}

fn judge(reply: &Reply) -> ProbeReport {
    let body = String::from_utf8_lossy(&reply.body);
    match reply.status.as_u16() {
        200..300 => ProbeReport::new(ProbeOutcome::Success, &body),
        300..400 => ProbeReport::new(
            ProbeOutcome::Warning,
            &format!("Probe terminated redirects, Response body: {body}"),
        ),
        code => ProbeReport::new(
            ProbeOutcome::Failure,
            &format!("HTTP probe failed with statuscode: {code}"),
        ),
    }
}

/// Asks, and follows redirects to the same host; one to another host is itself the answer.
pub(super) async fn get(dialer: &Dialer, target: &HttpTarget) -> Result<Reply, HttpError> {
    let mut hop = target.clone();
    for _ in 0..MAX_REQUESTS {
        let (response, body) = exchange(dialer, &hop).await?;
        let Some(url) = redirect(&response, &hop.url)? else {
            return Ok(Reply {
                status: response.status(),
                body,
            });
        };
        if !url
            .authority
            .host
            .eq_ignore_ascii_case(&target.url.authority.host)
        {
            return Ok(Reply {
                status: response.status(),
                body,
            });
        }
        if url.authority != hop.url.authority {
            hop.host = None;
        }
        hop.url = url;
    }
    Err(HttpError::TooManyRedirects)
}

/// Where the answer sends the client; nowhere when it is no redirect or names no place.
fn redirect(response: &Response<()>, from: &Url) -> Result<Option<Url>, HttpError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    Ok(Some(from.join(&location)?))
}

async fn exchange(
    dialer: &Dialer,
    target: &HttpTarget,
) -> Result<(Response<()>, Vec<u8>), HttpError> {
    let request = request(target)?;
    let authority = &target.url.authority;
    match target.url.scheme {
        Scheme::Http => converse(dialer.tcp(authority).await?, request).await,
        Scheme::Https => converse(dialer.tls(authority).await?, request).await,
    }
}

fn request(target: &HttpTarget) -> Result<Request<Empty<Bytes>>, HttpError> {
    let mut request = Request::get(&target.url.request_target).body(Empty::new())?;
    let headers = request.headers_mut();
    let host = match &target.host {
        Some(host) => host.clone(),
        None => HeaderValue::try_from(target.url.authority.to_string())
            .map_err(hyper::http::Error::from)?,
    };
    headers.insert(HOST, host);
    headers.extend(target.headers.clone());
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn converse<Io>(
    io: Io,
    request: Request<Empty<Bytes>>,
) -> Result<(Response<()>, Vec<u8>), HttpError>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .handshake(TokioIo::new(io))
        .await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = read_at_most(body).await?;
        Ok((Response::from_parts(parts, ()), body))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection is done first when the server closes it: what was read is still there.
        _ = &mut connection => answer.await,
    }
}

async fn read_at_most(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < MAX_MESSAGE {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Ok(data) = frame?.into_data() {
            let room = MAX_MESSAGE - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(read)
}
