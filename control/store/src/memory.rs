//! An engine that keeps everything in memory, for tests and for comparing the others with. It
//! must not know files or sockets.

use std::collections::BTreeMap;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::watch_window::hub::{Hub, Replay};
use crate::watch_window::{Batch, Limits};
use crate::{
    Change, Deleted, Durability, Entry, Error, Key, List, MAX_VALUE, Page, Prefix, Reply, Revision,
    Store, Watch, Write,
};

/// Everything in memory; gone with the process.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    hub: Arc<Hub>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    revision: Revision,
    compacted: Revision,
    /// When keys with a time to live go, unless they are written again.
    deadlines: BTreeMap<Key, Instant>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store at revision 0.
    #[must_use]
    pub fn new() -> Self {
        let hub = Arc::new(Hub::new(Revision::ZERO, Limits::NONE));
        let state = Mutex::new(State::default());
        Self {
            shared: Arc::new(Shared { state, hub }),
        }
    }

    /// Writes `value` when `decide` agrees to the state there is.
    fn write(
        &self,
        key: &Key,
        value: Bytes,
        ttl: Option<NonZeroU32>,
        decide: impl FnOnce(Option<&Entry>) -> Result<(), Error>,
    ) -> Result<Revision, Error> {
        check_size(key, &value)?;
        let mut state = self.shared.state.lock();
        decide(state.entries.get(key))?;
        let change = state.put(key, value);
        let revision = change.revision;
        self.shared.hub.publish(vec![change], revision);
        state.deadlines.remove(key);
        if let Some(seconds) = ttl {
            let lifetime = Duration::from_secs(u64::from(seconds.get()));
            state
                .deadlines
                .insert(key.clone(), Instant::now() + lifetime);
            tokio::spawn(expire(Arc::downgrade(&self.shared), lifetime));
        }
        Ok(revision)
    }

    fn remove(&self, key: &Key, expected: Option<Revision>) -> Result<Deleted, Error> {
        let mut state = self.shared.state.lock();
        let current = state.entries.get(key);
        if let (Some(expected), Some(_)) = (expected, current) {
            expect(key, expected, current)?;
        }
        let change = state
            .remove(key)
            .ok_or_else(|| Error::NotFound { key: key.clone() })?;
        let deleted = change.previous.clone().map(|previous| Deleted {
            previous,
            revision: change.revision,
        });
        self.shared.hub.publish(vec![change], state.revision);
        deleted.ok_or_else(|| Error::NotFound { key: key.clone() })
    }

    fn page(&self, list: &List) -> Result<Page, Error> {
        let state = self.shared.state.lock();
        let at = list.at.unwrap_or(state.revision);
        state.check_revision(at)?;
        let mut entries: BTreeMap<_, _> = state
            .entries
            .iter()
            .filter(|(key, _)| list.prefix.holds(key))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        self.shared.hub.window(|window| {
            for change in window.undo_to(at).into_iter().flatten() {
                let previous = change
                    .previous
                    .clone()
                    .filter(|_| list.prefix.holds(&change.key));
                match previous {
                    Some(entry) => entries.insert(change.key.clone(), entry),
                    None => entries.remove(&change.key),
                };
            }
        });
        let after = |key: &Key| list.after.as_ref().is_none_or(|after| key > after);
        let mut entries: Vec<_> = entries
            .into_values()
            .filter(|one| after(&one.key))
            .collect();
        let limit = if list.limit == 0 {
            entries.len()
        } else {
            list.limit
        };
        let remaining = entries.len().saturating_sub(limit) as u64;
        entries.truncate(limit);
        Ok(Page {
            entries,
            revision: at,
            remaining,
        })
    }

    fn forget(&self, at: Revision) -> Result<(), Error> {
        let mut state = self.shared.state.lock();
        if at <= state.compacted {
            return Err(state.compacted(at));
        }
        state.check_revision(at)?;
        state.compacted = at;
        self.shared.hub.forget(at);
        Ok(())
    }

    fn follow(&self, prefix: &Prefix, after: Revision) -> Result<Watch, Error> {
        let state = self.shared.state.lock();
        if after < state.compacted {
            return Err(state.compacted(after));
        }
        let replay: Arc<Shared> = Arc::clone(&self.shared);
        Ok(self.shared.hub.follow(replay, prefix, after))
    }
}

impl State {
    fn put(&mut self, key: &Key, value: Bytes) -> Change {
        self.revision = self.revision.next();
        let previous = self.entries.get(key).cloned();
        let current = Entry {
            key: key.clone(),
            value,
            create_revision: previous
                .as_ref()
                .map_or(self.revision, |one| one.create_revision),
            mod_revision: self.revision,
            version: previous.as_ref().map_or(1, |one| one.version + 1),
        };
        self.entries.insert(key.clone(), current.clone());
        Change {
            key: key.clone(),
            revision: self.revision,
            current: Some(current),
            previous,
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Change> {
        let previous = self.entries.remove(key)?;
        self.deadlines.remove(key);
        self.revision = self.revision.next();
        Some(Change {
            key: key.clone(),
            revision: self.revision,
            current: None,
            previous: Some(previous),
        })
    }

    fn check_revision(&self, at: Revision) -> Result<(), Error> {
        if at > self.revision {
            return Err(Error::Future {
                requested: at,
                current: self.revision,
            });
        }
        if at < self.compacted {
            return Err(self.compacted(at));
        }
        Ok(())
    }

    const fn compacted(&self, requested: Revision) -> Error {
        Error::Compacted {
            requested,
            compacted: self.compacted,
        }
    }
}

impl Replay for Shared {
    fn replay(&self, after: Revision, _: &Prefix, _: usize) -> Result<Batch, Error> {
        Err(self.state.lock().compacted(after))
    }
}

/// Removes what is due after `lifetime`, unless the store is gone by then.
async fn expire(shared: Weak<Shared>, lifetime: Duration) {
    tokio::time::sleep(lifetime).await;
    let Some(shared) = shared.upgrade() else {
        return;
    };
    let now = Instant::now();
    let mut state = shared.state.lock();
    let due = |(key, at): (&Key, &Instant)| (*at <= now).then(|| key.clone());
    let due: Vec<_> = state.deadlines.iter().filter_map(due).collect();
    for key in due {
        if let Some(change) = state.remove(&key) {
            shared.hub.publish(vec![change], state.revision);
        }
    }
}

/// Refuses a value that no engine here takes.
pub(crate) fn check_size(key: &Key, value: &Bytes) -> Result<(), Error> {
    if value.len() > MAX_VALUE {
        return Err(Error::TooLarge {
            key: key.clone(),
            size: value.len(),
            limit: MAX_VALUE,
        });
    }
    Ok(())
}

/// Whether `current` was modified last at `expected`.
pub(crate) fn expect(key: &Key, expected: Revision, current: Option<&Entry>) -> Result<(), Error> {
    if current.is_some_and(|entry| entry.mod_revision == expected) {
        return Ok(());
    }
    Err(Error::Conflict {
        key: key.clone(),
        expected,
        current: current.cloned().map(Box::new),
    })
}

fn answer<'a, T: Send + 'a>(result: Result<T, Error>) -> Reply<'a, T> {
    Box::pin(ready(result))
}

impl Store for MemoryStore {
    fn revision(&self) -> Reply<'_, Revision> {
        answer(Ok(self.shared.state.lock().revision))
    }

    fn get<'a>(&'a self, key: &'a Key) -> Reply<'a, Option<Entry>> {
        answer(Ok(self.shared.state.lock().entries.get(key).cloned()))
    }

    fn list(&self, list: List) -> Reply<'_, Page> {
        answer(self.page(&list))
    }

    fn count<'a>(&'a self, prefix: &'a Prefix) -> Reply<'a, u64> {
        let state = self.shared.state.lock();
        let count = state.entries.keys().filter(|key| prefix.holds(key)).count();
        answer(Ok(count as u64))
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, write: Write) -> Reply<'a, Revision> {
        answer(self.write(key, value, write.ttl, |current| match current {
            Some(_) => Err(Error::Exists { key: key.clone() }),
            None => Ok(()),
        }))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Reply<'a, Revision> {
        answer(self.write(key, value, write.ttl, |current| {
            expect(key, expected, current)
        }))
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        expected: Option<Revision>,
        _: Durability,
    ) -> Reply<'a, Deleted> {
        answer(self.remove(key, expected))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Reply<'a, Watch> {
        answer(self.follow(prefix, after))
    }

    fn request_progress(&self) -> Reply<'_, ()> {
        self.shared.hub.request_progress();
        answer(Ok(()))
    }

    fn compact(&self, at: Revision) -> Reply<'_, ()> {
        answer(self.forget(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        crate::conformance::run(Arc::new(MemoryStore::new())).await;
    }

    #[tokio::test]
    async fn refuses_what_is_too_large() {
        let key = Key::new("/registry/a").unwrap();
        let value = Bytes::from(vec![0; MAX_VALUE + 1]);
        let refused = MemoryStore::new()
            .create(&key, value, Write::durable())
            .await;
        assert!(matches!(
            refused,
            Err(Error::TooLarge {
                limit: MAX_VALUE,
                ..
            })
        ));
    }
}
