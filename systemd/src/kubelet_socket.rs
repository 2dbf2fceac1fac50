//! Asks the kubelet over its unix socket. Knows HTTP and the socket, not what the answers mean.

use crate::web::exchange;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no kubelet answers at {path} ({source}): start it with `keelson up`")]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The talk broke off.
    #[error("ask the kubelet for {what}: {source}")]
    Broken {
        /// The path of the request.
        what: String,
        /// What went wrong.
        source: hyper::Error,
    },
    /// It took too long.
    #[error("the kubelet took more than {} s to answer {what}: is it stopped?", DEADLINE.as_secs())]
    Slow {
        /// The path of the request.
        what: String,
    },
    /// It refused; the text is its own.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The request cannot be written as HTTP.
    #[error("ask the kubelet for {what}: {source}")]
    Request {
        /// The path of the request.
        what: String,
        /// What is wrong with it.
        source: hyper::http::Error,
    },
}

/// The body of the answer to `GET path` at the socket.
///
/// # Errors
/// When nobody listens, the answer is slow, breaks off or is not a success.
pub async fn ask(socket: &Path, path: &str) -> Result<Bytes, AskError> {
    match timeout(DEADLINE, fetch(socket, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Slow {
            what: path.to_owned(),
        }),
    }
}

async fn fetch(socket: &Path, path: &str) -> Result<Bytes, AskError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::NotRunning {
            path: socket.to_owned(),
            source,
        })?;
    let request = Request::get(path)
        .body(Empty::new())
        .map_err(|source| AskError::Request {
            what: path.to_owned(),
            source,
        })?;
    let (status, body) = exchange(stream, request)
        .await
        .map_err(|source| AskError::Broken {
            what: path.to_owned(),
            source,
        })?;
    if status.is_success() {
        return Ok(body);
    }
    Err(AskError::Refused {
        status,
        text: String::from_utf8_lossy(&body).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn answer_with(reply: &'static str) -> Result<Bytes, AskError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubelet.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        tokio::join!(ask(&path, "/status"), server).0
    }

    #[tokio::test]
    async fn reads_the_answer() {
        let answer = answer_with("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        assert_eq!(answer.unwrap(), "hi");
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_words() {
        let answer = answer_with("HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nno pod").await;
        assert_eq!(answer.unwrap_err().to_string(), "no pod");
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_cure() {
        let error = ask(Path::new("/nonexistent/kubelet.sock"), "/status")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("keelson up"), "{error}");
    }
}
