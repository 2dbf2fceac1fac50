//! The one response body: bytes at hand, or a stream that is asked for more when the network has
//! room. Nothing is buffered for a slow reader.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Frame, Incoming, SizeHint};

/// Blocks of bytes made one after the other; an error cuts the connection.
pub(crate) type Blocks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// What may go wrong while a body is being sent.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every response.
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Blocks(Blocks),
    /// Another server's body, passed on.
    Relayed(Incoming),
}

impl Body {
    /// A body known in full.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }

    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }

    /// Bytes made as they are asked for.
    pub(crate) fn blocks(
        stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    ) -> Self {
        Self::Blocks(Box::pin(stream))
    }

    /// Blocks that cannot fail.
    pub(crate) fn iterator(blocks: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        let blocks = blocks.map(|block| Ok::<_, Infallible>(block).map_err(|never| match never {}));
        Self::blocks(futures_util::stream::iter(blocks))
    }

    /// The blocks of any body.
    pub(crate) fn into_blocks(self) -> Blocks {
        match self {
            Self::Whole(bytes) => Box::pin(futures_util::stream::iter(bytes.map(Ok))),
            Self::Blocks(blocks) => blocks,
            Self::Relayed(incoming) => {
                let data = http_body_util::BodyDataStream::new(incoming);
                Box::pin(futures_util::StreamExt::map(data, |block| {
                    block.map_err(Into::into)
                }))
            }
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Blocks(blocks) => blocks
                .as_mut()
                .poll_next(context)
                .map(|next| next.map(|block| block.map(Frame::data))),
            Self::Relayed(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map(|next| next.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Blocks(_) => false,
            Self::Relayed(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Blocks(_) => SizeHint::default(),
            Self::Relayed(incoming) => incoming.size_hint(),
        }
    }
}
