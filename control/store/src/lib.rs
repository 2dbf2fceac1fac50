//! Where the apiserver keeps its objects: one ordered space of keys under one revision counter.
//!
//! [`Store`] is what the apiserver knows. [`embedded::EmbeddedStore`] keeps everything in one file of
//! this machine, [`etcd::EtcdStore`] in an etcd cluster, [`memory::MemoryStore`] in memory, for tests. Every engine passes the same
//! `conformance` suite.
//!
//! This crate knows keys and bytes. It must not know what an object, a kind or a namespace is.
//!
//! **Guarantees.** Every write gets a revision of its own, larger than all before. A write that was
//! answered is seen by every read that starts later, and (unless asked for as
//! [`Durability::Relaxed`]) is on disk. A watch delivers each change of its prefix once, in the
//! order of revisions, and nothing else; when it can't, it ends with [`Error::Compacted`].
//!
//! **Caveats.** Revisions may leave gaps. An error of kind [`Error::Unknown`] says that a write may
//! or may not have happened: read before trying again.

pub mod embedded;
pub mod error;
pub mod etcd;
pub mod key;
pub mod measured;
pub mod memory;
pub mod request;
pub mod revision;
pub mod snapshot;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

mod watch_window;

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

pub use error::Error;
pub use key::{Key, KeyError, Prefix};
pub use request::{Change, Deleted, Durability, Entry, List, Page, WatchEvent, Write};
pub use revision::Revision;

/// Largest value an engine that keeps values itself takes, in bytes: the apiserver's own limit on
/// request bodies. etcd's server has a limit of its own, 1.5 MiB unless told otherwise.
pub const MAX_VALUE: usize = 3 * 1024 * 1024;

/// What an operation returns: a future that may be sent between threads.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Changes of a prefix in the order of their revisions. After an error the stream ends.
pub type Watch = Pin<Box<dyn Stream<Item = Result<WatchEvent, Error>> + Send>>;

/// An ordered space of keys under one revision counter, used as `Arc<dyn Store>`.
///
/// A trait object and not an enum: the choice of engine is made once, at start, the boxed future
/// costs a hundredth of what the cheapest operation does, and a test can put an engine of its own
/// in front (one that fails the nth write).
pub trait Store: Send + Sync + 'static {
    /// The newest revision. Every write that was answered before this call began is at or below it.
    fn revision(&self) -> Reply<'_, Revision>;

    /// The newest state of `key`, or `None` when it isn't there.
    fn get<'a>(&'a self, key: &'a Key) -> Reply<'a, Option<Entry>>;

    /// Entries of a prefix in the order of their keys, all as of one revision.
    ///
    /// # Errors
    /// [`Error::Compacted`] when `list.at` is older than what is kept, [`Error::Future`] when it
    /// has not been reached.
    fn list(&self, list: List) -> Reply<'_, Page>;

    /// How many keys there are under `prefix`.
    fn count<'a>(&'a self, prefix: &'a Prefix) -> Reply<'a, u64>;

    /// Writes `key`, which must not be there yet.
    ///
    /// # Errors
    /// [`Error::Exists`] when it is.
    fn create<'a>(&'a self, key: &'a Key, value: Bytes, write: Write) -> Reply<'a, Revision>;

    /// Replaces the value of `key`, which must have been modified last at `expected`.
    ///
    /// # Errors
    /// [`Error::Conflict`], with the state there is, when it was modified since or is gone.
    fn compare_and_swap<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Reply<'a, Revision>;

    /// Removes `key`; with `expected` only if it was modified last at that revision. Answers with
    /// what was removed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `key` isn't there, [`Error::Conflict`] when it was modified since.
    fn delete<'a>(
        &'a self,
        key: &'a Key,
        expected: Option<Revision>,
        durability: Durability,
    ) -> Reply<'a, Deleted>;

    /// Every change under `prefix` whose revision is larger than `after`; one that isn't reached
    /// yet is waited for. [`WatchEvent::Progress`] comes now and then, and when
    /// [`Store::request_progress`] asks for it.
    ///
    /// # Errors
    /// [`Error::Compacted`], here or as the stream's last item, when changes after `after` are not
    /// kept any more: list, and watch from the revision of that list.
    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Reply<'a, Watch>;

    /// Asks for a [`WatchEvent::Progress`] on every watch that has delivered all there is.
    fn request_progress(&self) -> Reply<'_, ()>;

    /// Forgets changes up to and including `at`. The state at `at` can still be listed, and a watch
    /// may start after it.
    ///
    /// # Errors
    /// [`Error::Compacted`] when that was done already, [`Error::Future`] when `at` has not been
    /// reached.
    fn compact(&self, at: Revision) -> Reply<'_, ()>;
}
