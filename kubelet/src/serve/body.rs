//! The one response body type of all servers, and the few shapes of response we send.
//!
//! A streamed body is fed through a bounded channel, so a slow reader slows its writer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

/// What may go wrong while a body is being sent; the connection is then cut.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The boxed body of every response.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Chunks that may wait between the writer of a streamed body and the network.
const STREAM_DEPTH: usize = 4;

/// A body known in full.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// A body fed by the returned sender; it ends when the sender is dropped. An `Err` cuts the
/// connection, so that the client can tell a broken stream from a finished one. A sender sees the
/// reader's departure as a closed channel.
pub fn streamed() -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
    (sender, ChannelBody(receiver).boxed_unsync())
}

/// A response of plain text.
pub fn text(status: StatusCode, message: impl Into<Bytes>) -> Response<Body> {
    typed(
        status,
        HeaderValue::from_static("text/plain; charset=utf-8"),
        full(message),
    )
}

/// A response of JSON already rendered.
pub fn json(status: StatusCode, rendered: impl Into<Bytes>) -> Response<Body> {
    typed(
        status,
        HeaderValue::from_static("application/json"),
        full(rendered),
    )
}

/// A response with a status, a content type and a body.
pub fn typed(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

struct ChannelBody(mpsc::Receiver<Result<Bytes, BodyError>>);

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|bytes| bytes.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_streamed_body_pushes_back_and_ends_with_its_sender() {
        let (sender, body) = streamed();
        for _ in 0..STREAM_DEPTH {
            sender.try_send(Ok(Bytes::from_static(b"x"))).unwrap();
        }
        assert!(sender.try_send(Ok(Bytes::from_static(b"y"))).is_err());
        drop(sender);
        let collected = body.collect().await.unwrap().to_bytes();
        assert_eq!(collected, "x".repeat(STREAM_DEPTH));
    }

    #[tokio::test]
    async fn an_error_reaches_the_reader() {
        let (sender, body) = streamed();
        sender.try_send(Err("disk gone".into())).unwrap();
        drop(sender);
        assert_eq!(body.collect().await.unwrap_err().to_string(), "disk gone");
    }
}
