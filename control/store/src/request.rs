//! Values that go into a store and come out of it. They must not know an engine.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::{Key, Prefix, Revision};

/// The state of a key at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// What was written. A clone shares the bytes.
    pub value: Bytes,
    /// When it was created.
    pub create_revision: Revision,
    /// When it was written last: its `resourceVersion`.
    pub mod_revision: Revision,
    /// How often it was written since it was created, the creation included.
    pub version: u64,
}

/// When a write may be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When it is on disk.
    #[default]
    Durable,
    /// When it can be read; it is on disk shortly after. For what is written anew all the time, as
    /// Events and Leases are: the process may lose the last moments of it. etcd ignores this.
    Relaxed,
}

/// How a value is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// When the write may be answered.
    pub durability: Durability,
    /// Seconds until the key removes itself, which watches see as a deletion. It may stay up to a
    /// minute or a twentieth longer. `None` keeps it; a swap sets it anew.
    pub ttl: Option<NonZeroU32>,
}

impl Write {
    /// On disk when answered, kept.
    #[must_use]
    pub const fn durable() -> Self {
        Self {
            durability: Durability::Durable,
            ttl: None,
        }
    }

    /// On disk soon after, kept.
    #[must_use]
    pub const fn relaxed() -> Self {
        Self {
            durability: Durability::Relaxed,
            ttl: None,
        }
    }

    /// The same with a time to live.
    #[must_use]
    pub const fn expiring(mut self, seconds: NonZeroU32) -> Self {
        self.ttl = Some(seconds);
        self
    }
}

/// Which entries to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Their keys begin with this.
    pub prefix: Prefix,
    /// Only keys after this one: the last of the page before.
    pub after: Option<Key>,
    /// At most so many; `0` means all.
    pub limit: usize,
    /// As of this revision; `None` means the newest.
    pub at: Option<Revision>,
}

impl List {
    /// All entries of `prefix`, as of now.
    #[must_use]
    pub const fn all(prefix: Prefix) -> Self {
        Self {
            prefix,
            after: None,
            limit: 0,
            at: None,
        }
    }

    /// At most `limit` of them.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only those after `key`, which need not be there any more.
    #[must_use]
    pub fn after(mut self, key: Key) -> Self {
        self.after = Some(key);
        self
    }

    /// As of `revision`, so that pages fit together.
    #[must_use]
    pub const fn at(mut self, revision: Revision) -> Self {
        self.at = Some(revision);
        self
    }
}

/// Some entries of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// All entries are as of this revision: a watch after it misses nothing.
    pub revision: Revision,
    /// How many more there are after the last of these.
    pub remaining: u64,
}

/// A key was written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// When.
    pub revision: Revision,
    /// The state after the change; `None` when the key was removed.
    pub current: Option<Entry>,
    /// The state before; `None` when the key was created. (From etcd also when the state before has
    /// been compacted away: a watch that far behind should list anew.)
    pub previous: Option<Entry>,
}

impl Change {
    /// Whether the key was not there before.
    #[must_use]
    pub fn is_create(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|entry| entry.create_revision == entry.mod_revision)
    }

    /// Whether the key was removed.
    #[must_use]
    pub const fn is_delete(&self) -> bool {
        self.current.is_none()
    }
}

/// What a watch delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// A change of the prefix.
    Change(Change),
    /// Every change up to this revision has been delivered.
    Progress(Revision),
}

/// What a deletion removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The last state.
    pub previous: Entry,
    /// When it was removed.
    pub revision: Revision,
}
