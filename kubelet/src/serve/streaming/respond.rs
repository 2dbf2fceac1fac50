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

/// Why a request leads to no stream. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// The query makes no sense.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Plain HTTP, where only an upgrade makes sense.
    #[error("Upgrade request required")]
    NoUpgrade,
    /// A WebSocket that can't be opened.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// No such pod or container, or it does not run.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The runtime gave no URL, or did not run the command.
    #[error(transparent)]
    Runtime(Box<CriError>),
    /// The command ended with another exit code than zero.
    #[error("command '{line}' exited with {code}: {stderr}")]
    ExitCode {
        line: String,
        code: i32,
        stderr: String,
    },
    /// The runtime's streaming server can't be reached.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// It answered, but did not switch protocols.
    #[error("the container runtime's streaming server answered {}", .0.status())]
    Refused(Box<Response<Bytes>>),
}

impl From<CriError> for StreamError {
    fn from(error: CriError) -> Self {
        Self::Runtime(Box::new(error))
    }
}

/// Tells the client, with the codes that upstream has.
pub(super) fn respond(error: StreamError) -> Response<Body> {
    let error = match error {
        StreamError::Refused(refused) => return refusal(*refused),
        other => other,
    };
    let status = status(&error);
    let mut response = body::text(status, error.to_string());
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = HeaderValue::from_static("5");
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

fn status(error: &StreamError) -> StatusCode {
    match error {
        StreamError::Options(_)
        | StreamError::NoUpgrade
        | StreamError::Handshake(HandshakeError::NoKey | HandshakeError::Version) => {
            StatusCode::BAD_REQUEST
        }
        StreamError::Handshake(HandshakeError::Protocol { .. }) => StatusCode::FORBIDDEN,
        StreamError::Target(TargetError::NoPod { .. } | TargetError::NoContainer { .. }) => {
            StatusCode::NOT_FOUND
        }
        StreamError::Runtime(error) => runtime_status(error),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn runtime_status(error: &CriError) -> StatusCode {
    match error {
        CriError::NotFound { .. } => StatusCode::NOT_FOUND,
        CriError::Other {
            code: Code::ResourceExhausted,
            ..
        } => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What the runtime said instead of switching protocols, as it said it.
fn refusal(refused: Response<Bytes>) -> Response<Body> {
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
            let response = respond(error.into());
            assert_eq!(response.status(), status);
            let after = response.headers().get(RETRY_AFTER);
            assert_eq!(after.map(|value| value.to_str().unwrap()), retry);
        }
    }

    #[test]
    fn targets() {
        let pod = || "web".to_owned();
        for (error, status) in [
            (TargetError::NoPod { pod: pod() }, 404),
            (
                TargetError::NotRunning {
                    container: "nginx".into(),
                    pod: pod(),
                },
                500,
            ),
        ] {
            assert_eq!(respond(error.into()).status(), status);
        }
    }
}
