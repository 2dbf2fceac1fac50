//! What can go wrong with a call to the runtime: always the RPC, the object, and what to do.
//!
//! One table, [`CriError::from_status`], maps gRPC statuses to kinds. It must not retry or log.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tonic::{Code, Status};

/// Which RPC, about which object. Shown as `StartContainer 3f2a` or `ListImages`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The RPC's name in the protocol, such as `RunPodSandbox`.
    pub rpc: &'static str,
    /// The object: an id, an image, `namespace/name` of a pod; empty where there is none.
    pub object: String,
}

impl Call {
    /// A call about `object`.
    #[must_use]
    pub fn new(rpc: &'static str, object: impl Into<String>) -> Self {
        Self {
            rpc,
            object: object.into(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rpc)?;
        if self.object.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.object)
    }
}

/// Why the runtime could not be reached. The text says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No such file.
    #[error("there is no socket; start the container runtime or set containerRuntimeEndpoint")]
    SocketMissing,
    /// The file is there and nobody listens.
    #[error("nobody listens on it; start the container runtime")]
    Refused,
    /// The socket's permissions keep us out.
    #[error("permission denied; run as root or change the socket's owner")]
    Denied,
    /// The connection ended during the call, which may or may not have been carried out.
    #[error("the connection broke ({0}); the runtime may be restarting")]
    Broken(String),
    /// The runtime answered that it can't serve yet.
    #[error("it is not ready: {0}")]
    NotReady(String),
}

/// Why an image could not be pulled, as far as the runtime lets us tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullFailure {
    /// The registry has no such image, tag or digest.
    NotFound,
    /// The registry wants other credentials, or some.
    Unauthorized,
    /// The registry can't be reached.
    RegistryUnavailable,
    /// A signature policy rejects the image.
    SignatureInvalid,
    /// The reference is malformed.
    InvalidName,
    /// Anything else: the message is all there is.
    Other,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CriError {
    /// The endpoint in the configuration is not one we can use.
    #[error("container runtime endpoint {endpoint:?}: {reason}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong and what would be right.
        reason: &'static str,
    },
    /// No connection, or it broke.
    #[error("{call}: container runtime at {}: {cause}", socket.display())]
    Unavailable {
        /// The call.
        call: Call,
        /// The socket.
        socket: PathBuf,
        /// Why.
        cause: Unreachable,
    },
    /// No answer in time. The runtime may still carry the request out.
    #[error("{call}: no answer within {after:?}")]
    DeadlineExceeded {
        /// The call.
        call: Call,
        /// The deadline.
        after: Duration,
    },
    /// The object does not exist.
    #[error("{call}: not found: {message}")]
    NotFound {
        /// The call.
        call: Call,
        /// The runtime's words.
        message: String,
    },
    /// The object's name is taken, perhaps by our own earlier attempt.
    #[error("{call}: already exists: {message}")]
    AlreadyExists {
        /// The call.
        call: Call,
        /// The id that holds the name, where the runtime says it.
        holder: Option<String>,
        /// The runtime's words.
        message: String,
    },
    /// The runtime does not know this RPC or field.
    #[error("{call}: the container runtime does not support it: {message}")]
    Unimplemented {
        /// The call.
        call: Call,
        /// The runtime's words.
        message: String,
    },
    /// An image could not be pulled.
    #[error("pulling image {image:?}: {message}")]
    ImagePull {
        /// The image asked for.
        image: String,
        /// The kind of failure.
        failure: PullFailure,
        /// The runtime's words.
        message: String,
    },
    /// The runtime's answer makes no sense.
    #[error("{call}: the container runtime's answer is invalid: {detail}")]
    BadReply {
        /// The call.
        call: Call,
        /// What is missing or malformed.
        detail: String,
    },
    /// Any other refusal.
    #[error("{call}: {message} ({code:?})")]
    Other {
        /// The call.
        call: Call,
        /// gRPC's code.
        code: Code,
        /// The runtime's words.
        message: String,
    },
}

impl CriError {
    /// The table from gRPC statuses to kinds.
    pub(crate) fn from_status(call: Call, socket: PathBuf, status: &Status) -> Self {
        if let Some(cause) = unreachable(status) {
            return Self::Unavailable {
                call,
                socket,
                cause,
            };
        }
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound { call, message },
            Code::AlreadyExists => Self::AlreadyExists {
                call,
                holder: name_holder(&message),
                message,
            },
            Code::Unimplemented => Self::Unimplemented { call, message },
            code => match name_holder(&message) {
                Some(holder) => Self::AlreadyExists {
                    call,
                    holder: Some(holder),
                    message,
                },
                None => Self::Other {
                    call,
                    code,
                    message,
                },
            },
        }
    }

    /// As [`Self::from_status`], for a pull: what the registry said is a failure of the pull.
    pub(crate) fn from_pull_status(call: Call, socket: PathBuf, status: &Status) -> Self {
        if let Some(cause) = unreachable(status).filter(|c| !matches!(c, Unreachable::NotReady(_)))
        {
            return Self::Unavailable {
                call,
                socket,
                cause,
            };
        }
        if status.code() == Code::Unimplemented {
            return Self::from_status(call, socket, status);
        }
        Self::ImagePull {
            image: call.object,
            failure: pull_failure(status),
            message: status.message().to_owned(),
        }
    }

    /// The runtime can't be reached; nothing is known about any object.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The object is gone: for a stop or a removal, that is success.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The name is taken.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. })
    }

    /// The runtime lacks this RPC.
    #[must_use]
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Unimplemented { .. })
    }

    /// The request may have been carried out all the same: look before trying again.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Self::DeadlineExceeded { .. }
                | Self::Unavailable {
                    cause: Unreachable::Broken(_),
                    ..
                }
        )
    }
}

/// Why the status comes from a missing or broken connection; `None` if a runtime refused.
///
/// A status that this process made out of a transport error has a source, one that a server sent
/// has none.
fn unreachable(status: &Status) -> Option<Unreachable> {
    let Some(source) = StdError::source(status) else {
        return (status.code() == Code::Unavailable)
            .then(|| Unreachable::NotReady(status.message().to_owned()));
    };
    Some(match connect_error_kind(source) {
        Some(io::ErrorKind::NotFound) => Unreachable::SocketMissing,
        Some(io::ErrorKind::ConnectionRefused) => Unreachable::Refused,
        Some(io::ErrorKind::PermissionDenied) => Unreachable::Denied,
        _ => Unreachable::Broken(innermost(source)),
    })
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn connect_error_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    chain(error).find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()))
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

/// The id that holds a name. containerd reports a taken name with the code `Unknown`, so its text
/// (`name "x" is reserved for "id"`) is the only sign there is.
fn name_holder(message: &str) -> Option<String> {
    let (_, rest) = message.split_once(" is reserved for \"")?;
    let (holder, _) = rest.split_once('"')?;
    Some(holder.to_owned())
}

/// The failure by its code, and where containerd gives none, by what the registry client says.
fn pull_failure(status: &Status) -> PullFailure {
    match status.code() {
        Code::NotFound => return PullFailure::NotFound,
        Code::Unauthenticated | Code::PermissionDenied => return PullFailure::Unauthorized,
        Code::Unavailable => return PullFailure::RegistryUnavailable,
        Code::InvalidArgument => return PullFailure::InvalidName,
        _ => {}
    }
    let message = status.message();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["SignatureValidationFailed"]) {
        PullFailure::SignatureInvalid
    } else if says(&[
        "401 Unauthorized",
        "403 Forbidden",
        "insufficient_scope",
        "authorization failed",
    ]) {
        PullFailure::Unauthorized
    } else if says(&[
        "RegistryUnavailable",
        "no such host",
        "connection refused",
        "i/o timeout",
        "network is unreachable",
    ]) {
        PullFailure::RegistryUnavailable
    } else if says(&["not found"]) {
        PullFailure::NotFound
    } else {
        PullFailure::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn call() -> Call {
        Call::new("StartContainer", "c1")
    }

    fn local(code: Code, source: impl StdError + Send + Sync + 'static) -> Status {
        let mut status = Status::new(code, "transport error");
        status.set_source(Arc::new(source));
        status
    }

    fn check(status: &Status, expected: &str, ambiguous: bool) {
        let error = CriError::from_status(call(), "/run/x.sock".into(), status);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is_ambiguous(), ambiguous, "{error}");
    }

    #[test]
    fn statuses_become_kinds_with_the_object_and_the_cure() {
        let refused = |kind| local(Code::Unavailable, io::Error::from(kind));
        let at = "StartContainer c1: container runtime at /run/x.sock:";
        check(
            &refused(io::ErrorKind::NotFound),
            &format!(
                "{at} there is no socket; start the container runtime or set containerRuntimeEndpoint"
            ),
            false,
        );
        check(
            &refused(io::ErrorKind::ConnectionRefused),
            &format!("{at} nobody listens on it; start the container runtime"),
            false,
        );
        check(
            &refused(io::ErrorKind::PermissionDenied),
            &format!("{at} permission denied; run as root or change the socket's owner"),
            false,
        );
        check(
            &refused(io::ErrorKind::BrokenPipe),
            &format!("{at} the connection broke (broken pipe); the runtime may be restarting"),
            true,
        );
        check(
            &Status::unavailable("server is not initialized yet"),
            &format!("{at} it is not ready: server is not initialized yet"),
            false,
        );
        check(
            &Status::not_found("no c1"),
            "StartContainer c1: not found: no c1",
            false,
        );
        check(
            &Status::unimplemented("unknown method"),
            "StartContainer c1: the container runtime does not support it: unknown method",
            false,
        );
        check(
            &Status::internal("runc exploded"),
            "StartContainer c1: runc exploded (Internal)",
            false,
        );
    }

    #[test]
    fn a_reserved_name_names_its_holder() {
        let status = Status::unknown(
            "failed to reserve sandbox name \"web_default_u_0\": name \"web_default_u_0\" is reserved for \"3f2a\"",
        );
        match CriError::from_status(call(), PathBuf::new(), &status) {
            CriError::AlreadyExists { holder, .. } => assert_eq!(holder.as_deref(), Some("3f2a")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pull_failures_are_told_apart() {
        for (status, expected) in [
            (Status::not_found("x: not found"), PullFailure::NotFound),
            (
                Status::unknown("failed to resolve: a: not found"),
                PullFailure::NotFound,
            ),
            (
                Status::unknown("unexpected status: 401 Unauthorized"),
                PullFailure::Unauthorized,
            ),
            (
                Status::unknown("dial tcp: lookup r: no such host"),
                PullFailure::RegistryUnavailable,
            ),
            (
                Status::unavailable("RegistryUnavailable"),
                PullFailure::RegistryUnavailable,
            ),
            (
                Status::unknown("SignatureValidationFailed: x"),
                PullFailure::SignatureInvalid,
            ),
            (
                Status::invalid_argument("bad reference"),
                PullFailure::InvalidName,
            ),
            (Status::unknown("short read"), PullFailure::Other),
        ] {
            let call = Call::new("PullImage", "a:1");
            match CriError::from_pull_status(call, PathBuf::new(), &status) {
                CriError::ImagePull { image, failure, .. } => {
                    assert_eq!(image, "a:1");
                    assert_eq!(failure, expected, "{status:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
