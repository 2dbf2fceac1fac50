//! What can go wrong with a request, and what the server said about it. Decides which failures
//! pass by themselves. Must not know how a request is retried.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server could be connected to.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// The address that was tried.
        server: String,
        /// What is wrong.
        reason: String,
    },
    /// The connection broke while the request or its answer was on the way.
    #[error("{request}: connection to the apiserver broke: {source}")]
    Broken {
        /// Verb and object.
        request: String,
        /// What the transport says.
        source: hyper::Error,
    },
    /// There was no answer in time.
    #[error("{request}: no answer within {}s", after.as_secs())]
    Timeout {
        /// Verb and object.
        request: String,
        /// How long was waited.
        after: Duration,
    },
    /// The server refused.
    #[error("{request}: {status}")]
    Status {
        /// Verb and object.
        request: String,
        /// What it said.
        status: Box<Status>,
    },
    /// The server's answer is not what was expected.
    #[error("{request}: cannot read the answer: {source}")]
    Decode {
        /// Verb and object.
        request: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Our object cannot be written as JSON.
    #[error("{request}: cannot encode the request: {source}")]
    Encode {
        /// Verb and object.
        request: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The request is no valid HTTP request, for instance because a token has a line break.
    #[error("{request}: not a valid request: {source}")]
    Malformed {
        /// Verb and object.
        request: String,
        /// What is wrong.
        source: hyper::http::Error,
    },
    /// The answer is larger than what is taken in.
    #[error("{request}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Verb and object.
        request: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// Credentials could not be had.
    #[error(transparent)]
    Credential(#[from] crate::kubeconfig::KubeconfigError),
}

impl Error {
    /// What the server said, where it was the server.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    fn code(&self) -> u16 {
        self.status().map_or(0, |status| status.code)
    }

    /// There is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// The object is there already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(|s| s.reason == "AlreadyExists")
    }

    /// Somebody else changed the object first, or its uid is another one.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == 409 && !self.is_already_exists()
    }

    /// The resource version is older than what the server remembers.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.code() == 410
    }

    /// We are not allowed to.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// The server does not know us.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.code() == 401
    }

    /// The object breaks a rule of the API.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.code() == 422
    }

    /// Whether the same request can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => status.code == 429 || status.code >= 500,
            _ => false,
        }
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

/// The server's answer to a request that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// A word for machines: `NotFound`, `Conflict`, `Expired`, ...
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// What it is about.
    pub details: Details,
}

/// What a failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The resource or kind.
    pub kind: String,
    /// Each thing that is wrong.
    pub causes: Vec<Cause>,
    /// How long to wait before the next attempt; 0 if nothing was said.
    pub retry_after_seconds: u32,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// The path of the field.
    pub field: String,
    /// A sentence for people.
    pub message: String,
    /// A word for machines.
    pub reason: String,
}

impl Status {
    /// Reads an answer's body. Anything that is not a `Status` (a proxy's error page, nothing at
    /// all) becomes a status of the code with the text as its message.
    #[must_use]
    pub fn read(code: u16, body: &[u8], retry_after: Option<u32>) -> Self {
        #[derive(Deserialize)]
        struct Kinded {
            kind: String,
            #[serde(flatten)]
            status: Status,
        }
        let mut status = match serde_json::from_slice::<Kinded>(body) {
            Ok(read) if read.kind == "Status" => read.status,
            _ => Self {
                message: excerpt(body),
                ..Self::default()
            },
        };
        if status.code == 0 {
            status.code = code;
        }
        if status.details.retry_after_seconds == 0 {
            status.details.retry_after_seconds = retry_after.unwrap_or(0);
        }
        status
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(512)]);
    text.trim().to_owned()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Status};

    fn error(status: Status) -> Error {
        Error::Status {
            request: "get pods a/b".into(),
            status: Box::new(status),
        }
    }

    #[test]
    fn reads_a_status() {
        let body = br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
            "message":"slow down","reason":"TooManyRequests","code":429,
            "details":{"retryAfterSeconds":3,"causes":[{"field":"spec","message":"m","reason":"r"}]}}"#;
        let status = Status::read(429, body, None);
        assert_eq!(
            (status.code, status.reason.as_str()),
            (429, "TooManyRequests")
        );
        assert_eq!(status.details.causes[0].field, "spec");
        let error = error(status);
        assert!(error.is_transient());
        assert_eq!(error.retry_after().unwrap().as_secs(), 3);
        assert_eq!(
            error.to_string(),
            "get pods a/b: 429 TooManyRequests: slow down"
        );
    }

    #[test]
    fn anything_else_is_a_status_of_its_code() {
        let status = Status::read(502, b"<html>Bad Gateway</html>\n", Some(7));
        assert_eq!(
            (status.code, status.message.as_str()),
            (502, "<html>Bad Gateway</html>")
        );
        assert_eq!(status.details.retry_after_seconds, 7);
        let pod = Status::read(404, br#"{"kind":"Pod","code":1}"#, None);
        assert_eq!(pod.code, 404);
    }

    #[test]
    fn conflict_is_not_already_exists() {
        let of = |reason: &str| {
            error(Status {
                code: 409,
                reason: reason.into(),
                ..Status::default()
            })
        };
        assert!(of("Conflict").is_conflict() && !of("Conflict").is_already_exists());
        assert!(of("AlreadyExists").is_already_exists() && !of("AlreadyExists").is_conflict());
    }
}
