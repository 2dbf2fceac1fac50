//! The one table from what can go wrong before a stream stands to HTTP responses. Pure.

use bytes::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::{Response, StatusCode};
use keelson_cri::CriError;
use tonic::Code;

use super::options::OptionsError;
use super::upgrade::UpgradeError;
use super::websocket::HandshakeError;
use crate::serve::body::{self, Body};
use crate::serve::view::TargetError;

pub(super) fn options_error(error: &OptionsError) -> Response<Body> {
    body::text(StatusCode::BAD_REQUEST, error.to_string())
}

/// The pod's own texts, with the codes upstream has for them.
pub(super) fn target_error(error: &TargetError) -> Response<Body> {
    let status = match error {
        TargetError::NoPod { .. } | TargetError::NoContainer { .. } => StatusCode::NOT_FOUND,
        TargetError::NotRunning { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    body::text(status, error.to_string())
}

pub(super) fn runtime_error(error: &CriError) -> Response<Body> {
    let status = match error {
        CriError::NotFound { .. } => StatusCode::NOT_FOUND,
        CriError::Other {
            code: Code::ResourceExhausted,
            ..
        } => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = body::text(status, error.to_string());
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = HeaderValue::from_static("5");
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

pub(super) fn upgrade_error(error: &UpgradeError) -> Response<Body> {
    body::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub(super) fn handshake_error(error: &HandshakeError) -> Response<Body> {
    let status = match error {
        HandshakeError::Protocol { .. } => StatusCode::FORBIDDEN,
        HandshakeError::NoKey | HandshakeError::Version => StatusCode::BAD_REQUEST,
    };
    body::text(status, error.to_string())
}

pub(super) fn upgrade_required() -> Response<Body> {
    body::text(StatusCode::BAD_REQUEST, "Upgrade request required")
}

/// What the runtime said instead of switching protocols, as it said it.
pub(super) fn refusal(refused: Response<Bytes>) -> Response<Body> {
    let mut response = refused.map(body::full);
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use keelson_cri::error::Call;

    #[test]
    fn runtime_errors() {
        let call = || Call::new("Exec", "c");
        let other = |code| CriError::Other {
            call: call(),
            code,
            message: "x".into(),
        };
        let missing = CriError::NotFound {
            call: call(),
            message: "x".into(),
        };
        for (error, status, retry) in [
            (missing, 404, None),
            (other(Code::ResourceExhausted), 429, Some("5")),
            (other(Code::Unknown), 500, None),
        ] {
            let response = runtime_error(&error);
            assert_eq!(response.status(), status, "{error}");
            let after = response.headers().get(RETRY_AFTER);
            assert_eq!(after.map(|value| value.to_str().unwrap()), retry);
        }
    }
}
