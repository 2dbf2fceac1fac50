//! Carries committed changes to the watches: each watch is a position of its own in the window
//! and is woken when its prefix changed, so nothing is queued per watch and a slow one costs
//! nothing. It must not know how changes are kept once the window has dropped them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Batch, Limits, Window};
use crate::{Change, Error, Prefix, Revision, Watch, WatchEvent};

/// How many changes a watch takes at a time.
const AT_ONCE: usize = 256;

/// After how long without a change a watch reports its progress, as etcd does it at the latest.
const PROGRESS: Duration = Duration::from_secs(10);

/// Where changes are that the window has dropped.
pub trait Replay: Send + Sync + 'static {
    /// At most `max` changes of `prefix` after `after`. Called on a thread that may block.
    ///
    /// # Errors
    /// [`Error::Compacted`] when they are not kept any more.
    fn replay(&self, after: Revision, prefix: &Prefix, max: usize) -> Result<Batch, Error>;
}

/// The newest changes and everyone who waits for more.
pub struct Hub {
    shared: Mutex<Shared>,
}

struct Shared {
    window: Window,
    waiters: Vec<Arc<Waiter>>,
    closed: bool,
}

struct Waiter {
    prefix: Prefix,
    wake: Notify,
    /// Has seen everything and sleeps; while it does, `covered` follows the window's end.
    idle: AtomicBool,
    covered: Mutex<Revision>,
    progress: AtomicBool,
}

impl Hub {
    /// Without changes, at `end`.
    pub fn new(end: Revision, limits: Limits) -> Self {
        Self {
            shared: Mutex::new(Shared {
                window: Window::new(end, limits),
                waiters: Vec::new(),
                closed: false,
            }),
        }
    }

    /// Adds what was committed and wakes those whom it concerns.
    pub fn publish(&self, changes: Vec<Change>, end: Revision) {
        let mut shared = self.shared.lock();
        for waiter in &shared.waiters {
            waiter.announce(&changes, end);
        }
        shared.window.extend(changes, end);
    }

    /// Forgets changes up to and including `at`.
    pub fn forget(&self, at: Revision) {
        self.shared.lock().window.forget(at);
    }

    /// Looks at the window.
    pub fn window<T>(&self, look: impl FnOnce(&Window) -> T) -> T {
        look(&self.shared.lock().window)
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.shared.lock().waiters.len()
    }

    /// Makes every watch report its progress once it has seen everything.
    pub fn request_progress(&self) {
        for waiter in &self.shared.lock().waiters {
            waiter.progress.store(true, Ordering::Release);
            waiter.wake.notify_one();
        }
    }

    /// Ends every watch with an error: the engine stops.
    pub fn close(&self) {
        let mut shared = self.shared.lock();
        shared.closed = true;
        for waiter in &shared.waiters {
            waiter.wake.notify_one();
        }
    }

    /// Follows the changes of `prefix` after `after`; what the window has dropped comes from
    /// `replay`.
    pub fn follow(
        self: &Arc<Self>,
        replay: Arc<dyn Replay>,
        prefix: &Prefix,
        after: Revision,
    ) -> Watch {
        let waiter = Arc::new(Waiter {
            prefix: prefix.clone(),
            wake: Notify::new(),
            idle: AtomicBool::new(false),
            covered: Mutex::new(after),
            progress: AtomicBool::new(false),
        });
        self.shared.lock().waiters.push(Arc::clone(&waiter));
        let follower = Follower {
            hub: Arc::clone(self),
            waiter,
            replay,
            pending: VecDeque::new(),
            after,
            ended: false,
        };
        Box::pin(stream::unfold(follower, Follower::step))
    }

    /// What `waiter` has to see next; marks it as idle when there is nothing.
    fn read(&self, waiter: &Waiter, after: Revision) -> Result<Option<Batch>, Error> {
        let shared = self.shared.lock();
        if shared.closed {
            let reason = "it is shutting down".to_owned();
            return Err(Error::Unavailable { reason });
        }
        let after = after.max(*waiter.covered.lock());
        let batch = shared.window.since(after, &waiter.prefix, AT_ONCE);
        if let Some(batch) = &batch
            && batch.changes.is_empty()
        {
            *waiter.covered.lock() = batch.reached;
            waiter.idle.store(true, Ordering::Release);
        }
        Ok(batch)
    }
}

impl Waiter {
    /// Wakes the watch when a change is under its prefix, moves its position on when none is. Runs
    /// under the hub's lock, as reading does: a watch either reads the change or is told of it.
    fn announce(&self, changes: &[Change], end: Revision) {
        if !self.idle.load(Ordering::Acquire) {
            return;
        }
        let mut covered = self.covered.lock();
        let concerns =
            |change: &Change| change.revision > *covered && self.prefix.holds(&change.key);
        if changes.iter().any(concerns) {
            self.idle.store(false, Ordering::Release);
            self.wake.notify_one();
        } else {
            *covered = end.max(*covered);
        }
    }
}

/// One watch: a position and what was read ahead of it.
struct Follower {
    hub: Arc<Hub>,
    waiter: Arc<Waiter>,
    replay: Arc<dyn Replay>,
    pending: VecDeque<Change>,
    after: Revision,
    ended: bool,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut shared = self.hub.shared.lock();
        shared.waiters.retain(|one| !Arc::ptr_eq(one, &self.waiter));
    }
}

impl Follower {
    async fn step(mut self) -> Option<(Result<WatchEvent, Error>, Self)> {
        if self.ended {
            return None;
        }
        let next = self.next().await;
        self.ended = next.is_err();
        Some((next, self))
    }

    async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(WatchEvent::Change(change));
            }
            let asked = self.waiter.progress.swap(false, Ordering::AcqRel);
            let (batch, seen_all) = self.read().await?;
            self.after = batch.reached.max(self.after);
            self.pending = batch.changes.into();
            if !seen_all {
                // Asked for progress with more to be delivered: it comes after that.
                self.waiter.progress.fetch_or(asked, Ordering::AcqRel);
            } else if asked || self.sleep().await {
                return Ok(WatchEvent::Progress(self.position()));
            }
        }
    }

    /// The next changes, and whether there are none and the watch sleeps until there are.
    async fn read(&self) -> Result<(Batch, bool), Error> {
        if let Some(batch) = self.hub.read(&self.waiter, self.after)? {
            let seen_all = batch.changes.is_empty();
            return Ok((batch, seen_all));
        }
        let (replay, after) = (Arc::clone(&self.replay), self.position());
        let prefix = self.waiter.prefix.clone();
        let older = tokio::task::spawn_blocking(move || replay.replay(after, &prefix, AT_ONCE));
        match older.await {
            Ok(batch) => Ok((batch?, false)),
            Err(stopped) => Err(Error::Unavailable {
                reason: stopped.to_string(),
            }),
        }
    }

    /// Waits for a wake-up; `true` when none came for long and progress is due.
    async fn sleep(&self) -> bool {
        let woken = self.waiter.wake.notified();
        tokio::time::timeout(PROGRESS, woken).await.is_err()
            && self.waiter.idle.load(Ordering::Acquire)
    }

    fn position(&self) -> Revision {
        self.after.max(*self.waiter.covered.lock())
    }
}
