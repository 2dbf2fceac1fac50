//! An answer's body as it arrives. Holds its place on the connection until it is read or dropped.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use super::RequestBody;
use super::pool::Pool;

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    inner: Incoming,
    finished: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Stream { _counted: Arc<()> },
    Whole(Option<SendRequest<RequestBody>>, Weak<Pool>),
}

impl Body {
    pub(super) fn stream(inner: Incoming, counted: Arc<()>) -> Self {
        Self {
            inner,
            finished: false,
            place: Place::Stream { _counted: counted },
        }
    }

    pub(super) fn exclusive(
        inner: Incoming,
        sender: SendRequest<RequestBody>,
        pool: Weak<Pool>,
    ) -> Self {
        Self {
            inner,
            finished: false,
            place: Place::Whole(Some(sender), pool),
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.inner.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        self.finished = true;
        Ok(None)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Place::Whole(sender, pool) = &mut self.place
            && self.finished
            && let (Some(sender), Some(pool)) = (sender.take(), pool.upgrade())
        {
            pool.give_back(sender);
        }
    }
}
