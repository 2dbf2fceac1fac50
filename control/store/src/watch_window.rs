//! The newest changes, kept in memory so that watches rarely need the disk: which of them a watch
//! still has to see. Pure; it must not know tasks or files. [`hub`] wakes the watches.

pub mod hub;

use std::collections::VecDeque;

use crate::{Change, Prefix, Revision};

/// Changes of a prefix and how far they reach.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their revisions.
    pub changes: Vec<Change>,
    /// There is no further change of the prefix up to here.
    pub reached: Revision,
}

/// How much a window keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes at most.
    pub changes: usize,
    /// Bytes of values at most.
    pub bytes: usize,
}

impl Limits {
    /// Everything, until it is compacted.
    pub const NONE: Self = Self {
        changes: usize::MAX,
        bytes: usize::MAX,
    };
}

/// All changes in `(start, end]`.
#[derive(Debug)]
pub struct Window {
    changes: VecDeque<Change>,
    start: Revision,
    end: Revision,
    bytes: usize,
    limits: Limits,
}

impl Window {
    /// Empty, at `end`.
    pub const fn new(end: Revision, limits: Limits) -> Self {
        Self {
            changes: VecDeque::new(),
            start: end,
            end,
            bytes: 0,
            limits,
        }
    }

    /// Adds what was written, up to `end`, and drops what is too much.
    pub fn extend(&mut self, changes: Vec<Change>, end: Revision) {
        debug_assert!(changes.iter().all(|change| change.revision > self.end));
        self.bytes += changes.iter().map(weight).sum::<usize>();
        self.changes.extend(changes);
        self.end = end;
        while self.changes.len() > self.limits.changes || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    /// Forgets changes up to and including `at`.
    pub fn forget(&mut self, at: Revision) {
        while self.changes.front().is_some_and(|one| one.revision <= at) {
            self.drop_oldest();
        }
        self.start = self.start.max(at.min(self.end));
    }

    fn drop_oldest(&mut self) {
        if let Some(change) = self.changes.pop_front() {
            self.bytes -= weight(&change);
            self.start = change.revision;
        }
        if self.changes.is_empty() {
            self.changes.shrink_to(64);
        }
    }

    /// At most `max` changes of `prefix` after `after`; `None` when some may have been dropped.
    pub fn since(&self, after: Revision, prefix: &Prefix, max: usize) -> Option<Batch> {
        if after < self.start {
            return None;
        }
        let first = self.changes.partition_point(|one| one.revision <= after);
        let mut batch = Batch {
            changes: Vec::new(),
            reached: self.end.max(after),
        };
        for change in self.changes.range(first..).filter(|c| prefix.holds(&c.key)) {
            batch.changes.push(change.clone());
            if batch.changes.len() == max {
                batch.reached = change.revision;
                break;
            }
        }
        Some(batch)
    }

    /// Everything after `after`, newest first; `None` when some may have been dropped.
    pub fn undo_to(&self, after: Revision) -> Option<impl Iterator<Item = &Change>> {
        let newest_first = self.changes.iter().rev();
        (after >= self.start)
            .then(|| newest_first.take_while(move |change| change.revision > after))
    }
}

fn weight(change: &Change) -> usize {
    let value = |entry: &Option<crate::Entry>| entry.as_ref().map_or(0, |one| one.value.len());
    value(&change.current) + value(&change.previous) + change.key.as_str().len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Key};
    use bytes::Bytes;

    fn change(key: &str, revision: u64) -> Change {
        let key = Key::new(key).unwrap();
        let entry = Entry {
            key: key.clone(),
            value: Bytes::from_static(b"0123456789"),
            create_revision: Revision(revision),
            mod_revision: Revision(revision),
            version: 1,
        };
        Change {
            key,
            revision: Revision(revision),
            current: Some(entry),
            previous: None,
        }
    }

    fn window(limits: Limits) -> Window {
        let mut window = Window::new(Revision(10), limits);
        window.extend(
            vec![change("/a/1", 11), change("/b/1", 12), change("/a/2", 15)],
            Revision(16),
        );
        window
    }

    fn check(window: &Window, after: u64, max: usize, expected: Option<(&[u64], u64)>) {
        let prefix = Prefix::new("/a/").unwrap();
        let found = window.since(Revision(after), &prefix, max).map(|batch| {
            let revisions: Vec<_> = batch.changes.iter().map(|one| one.revision.0).collect();
            (revisions, batch.reached.0)
        });
        let expected = expected.map(|(revisions, reached)| (revisions.to_vec(), reached));
        assert_eq!(found, expected, "after {after}, at most {max}");
    }

    #[test]
    fn gives_what_a_watch_has_not_seen() {
        let window = window(Limits::NONE);
        check(&window, 9, 10, None);
        check(&window, 10, 10, Some((&[11, 15], 16)));
        check(&window, 10, 1, Some((&[11], 11)));
        check(&window, 11, 10, Some((&[15], 16)));
        check(&window, 16, 10, Some((&[], 16)));
        check(&window, 20, 10, Some((&[], 20)));
    }

    #[test]
    fn drops_the_oldest_and_knows_it() {
        let mut limits = Limits::NONE;
        limits.changes = 2;
        let window = window(limits);
        check(&window, 10, 10, None);
        check(&window, 11, 10, Some((&[15], 16)));
        limits = Limits {
            changes: 9,
            bytes: 0,
        };
        let window = self::window(limits);
        assert_eq!(window.bytes, 0);
        check(&window, 14, 10, None);
        check(&window, 15, 10, Some((&[], 16)));
    }

    #[test]
    fn forgets_on_demand() {
        let mut window = window(Limits::NONE);
        window.forget(Revision(12));
        check(&window, 11, 10, None);
        check(&window, 12, 10, Some((&[15], 16)));
        window.forget(Revision(16));
        assert_eq!(window.bytes, 0);
        check(&window, 16, 10, Some((&[], 16)));
    }
}
