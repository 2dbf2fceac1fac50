//! Which open connection takes the next request. Must not open any.

use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;

use super::RequestBody;
use super::dial::Dialed;

/// Requests at once on one HTTP/2 connection. Servers allow 100 or more; watches stay for long.
const STREAMS: usize = 90;
/// Idle HTTP/1.1 connections that are kept.
const IDLE: usize = 2;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Pool {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shared: Vec<Shared>,
    idle: Vec<http1::SendRequest<RequestBody>>,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    /// Each request on the connection holds a clone.
    streams: Arc<()>,
}

/// A connection for one request.
pub(super) enum Taken {
    /// Shared with others, and the token that counts the stream.
    H2(http2::SendRequest<RequestBody>, Arc<()>),
    /// Ours until the answer is read.
    H1(http1::SendRequest<RequestBody>),
}

impl Pool {
    /// A connection that is open and has room.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut inner = self.inner.lock();
        inner.shared.retain(|link| !link.sender.is_closed());
        let free = inner
            .shared
            .iter()
            .find(|link| Arc::strong_count(&link.streams) <= STREAMS);
        if let Some(link) = free {
            return Some(Taken::H2(link.sender.clone(), link.streams.clone()));
        }
        while let Some(sender) = inner.idle.pop() {
            if sender.is_ready() {
                return Some(Taken::H1(sender));
            }
        }
        None
    }

    /// For those who waited for another's dialling: what it brought, unless the caller has just
    /// lost a connection and needs a new one; then the old ones are dropped.
    pub(super) fn take_since(&self, reuse: bool) -> Option<Taken> {
        if reuse {
            return self.take();
        }
        self.inner.lock().idle.clear();
        let open = self.take();
        open.filter(|taken| matches!(taken, Taken::H2(..)))
    }

    /// Takes in a new connection and gives it out.
    pub(super) fn add(&self, dialed: Dialed) -> Taken {
        match dialed {
            Dialed::H1(sender) => Taken::H1(sender),
            Dialed::H2(sender) => {
                let streams = Arc::new(());
                self.inner.lock().shared.push(Shared {
                    sender: sender.clone(),
                    streams: streams.clone(),
                });
                Taken::H2(sender, streams)
            }
        }
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) fn give_back(&self, sender: http1::SendRequest<RequestBody>) {
        let mut inner = self.inner.lock();
        if inner.idle.len() < IDLE && !sender.is_closed() {
            inner.idle.push(sender);
        }
    }

    /// Forgets all connections; requests that are on them finish.
    pub(super) fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.shared.clear();
        inner.idle.clear();
    }
}
