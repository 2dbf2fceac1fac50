//! All objects of one kind and the window of their last changes.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use keelson_api::status_error::Reason;
use keelson_store::Change;
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::split_key;
use super::window::{Event, Window};
use crate::failure::{Failure, Outcome};
use crate::object::{Field, Version};
use crate::selection::Selection;

/// The objects of one kind.
pub(crate) struct KindCache {
    prefix: Box<str>,
    fields: Box<[Field]>,
    state: RwLock<State>,
    /// Counts wake-ups; readers look at the state.
    changed: watch::Sender<Phase>,
}

/// Where a cache is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Loading,
    Ready,
    /// It is not fed any more.
    Closed,
}

#[derive(Default)]
struct State {
    objects: BTreeSet<Slot>,
    window: Window,
    /// The revision of the last change.
    revision: u64,
    /// Changes that came while the kind was being loaded.
    early: Option<Vec<(Change, Instant)>>,
}

/// A version in the order of its key.
struct Slot(Arc<Version>);

impl Borrow<str> for Slot {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Slot {}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

/// Objects as of a revision.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) versions: Vec<Arc<Version>>,
    /// A watch after this revision misses nothing.
    pub(crate) revision: u64,
}

impl KindCache {
    pub(super) fn new(prefix: &str, fields: &[Field]) -> Self {
        Self {
            prefix: prefix.into(),
            fields: fields.into(),
            state: RwLock::new(State {
                early: Some(Vec::new()),
                ..State::default()
            }),
            changed: watch::Sender::new(Phase::Loading),
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The fields that selectors may name.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn is_ready(&self) -> bool {
        *self.changed.borrow() == Phase::Ready
    }

    /// Waits until the kind is loaded.
    pub(super) async fn ready(&self) -> Outcome<()> {
        let mut changed = self.changed.subscribe();
        let phase = changed.wait_for(|phase| *phase != Phase::Loading).await;
        match phase.as_deref() {
            Ok(Phase::Ready) => Ok(()),
            _ => Err(Failure::new(
                Reason::ServiceUnavailable,
                "the store could not be read: try again",
            )),
        }
    }

    pub(super) fn fill(&self, versions: Vec<Version>, revision: u64, now: Instant) {
        let mut state = self.state.write();
        state.objects = versions.into_iter().map(|v| Slot(Arc::new(v))).collect();
        state.window = Window::starting(revision);
        state.revision = revision;
        let early = state.early.take().unwrap_or_default();
        for (change, at) in early {
            state.apply(change, &self.fields, at);
        }
        state.window.trim(now);
        drop(state);
        self.changed.send_replace(Phase::Ready);
    }

    pub(super) fn apply(&self, change: Change, now: Instant) {
        self.state.write().apply(change, &self.fields, now);
    }

    pub(super) fn wake(&self) {
        self.changed.send_modify(|_| {});
    }

    pub(super) fn close(&self) {
        self.changed.send_replace(Phase::Closed);
    }

    pub(super) fn trim(&self, now: Instant) {
        self.state.write().window.trim(now);
    }

    /// Woken after changes and at the end.
    pub(crate) fn subscribe(&self) -> Wake {
        Wake(self.changed.subscribe())
    }

    /// One object.
    pub(crate) fn object(&self, key: &str) -> Option<Arc<Version>> {
        self.state
            .read()
            .objects
            .get(key)
            .map(|slot| Arc::clone(&slot.0))
    }

    /// The objects that are meant; at least as new as `reached`, which the caches had come to.
    pub(crate) fn select(&self, selection: &Selection, reached: u64) -> Snapshot {
        let state = self.state.read();
        let found = state.range(selection);
        Snapshot {
            versions: found.filter(|v| selection.matches(v)).cloned().collect(),
            revision: state.revision.max(reached),
        }
    }

    /// Every object.
    pub(crate) fn all(&self) -> Snapshot {
        self.select(&Selection::default(), 0)
    }

    /// The first `limit` changes after a revision; fails when they are not kept any more.
    pub(crate) fn changes(&self, after: u64, limit: usize) -> Outcome<Vec<Arc<Event>>> {
        let found = self.state.read().window.after(after, limit);
        found.map_err(|start| {
            Failure::expired(format!("too old resource version: {after} ({start})"))
        })
    }

    /// How many objects there are.
    pub(crate) fn count(&self) -> usize {
        self.state.read().objects.len()
    }
}

/// Tells of changes.
pub(crate) struct Wake(watch::Receiver<Phase>);

impl Wake {
    /// Waits for the next change; false at the end of the cache.
    pub(crate) async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok() && !self.is_over()
    }

    /// Whether the cache is not fed any more.
    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow() == Phase::Closed
    }
}

impl State {
    fn apply(&mut self, change: Change, fields: &[Field], at: Instant) {
        if let Some(early) = &mut self.early {
            early.push((change, at));
            return;
        }
        let revision = change.revision.0;
        let Some((_, key)) = split_key(change.key.as_str()) else {
            return;
        };
        if revision <= self.revision {
            return;
        }
        self.revision = revision;
        let previous = self.objects.take(key).map(|slot| slot.0);
        let event = match (change.current, previous) {
            (Some(entry), previous) => {
                let version = Arc::new(Version::new(key, revision, &entry.value, fields));
                self.objects.insert(Slot(Arc::clone(&version)));
                Event::new(version, previous, false, at)
            }
            (None, Some(previous)) => {
                Event::new(Arc::new(previous.gone(revision)), Some(previous), true, at)
            }
            (None, None) => return,
        };
        self.window.push(event);
    }

    /// The objects among which those of a selection are.
    fn range(&self, selection: &Selection) -> Box<dyn Iterator<Item = &Arc<Version>> + '_> {
        let namespace = &selection.namespace;
        let bounds = match (namespace.is_empty(), selection.name()) {
            (true, None) => return Box::new(self.objects.iter().map(|slot| &slot.0)),
            (true, Some(_)) => return Box::new(self.objects.iter().map(|slot| &slot.0)),
            (false, Some(name)) => {
                let key = format!("{namespace}/{name}");
                return Box::new(self.objects.get(key.as_str()).map(|s| &s.0).into_iter());
            }
            (false, None) => (format!("{namespace}/"), format!("{namespace}0")),
        };
        let range = (
            Bound::Included(bounds.0.as_str()),
            Bound::Excluded(bounds.1.as_str()),
        );
        Box::new(self.objects.range::<str, _>(range).map(|slot| &slot.0))
    }
}
