//! Changes that wait to be taken, one per object: a slow reader costs no memory beyond that, and
//! sees the first old state and the newest one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Change, Key, Object};

/// The reading end.
pub struct Changes<T> {
    shared: Arc<Shared<T>>,
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("waiting", &self.shared.waiting.lock().order.len())
            .finish()
    }
}

/// The writing end. Does nothing once the reader is gone.
pub(super) struct Sink<T> {
    shared: Weak<Shared<T>>,
}

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Notify,
}

/// What was before and what is now.
type Sides<T> = (Option<Arc<T>>, Option<Arc<T>>);

struct Waiting<T> {
    sides: HashMap<Key, Sides<T>>,
    order: VecDeque<Key>,
}

impl<T: Object> Changes<T> {
    pub(super) fn new() -> (Self, Sink<T>) {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                sides: HashMap::new(),
                order: VecDeque::new(),
            }),
            arrived: Notify::new(),
        });
        let sink = Sink {
            shared: Arc::downgrade(&shared),
        };
        (Self { shared }, sink)
    }

    /// The next change, or nothing yet.
    pub fn take(&mut self) -> Option<Change<T>> {
        let mut waiting = self.shared.waiting.lock();
        while let Some(key) = waiting.order.pop_front() {
            let sides = waiting.sides.remove(&key);
            // What came and went in between has no side left.
            if let Some(change) = sides.and_then(|(old, new)| Change::between(old, new)) {
                return Some(change);
            }
        }
        None
    }

    /// Waits for the next change. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Change<T> {
        loop {
            if let Some(change) = self.take() {
                return change;
            }
            self.shared.arrived.notified().await;
        }
    }
}

impl<T: Object> Sink<T> {
    pub(super) fn put(&self, change: &Change<T>) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let key = change.latest().key();
        let mut waiting = shared.waiting.lock();
        let new = change.current().cloned();
        if let Some(sides) = waiting.sides.get_mut(&key) {
            sides.1 = new;
        } else {
            waiting.order.push_back(key.clone());
            waiting.sides.insert(key, (change.previous().cloned(), new));
        }
        drop(waiting);
        shared.arrived.notify_one();
    }
}
