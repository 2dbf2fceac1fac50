//! Keyed work that waits: deduplicated, delayed, slowed down after failures. [`core`] decides
//! (pure); this file adds the clock, the waiting and the figures. Must not know what the work is.
//!
//! # Guarantees
//! - A key that is added while it is being worked on is worked on again afterwards, never at the
//!   same time.
//! - However often a key is added, it waits once.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub mod core;

use crate::metrics::{QueueFigures, QueueMetrics};
use core::Core;
pub use core::Limits;

/// What can be a key.
pub trait WorkKey: Clone + Eq + Hash + Ord + fmt::Debug + Send + 'static {}

impl<K: Clone + Eq + Hash + Ord + fmt::Debug + Send + 'static> WorkKey for K {}

/// A queue of keys. Clones are the same queue.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    core: Mutex<Core<K>>,
    figures: Mutex<QueueFigures<K>>,
    woken: Notify,
    start: Instant,
    name: &'static str,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<K> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl<K: WorkKey> Queue<K> {
    /// An empty queue. The name is the `name` label of its metrics.
    #[must_use]
    pub fn new(name: &'static str, limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                core: Mutex::new(Core::new(limits)),
                figures: Mutex::new(QueueFigures::default()),
                woken: Notify::new(),
                start: Instant::now(),
                name,
            }),
        }
    }

    /// The key's work is due now.
    pub fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// The key's work is due after this time, or earlier if it was due earlier already.
    pub fn add_after(&self, key: K, delay: Duration) {
        let now = self.now();
        let added = self.shared.core.lock().add(now, key.clone(), delay);
        self.noted(added, now, &key);
    }

    /// The key's work failed: it is due after a wait that doubles with each failure in a row.
    pub fn add_limited(&self, key: K) {
        let now = self.now();
        let added = self.shared.core.lock().add_limited(now, key.clone());
        self.shared.figures.lock().retries += 1;
        self.noted(added, now, &key);
    }

    /// The key's work succeeded: its failures are forgotten.
    pub fn forget(&self, key: &K) {
        self.shared.core.lock().forget(key);
    }

    /// How often in a row the key has failed.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.shared.core.lock().failures(key)
    }

    /// How many keys are due.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.core.lock().len()
    }

    /// Whether none is due.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for a key that is due. It is the caller's until [`Queue::done`]. `None` after
    /// [`Queue::close`], when nothing is due any more.
    pub async fn take(&self) -> Option<K> {
        loop {
            let woken = self.shared.woken.notified();
            let now = self.now();
            let (key, wake, closed) = {
                let mut core = self.shared.core.lock();
                (core.take(now), core.next_due(), core.is_closed())
            };
            if let Some(key) = key {
                self.shared.figures.lock().taken(now, &key);
                // More may be due, for others who wait.
                self.shared.woken.notify_one();
                return Some(key);
            }
            if closed {
                self.shared.woken.notify_one();
                return None;
            }
            match wake {
                None => woken.await,
                Some(at) => {
                    tokio::select! {
                        () = woken => {}
                        () = sleep_until(self.shared.start + at) => {}
                    }
                }
            }
        }
    }

    /// The work on a key has ended. If it was added meanwhile, it is due again.
    pub fn done(&self, key: &K) {
        let now = self.now();
        let again = self.shared.core.lock().done(now, key);
        self.shared.figures.lock().done(now, key, again);
        self.shared.woken.notify_one();
    }

    /// Lets those who wait go. What is due is still given out, what is delayed is not.
    pub fn close(&self) {
        self.shared.core.lock().close();
        self.shared.woken.notify_one();
    }

    fn now(&self) -> Duration {
        self.shared.start.elapsed()
    }

    fn noted(&self, due: bool, now: Duration, key: &K) {
        let mut figures = self.shared.figures.lock();
        figures.adds += 1;
        if due {
            figures.queued(now, key);
        }
        drop(figures);
        self.shared.woken.notify_one();
    }
}

impl<K: WorkKey> QueueMetrics for Queue<K> {
    fn render(&self, into: &mut crate::metrics::Families) {
        let depth = self.len();
        let figures = self.shared.figures.lock();
        figures.render(self.shared.name, depth, self.now(), into);
    }
}
