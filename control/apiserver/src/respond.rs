//! Replies: objects, lists, errors; encoded as the client asked, packed if it may be.

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::body::Body;
use crate::failure::Failure;

mod gzip;
pub(crate) mod negotiate;

pub(crate) use negotiate::Output;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache, private");
/// Bodies from this size on are packed.
const WORTH_PACKING: usize = 128 * 1024;

/// What a handler answers with.
pub(crate) struct Reply {
    pub(crate) code: StatusCode,
    pub(crate) body: Body,
    /// About how large the body is, where that is known.
    pub(crate) size: usize,
    /// What the caller should know: `Warning` headers.
    pub(crate) warnings: Vec<String>,
    content_type: HeaderValue,
}

impl Reply {
    /// JSON that is there already.
    pub(crate) fn json(code: StatusCode, json: impl Into<Bytes>) -> Self {
        let json = json.into();
        Self {
            code,
            size: json.len(),
            body: Body::whole(json),
            warnings: Vec::new(),
            content_type: JSON,
        }
    }

    /// JSON made on the way.
    pub(crate) fn stream(body: Body, size: usize) -> Self {
        Self {
            code: StatusCode::OK,
            size,
            body,
            warnings: Vec::new(),
            content_type: JSON,
        }
    }

    /// A tree.
    pub(crate) fn value(code: StatusCode, value: &Value) -> Self {
        Self::json(code, serde_json::to_vec(value).unwrap_or_default())
    }

    /// Plain text.
    pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Self {
        Self {
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
            ..Self::json(code, text)
        }
    }

    /// The same with another content type.
    pub(crate) fn typed(self, content_type: &str) -> Self {
        Self {
            content_type: HeaderValue::from_str(content_type).unwrap_or(JSON),
            ..self
        }
    }

    /// The same with warnings.
    pub(crate) fn warning(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// A failure.
    pub(crate) fn failure(failure: &Failure) -> Self {
        let code = StatusCode::from_u16(failure.code());
        let json = serde_json::to_vec(failure.status()).unwrap_or_default();
        Self::json(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), json)
    }

    /// The response, packed if the client takes that and it is worth it.
    pub(crate) fn into_response(self, request: &HeaderMap) -> Response<Body> {
        self.respond(takes_gzip(request))
    }

    /// The response; packed if it may be and it is worth it.
    pub(crate) fn respond(self, may_pack: bool) -> Response<Body> {
        let packed = self.size >= WORTH_PACKING && may_pack;
        let body = if packed {
            gzip::pack(self.body)
        } else {
            self.body
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.content_type);
        headers.insert(header::CACHE_CONTROL, NO_CACHE);
        if packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        for warning in &self.warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                headers.append(header::WARNING, value);
            }
        }
        response
    }
}

/// The response to a failure, with what the protocol wants beside it.
pub(crate) fn refuse(failure: &Failure) -> Response<Body> {
    let mut response = Reply::failure(failure).respond(false);
    if let Some(seconds) = failure.retry_after() {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn takes_gzip(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT_ENCODING);
    let accepted = accepted
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted.split(',').any(|one| {
        let mut parts = one.split(';');
        let refused = |part: &str| matches!(part.trim(), "q=0" | "q=0.0");
        parts.next().is_some_and(|name| name.trim() == "gzip") && !parts.any(refused)
    })
}

/// A header's text; empty if it is not there.
pub(crate) fn header_text(headers: &HeaderMap, name: impl Into<HeaderName>) -> &str {
    let value = headers
        .get(name.into())
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
