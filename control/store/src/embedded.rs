//! The default engine: one file on this machine, written by one thread, read by everyone.
//!
//! **Guarantees.** A durable write that was answered is on disk. A relaxed one is within a tenth of
//! a second; if the process dies before, revisions that readers may have seen are never used
//! again, and a watch from one of them is told to list. Readers see whole commits and never wait
//! for a writer. What is read is checked against its checksum; on opening, the whole file is.
//!
//! **Assumptions.** The folder is on a local disk whose fsync means it.
//!
//! **Caveats.** One process has the folder at a time.

mod committer;
mod fault;
mod file;
mod layout;
mod metrics;
mod pieces;
mod queue;
mod restoring;
mod transaction;
mod view;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::oneshot;

use self::committer::Committer;
use self::fault::Fault;
use self::file::FolderLock;
use self::metrics::Metrics;
use self::queue::{Operation, Outcome, Queue, Request};
use self::view::View;
use crate::snapshot::save::Listener;
use crate::watch_window::hub::{Hub, Replay};
use crate::watch_window::{Batch, Limits};
use crate::{
    Deleted, Durability, Entry, Error, Key, List, Page, Prefix, Reply, Revision, Store, Watch,
    Write,
};

pub use self::metrics::Numbers;
pub(crate) use self::restoring::Restoring;

/// The newest changes that are kept in memory for watches.
const WINDOW: Limits = Limits {
    changes: 4096,
    bytes: 2 * 1024 * 1024,
};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Changes older than this are forgotten, as upstream's apiserver has etcd do it.
    pub history_age: Duration,
    /// When superseded values take more bytes than this, the oldest go earlier.
    pub history_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history_age: Duration::from_secs(5 * 60),
            history_bytes: 128 * 1024 * 1024,
        }
    }
}

/// A store in a folder of this machine. Dropping it finishes what was asked for and closes it.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    listener: Mutex<Option<Listener>>,
}

/// Where a snapshot comes from; it does not keep the store open.
pub(crate) struct SnapshotSource {
    shared: Arc<Shared>,
}

impl SnapshotSource {
    /// The state after the last commit.
    pub fn view(&self) -> Result<Arc<View>, Error> {
        self.shared.open_view()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

/// What readers, watches and the committer share.
struct Shared {
    view: RwLock<Option<Arc<View>>>,
    hub: Arc<Hub>,
    path: Arc<Path>,
    metrics: Metrics,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, and makes it when there is none. Reads and checks all of the
    /// file: about a second for a gigabyte.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it, [`Error::Corrupt`] when it is damaged.
    pub fn open(folder: &Path, options: Options) -> Result<Self, Error> {
        let lock = FolderLock::take(folder)?;
        let (database, position, path) = file::open(folder)?;
        let (revision, compacted) = (Revision(position.revision), Revision(position.compacted));
        let shared = Arc::new(Shared {
            view: RwLock::new(None),
            hub: Arc::new(Hub::new(revision, WINDOW)),
            path: Arc::from(path),
            metrics: Metrics::default(),
        });
        shared
            .show(&database, revision, compacted)
            .map_err(|fault| fault.at("reading", &shared.path))?;
        let queue = Arc::new(Queue::default());
        let database = Arc::new(database);
        let committer = Committer::new(
            database,
            Arc::clone(&shared),
            Arc::clone(&queue),
            options,
            position,
        );
        let thread = spawn(committer, lock, Arc::clone(&shared), Arc::clone(&queue))?;
        Ok(Self {
            shared,
            queue,
            thread: Mutex::new(Some(thread)),
            listener: Mutex::new(None),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Numbers about the engine, for its metrics.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let shared = &self.shared;
        let seen = shared.view().map(|view| (view.revision, view.compacted));
        let (revision, compacted) = seen.unwrap_or_default();
        let watches = shared.hub.watches();
        shared
            .metrics
            .numbers(&shared.path, watches, revision, compacted)
    }

    /// Finishes what was asked for, has it on disk and closes the file; everything after that is
    /// answered with [`Error::Unavailable`].
    pub async fn close(&self) {
        let listener = self.listener.lock().take();
        let _ = tokio::task::spawn_blocking(move || drop(listener)).await;
        let _ = self.queue.run(Operation::Stop).await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Where snapshots come from.
    pub(crate) fn snapshot_source(&self) -> SnapshotSource {
        SnapshotSource {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Keeps what sends snapshots until the store is closed.
    pub(crate) fn keep(&self, listener: Listener) {
        *self.listener.lock() = Some(listener);
    }

    async fn write(&self, operation: Operation) -> Result<Revision, Error> {
        match self.queue.run(operation).await? {
            Outcome::Written(revision) => Ok(revision),
            Outcome::Deleted(deleted) => Ok(deleted.revision),
            Outcome::Done => Ok(Revision::ZERO),
        }
    }

    /// Reads on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let view = self.shared.open_view()?;
        let reading = tokio::task::spawn_blocking(move || read(&view));
        reading.await.unwrap_or_else(|stopped| {
            Err(Error::Unavailable {
                reason: stopped.to_string(),
            })
        })
    }

    fn follow(&self, prefix: &Prefix, after: Revision) -> Result<Watch, Error> {
        self.shared.open_view()?.check_kept(after)?;
        let replay: Arc<Shared> = Arc::clone(&self.shared);
        Ok(self.shared.hub.follow(replay, prefix, after))
    }
}

/// Starts the committer; when it ends, for whatever reason, everyone is told.
fn spawn(
    mut committer: Committer,
    lock: FolderLock,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
) -> Result<JoinHandle<()>, Error> {
    let path = shared.path.to_path_buf();
    let body = move || {
        let ended = catch_unwind(AssertUnwindSafe(|| committer.run()));
        let why = ended.unwrap_or_else(|panic| Error::Unavailable {
            reason: file::panic_text(panic.as_ref()),
        });
        queue.close(&why);
        shared.hub.close();
        *shared.view.write() = None;
        drop((committer, lock));
    };
    let thread = std::thread::Builder::new().name("store-commit".to_owned());
    thread.spawn(body).map_err(|error| Error::Io {
        step: "starting the committer of",
        path,
        reason: error.to_string(),
    })
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.listener.lock().take());
        let (reply, _) = oneshot::channel();
        self.queue.push_last(Request {
            operation: Operation::Stop,
            reply,
        });
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn view(&self) -> Option<Arc<View>> {
        self.view.read().clone()
    }

    fn open_view(&self) -> Result<Arc<View>, Error> {
        self.view().ok_or_else(|| Error::Unavailable {
            reason: "the engine has stopped".to_owned(),
        })
    }

    /// Lets readers see what was committed last.
    fn show(
        &self,
        database: &Database,
        revision: Revision,
        compacted: Revision,
    ) -> Result<(), Fault> {
        let view = View::open(database, Arc::clone(&self.path), revision, compacted)?;
        let before = self.view.write().replace(Arc::new(view));
        drop(before);
        Ok(())
    }

    fn free_space(&self) -> u64 {
        committer::free_space(&self.path)
    }
}

impl Replay for Shared {
    fn replay(&self, after: Revision, prefix: &Prefix, max: usize) -> Result<Batch, Error> {
        self.open_view()?.replay(after, prefix, max)
    }
}

impl Store for EmbeddedStore {
    fn revision(&self) -> Reply<'_, Revision> {
        Box::pin(async { Ok(self.shared.open_view()?.revision) })
    }

    fn get<'a>(&'a self, key: &'a Key) -> Reply<'a, Option<Entry>> {
        Box::pin(async { self.shared.open_view()?.get(key) })
    }

    fn list(&self, list: List) -> Reply<'_, Page> {
        Box::pin(self.read(move |view| view.list(&list)))
    }

    fn count<'a>(&'a self, prefix: &'a Prefix) -> Reply<'a, u64> {
        let prefix = prefix.clone();
        Box::pin(self.read(move |view| view.count(&prefix)))
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, write: Write) -> Reply<'a, Revision> {
        Box::pin(self.write(Operation::Create(key.clone(), value, write)))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Reply<'a, Revision> {
        Box::pin(self.write(Operation::Swap(key.clone(), expected, value, write)))
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        expected: Option<Revision>,
        durability: Durability,
    ) -> Reply<'a, Deleted> {
        Box::pin(async move {
            let operation = Operation::Delete(key.clone(), expected, durability);
            match self.queue.run(operation).await? {
                Outcome::Deleted(deleted) => Ok(*deleted),
                Outcome::Written(_) | Outcome::Done => Err(Error::NotFound { key: key.clone() }),
            }
        })
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Reply<'a, Watch> {
        Box::pin(async move { self.follow(prefix, after) })
    }

    fn request_progress(&self) -> Reply<'_, ()> {
        self.shared.hub.request_progress();
        Box::pin(async { Ok(()) })
    }

    fn compact(&self, at: Revision) -> Reply<'_, ()> {
        Box::pin(async move { self.write(Operation::Compact(at)).await.map(drop) })
    }
}

/// Where the store of `folder` is.
#[must_use]
pub fn file_of(folder: &Path) -> PathBuf {
    folder.join(file::NAME)
}

#[cfg(test)]
mod tests;
