//! Objects in the store: read, created, changed, removed. One registry for all kinds; what is
//! special about a kind is in its row.
//!
//! It knows keys, revisions and metadata that the server itself keeps. It must not know HTTP.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelson_schema::resource_table::Durability as RowDurability;
use keelson_store::{Durability, Entry, Error, Key, Revision, Store, Write};
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::kinds::{Kind, Kinds};
use crate::object::{encode, splice};
use crate::watch_cache::{Caches, KindCache, of_store};

pub(crate) mod metadata;

/// How often a change is tried anew when others change the object at the same time.
const ATTEMPTS: usize = 16;
/// How long events are kept unless something else is asked for.
const EVENT_TTL: Duration = Duration::from_secs(3600);

/// The store, seen as objects.
pub(crate) struct Registry {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) kinds: Kinds,
    /// How long events are kept; nothing for ever.
    pub(crate) event_ttl: Duration,
    /// Whether the store's revision is known at once, and not only after asking other machines.
    pub(crate) is_local: bool,
}

/// An object that was read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// As a tree, with its `resourceVersion`.
    pub(crate) object: Value,
    pub(crate) revision: u64,
    /// As it was written just now, without its `resourceVersion`.
    pub(crate) written: Option<Bytes>,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// It was written, or was that already.
    Now(Found),
    /// With it the object was gone.
    Removed(Found),
}

impl Changed {
    /// The object's last state.
    pub(crate) fn found(self) -> Found {
        match self {
            Self::Now(found) | Self::Removed(found) => found,
        }
    }
}

/// What a change decides.
pub(crate) enum Next {
    /// Write this.
    Put(Value),
    /// Remove the object, whose last state is this.
    Remove(Value),
    /// Leave all as it is.
    Keep,
}

impl Registry {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            caches: Caches::new(Arc::clone(&store)),
            store,
            kinds: Kinds::default(),
            event_ttl: EVENT_TTL,
            is_local: false,
        }
    }

    /// The cache of a kind.
    pub(crate) async fn cache(&self, kind: &Kind) -> Outcome<Arc<KindCache>> {
        self.caches.kind(&kind.prefix, &kind.fields).await
    }

    /// The cache of a built-in kind, which must be in the table.
    pub(crate) async fn cache_of(&self, group: &str, plural: &str) -> Outcome<Arc<KindCache>> {
        self.cache(self.builtin(group, plural)?).await
    }

    /// A built-in kind, which must be in the table.
    pub(crate) fn builtin(&self, group: &str, plural: &str) -> Outcome<&Arc<Kind>> {
        let kind = self.kinds.builtin(group, plural);
        kind.ok_or_else(|| Failure::internal(format!("{plural:?} of {group:?} are not served")))
    }

    fn key(&self, kind: &Kind, namespace: &str, name: &str) -> Outcome<Key> {
        let key = Key::new(format!("{}{}", kind.prefix, kind.place(namespace, name)));
        key.map_err(|_| Failure::not_found(&kind.group, &kind.plural, name))
    }

    async fn entry(&self, kind: &Kind, namespace: &str, name: &str) -> Outcome<Entry> {
        let key = self.key(kind, namespace, name)?;
        let found = self.store.get(&key).await.map_err(of_store)?;
        found.ok_or_else(|| Failure::not_found(&kind.group, &kind.plural, name))
    }

    /// The newest state as bytes: of the kind's cache where that has all that was written.
    pub(crate) async fn bytes(&self, kind: &Kind, namespace: &str, name: &str) -> Outcome<Bytes> {
        if self.is_local {
            let Revision(newest) = self.store.revision().await.map_err(of_store)?;
            // In this order: what is loaded by then has come that far.
            let reached = self.caches.progress() >= newest;
            if let Some(cache) = self.caches.loaded(&kind.prefix).filter(|_| reached) {
                let found = cache.object(&kind.place(namespace, name));
                let missing = || Failure::not_found(&kind.group, &kind.plural, name);
                return found.map(|found| found.body.clone()).ok_or_else(missing);
            }
        }
        let entry = self.entry(kind, namespace, name).await?;
        Ok(splice(&entry.value, entry.mod_revision.0))
    }

    /// The newest state as a tree.
    pub(crate) async fn read(&self, kind: &Kind, namespace: &str, name: &str) -> Outcome<Found> {
        found(&self.entry(kind, namespace, name).await?)
    }

    /// Writes an object that is not there yet.
    pub(crate) async fn create(&self, kind: &Kind, object: Value) -> Outcome<Found> {
        let (namespace, name) = metadata::place(&object);
        let key = self.key(kind, namespace, name)?;
        let value = encode(&object);
        let created = self.store.create(&key, value.clone(), self.write(kind));
        match created.await {
            Ok(revision) => Ok(Found {
                written: Some(value),
                ..written_as(object, revision)
            }),
            Err(Error::Exists { .. }) => {
                Err(Failure::already_exists(&kind.group, &kind.plural, name))
            }
            Err(error) => Err(of_store(error)),
        }
    }

    /// How an object of this kind is written.
    fn write(&self, kind: &Kind) -> Write {
        let write = Write {
            durability: durability(kind),
            ttl: None,
        };
        let seconds = u32::try_from(self.event_ttl.as_secs()).unwrap_or(u32::MAX);
        match NonZeroU32::new(seconds) {
            Some(seconds) if kind.plural == "events" => write.expiring(seconds),
            _ => write,
        }
    }

    /// Begins to change an object.
    pub(crate) async fn attempt<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &str,
        name: &str,
    ) -> Outcome<Attempt<'a>> {
        let entry = self.entry(kind, namespace, name).await?;
        Ok(Attempt {
            registry: self,
            kind,
            current: found(&entry)?,
            entry,
            left: ATTEMPTS,
        })
    }
}

/// A change on its way: look at what there is, decide, commit, and look again where somebody else
/// was faster.
pub(crate) struct Attempt<'a> {
    registry: &'a Registry,
    kind: &'a Kind,
    /// The object as it is.
    pub(crate) current: Found,
    entry: Entry,
    left: usize,
}

impl Attempt<'_> {
    /// Does what was decided. `None`: the object has changed meanwhile; decide anew.
    pub(crate) async fn commit(&mut self, next: Next) -> Outcome<Option<Changed>> {
        let result = match next {
            Next::Keep => return Ok(Some(Changed::Now(self.current.clone()))),
            Next::Put(object) => self.swap(object).await,
            Next::Remove(last) => self.remove(last).await,
        };
        let kind = self.kind;
        let gone = |current: &Found| {
            let name = metadata::text(&current.object, "name");
            Failure::not_found(&kind.group, &kind.plural, name)
        };
        match result {
            Ok(changed) => Ok(Some(changed)),
            Err(Error::Conflict { current, .. }) => {
                self.entry = *current.ok_or_else(|| gone(&self.current))?;
                self.current = found(&self.entry)?;
                self.left -= 1;
                if self.left == 0 {
                    let name = metadata::text(&self.current.object, "name");
                    return Err(Failure::stale(&kind.group, &kind.plural, name));
                }
                Ok(None)
            }
            Err(Error::NotFound { .. }) => Err(gone(&self.current)),
            Err(error) => Err(of_store(error)),
        }
    }

    async fn swap(&self, object: Value) -> Result<Changed, Error> {
        let (value, entry) = (encode(&object), &self.entry);
        if value == entry.value {
            return Ok(Changed::Now(written_as(object, entry.mod_revision)));
        }
        let store = &self.registry.store;
        let write = self.registry.write(self.kind);
        let expected = entry.mod_revision;
        let swapped = store.compare_and_swap(&entry.key, expected, value.clone(), write);
        Ok(Changed::Now(Found {
            written: Some(value),
            ..written_as(object, swapped.await?)
        }))
    }

    async fn remove(&self, last: Value) -> Result<Changed, Error> {
        let expected = Some(self.entry.mod_revision);
        let store = &self.registry.store;
        let removed = store.delete(&self.entry.key, expected, durability(self.kind));
        Ok(Changed::Removed(written_as(last, removed.await?.revision)))
    }
}

fn written_as(mut object: Value, revision: Revision) -> Found {
    metadata::set(&mut object, "resourceVersion", revision.to_string().into());
    Found {
        object,
        revision: revision.0,
        written: None,
    }
}

fn found(entry: &Entry) -> Outcome<Found> {
    let object = serde_json::from_slice(&entry.value);
    let object = object.map_err(|error| Failure::internal(format!("{}: {error}", entry.key)))?;
    Ok(written_as(object, entry.mod_revision))
}

fn durability(kind: &Kind) -> Durability {
    match kind.durability {
        RowDurability::Durable => Durability::Durable,
        RowDurability::Relaxed => Durability::Relaxed,
    }
}
