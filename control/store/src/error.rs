//! What can go wrong in a store, whichever engine it is. It must not know HTTP: the apiserver has
//! the one table that turns these into a `Status`.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::{Entry, Key, Revision};

/// Why an operation was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no such key.
    #[error("{key} is not there")]
    NotFound {
        /// What was asked for.
        key: Key,
    },
    /// The key to create is there.
    #[error("{key} exists")]
    Exists {
        /// What was to be created.
        key: Key,
    },
    /// The key was modified since, or is gone.
    #[error("{key} is not as expected: last modified at revision {}, not {expected}",
        current.as_ref().map_or_else(|| "none (it is gone)".to_owned(), |entry| entry.mod_revision.to_string()))]
    Conflict {
        /// What was to be changed.
        key: Key,
        /// The revision the writer had seen.
        expected: Revision,
        /// The state there is, `None` when the key is gone: saves the writer another read.
        current: Option<Box<Entry>>,
    },
    /// Changes that old are not kept any more.
    #[error("revision {requested} is older than the oldest that is kept, {compacted}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest revision whose state can be listed, and after which a watch can start.
        compacted: Revision,
    },
    /// No write has had that revision yet.
    #[error("revision {requested} is newer than the newest, {current}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// The newest revision.
        current: Revision,
    },
    /// The value is larger than the engine takes.
    #[error("the value of {key} has {size} bytes, at most {limit}")]
    TooLarge {
        /// Whose value.
        key: Key,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nothing was done, because the store can't be reached or is shutting down.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// Which endpoints were tried and what they said, or what stopped the engine.
        reason: String,
    },
    /// No answer in time. A read did nothing; a write is answered with [`Error::Unknown`].
    #[error("the store did not answer {operation} within {after:?}")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The write may or may not have happened: read the key to learn which.
    #[error("whether {key} was written is not known: {reason}")]
    Unknown {
        /// What was to be written.
        key: Key,
        /// What broke on the way.
        reason: String,
    },
    /// The disk is full: reads go on, writes are refused until there is space.
    #[error("no space left for {}: free some, writes work again by themselves", path.display())]
    Full {
        /// The file that can't grow.
        path: PathBuf,
    },
    /// What was read is not what was written. It is not served.
    #[error("{} is damaged: {detail}; restore a snapshot with `keelson snapshot restore`", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Another process has the file open.
    #[error("{} is open in another process: stop it first", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The engine can't read or write its file.
    #[error("{step} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The server refused, for a reason that has no variant of its own.
    #[error("the store refused {operation}: {reason}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// What it said.
        reason: String,
    },
}
