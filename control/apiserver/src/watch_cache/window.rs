//! The last changes of a kind, so that watchers can follow and resume. Pure.
//!
//! Watchers hold a position and no events: one that is too slow finds its position gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::object::Version;

/// Events kept at most.
const MAX_EVENTS: usize = 32 * 1024;
/// Bytes of objects kept only for their events, at most.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long an event is kept if there is room.
const MAX_AGE: Duration = Duration::from_secs(90);

/// A change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    /// When, in the store's count.
    pub(crate) revision: u64,
    /// The state after it; for a deletion the last state, at the deletion's revision.
    pub(crate) version: Arc<Version>,
    /// The state before it.
    pub(crate) previous: Option<Arc<Version>>,
    /// Whether the object is gone.
    pub(crate) gone: bool,
    at: Instant,
}

impl Event {
    pub(crate) fn new(
        version: Arc<Version>,
        previous: Option<Arc<Version>>,
        gone: bool,
        at: Instant,
    ) -> Self {
        Self {
            revision: version.revision,
            version,
            previous,
            gone,
            at,
        }
    }

    fn size(&self) -> usize {
        self.version.body.len()
    }
}

/// The last changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window {
    events: VecDeque<Arc<Event>>,
    /// Every change after this revision is here.
    start: u64,
    bytes: usize,
}

impl Window {
    pub(super) fn starting(at: u64) -> Self {
        Self {
            start: at,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.bytes += event.size();
        let now = event.at;
        self.events.push_back(Arc::new(event));
        self.trim(now);
    }

    pub(super) fn trim(&mut self, now: Instant) {
        while let Some(oldest) = self.events.front() {
            let fits = self.events.len() <= MAX_EVENTS && self.bytes <= MAX_BYTES;
            if fits && now.duration_since(oldest.at) <= MAX_AGE {
                break;
            }
            self.bytes -= oldest.size();
            self.start = oldest.revision;
            self.events.pop_front();
        }
        if self.events.capacity() > 64 && self.events.len() < self.events.capacity() / 8 {
            self.events.shrink_to(self.events.len() * 2);
        }
    }

    /// The first `limit` events after a revision; the window's start if that is too long ago.
    pub(super) fn after(&self, revision: u64, limit: usize) -> Result<Vec<Arc<Event>>, u64> {
        if revision < self.start {
            return Err(self.start);
        }
        let first = self
            .events
            .partition_point(|event| event.revision <= revision);
        Ok(self.events.range(first..).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn event(revision: u64, size: usize, at: Instant) -> Event {
        let body = Bytes::from(vec![b' '; size]);
        let version = Arc::new(Version::new("a", revision, &body, &[]));
        Event::new(version, None, false, at)
    }

    fn check(window: &Window, after: u64, expected: Result<Vec<u64>, u64>) {
        let found = window.after(after, 10);
        let found = found.map(|events| events.iter().map(|event| event.revision).collect());
        assert_eq!(found, expected);
    }

    #[test]
    fn events_follow_a_revision() {
        let now = Instant::now();
        let mut window = Window::starting(3);
        for revision in [5, 6, 9] {
            window.push(event(revision, 1, now));
        }
        check(&window, 2, Err(3));
        check(&window, 3, Ok(vec![5, 6, 9]));
        check(&window, 6, Ok(vec![9]));
        check(&window, 20, Ok(vec![]));
        assert_eq!(window.after(3, 1).unwrap().len(), 1);
    }

    #[test]
    fn old_and_large_windows_lose_their_oldest() {
        let now = Instant::now();
        let mut window = Window::starting(0);
        window.push(event(1, MAX_BYTES / 2, now));
        window.push(event(2, MAX_BYTES / 2, now));
        check(&window, 0, Ok(vec![1, 2]));
        window.push(event(3, 1, now));
        check(&window, 0, Err(1));
        check(&window, 1, Ok(vec![2, 3]));
        window.trim(now + MAX_AGE + Duration::from_secs(1));
        check(&window, 1, Err(3));
        check(&window, 3, Ok(vec![]));
        assert_eq!(window.bytes, 0);
    }
}
