//! What the store holds, in memory, kind by kind: for lists, watches and whoever decides by objects.
//!
//! Guarantees: one watch of the store feeds all kinds, in the order of revisions. A kind is loaded
//! when it is first asked for. A read that asks for the newest state waits until the feed has
//! reached the store's revision. When the feed breaks, all kinds are dropped and loaded anew, and
//! watchers are told to list again: nothing is ever served that may have gaps.
//!
//! Caveats: each kind's window of past events is bounded by number, bytes and age.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use keelson_api::status_error::Reason;
use keelson_store::{Change, List, Prefix, Revision, Store, WatchEvent};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::failure::{Failure, Outcome};
use crate::object::{Field, Version};

pub(crate) mod informer;
pub(crate) mod kind;
mod window;

pub(crate) use kind::KindCache;
pub(crate) use window::Event;

/// All keys of the API.
pub(crate) const ROOT: &str = "/registry/";
/// Changes taken from the feed before watchers are woken.
const BATCH: usize = 256;
/// Entries asked of the store at once while a kind is loaded.
const PAGE: usize = 1000;
/// How often old events are looked for.
const TRIM: Duration = Duration::from_secs(20);
/// How long the feed may lag before the store is asked for a mark.
const NUDGE: Duration = Duration::from_millis(20);
/// How long a reader waits for the feed.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause before a broken feed is opened again.
const RETRY: Duration = Duration::from_millis(500);

/// The caches of all kinds.
pub(crate) struct Caches {
    store: Arc<dyn Store>,
    kinds: RwLock<HashMap<Box<str>, Arc<KindCache>>>,
    /// Every change up to this revision has been applied. `None`: there is no feed.
    progress: watch::Sender<Option<u64>>,
    tasks: TaskTracker,
}

impl Caches {
    /// Caches over a store; nothing is loaded.
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            kinds: RwLock::default(),
            progress: watch::Sender::new(None),
            tasks: TaskTracker::new(),
        })
    }

    /// Feeds the caches until `shutdown`.
    pub(crate) async fn feed(self: Arc<Self>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let broken = tokio::select! {
                () = shutdown.cancelled() => break,
                broken = self.feed_once() => broken,
            };
            tracing::warn!(error = %broken, "the store's watch broke: every kind is loaded anew");
            self.drop_all();
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        self.drop_all();
        self.tasks.close();
    }

    /// Follows the store until that ends, and says why it did.
    async fn feed_once(&self) -> keelson_store::Error {
        let root = match Prefix::new(ROOT) {
            Ok(root) => root,
            Err(error) => return unavailable(error.to_string()),
        };
        let after = match self.store.revision().await {
            Ok(after) => after,
            Err(error) => return error,
        };
        let mut changes = match self.store.watch(&root, after).await {
            Ok(changes) => changes.ready_chunks(BATCH),
            Err(error) => return error,
        };
        self.progress.send_replace(Some(after.0));
        let mut trim = tokio::time::interval(TRIM);
        loop {
            tokio::select! {
                batch = changes.next() => match batch {
                    Some(batch) => if let Err(error) = self.take(batch) { return error },
                    None => return unavailable("its watch ended".to_owned()),
                },
                _ = trim.tick() => self.trim(),
            }
        }
    }

    fn take(
        &self,
        batch: Vec<Result<WatchEvent, keelson_store::Error>>,
    ) -> Result<(), keelson_store::Error> {
        let now = Instant::now();
        let mut touched: Vec<Arc<KindCache>> = Vec::new();
        let mut reached = 0;
        for event in batch {
            match event? {
                WatchEvent::Progress(revision) => reached = reached.max(revision.0),
                WatchEvent::Change(change) => {
                    reached = reached.max(change.revision.0);
                    let kind = self.apply(change, now);
                    let is_new =
                        |kind: &Arc<KindCache>| touched.iter().all(|k| !Arc::ptr_eq(k, kind));
                    touched.extend(kind.filter(is_new));
                }
            }
        }
        self.progress.send_if_modified(|progress| {
            let moved = Some(reached) > *progress;
            *progress = (*progress).max(Some(reached));
            moved
        });
        for kind in touched {
            kind.wake();
        }
        Ok(())
    }

    fn apply(&self, change: Change, now: Instant) -> Option<Arc<KindCache>> {
        let (prefix, _) = split_key(change.key.as_str())?;
        let kind = Arc::clone(self.kinds.read().get(prefix)?);
        kind.apply(change, now);
        Some(kind)
    }

    fn trim(&self) {
        let now = Instant::now();
        for kind in self.kinds.read().values() {
            kind.trim(now);
        }
    }

    fn drop_all(&self) {
        self.progress.send_replace(None);
        for (_, kind) in self.kinds.write().drain() {
            kind.close();
        }
    }

    /// The cache of a kind, loaded. `prefix` is that of its keys.
    pub(crate) async fn kind(
        self: &Arc<Self>,
        prefix: &str,
        fields: &[Field],
    ) -> Outcome<Arc<KindCache>> {
        if let Some(kind) = self.loaded(prefix) {
            return Ok(kind);
        }
        self.wait_for(0).await?;
        let kind = self.open(prefix, fields);
        kind.ready().await?;
        Ok(kind)
    }

    /// The cache of a kind, if it is loaded by now.
    pub(crate) fn loaded(&self, prefix: &str) -> Option<Arc<KindCache>> {
        let kind = self.kinds.read().get(prefix).cloned()?;
        kind.is_ready().then_some(kind)
    }

    fn open(self: &Arc<Self>, prefix: &str, fields: &[Field]) -> Arc<KindCache> {
        let mut kinds = self.kinds.write();
        if let Some(kind) = kinds.get(prefix) {
            return Arc::clone(kind);
        }
        let kind = Arc::new(KindCache::new(prefix, fields));
        kinds.insert(prefix.into(), Arc::clone(&kind));
        // A reader that goes away must not leave a kind half loaded.
        let (caches, loading) = (Arc::clone(self), Arc::clone(&kind));
        self.tasks.spawn(async move {
            if let Err(error) = caches.load(&loading).await {
                tracing::warn!(prefix = %loading.prefix(), %error, "a kind was not loaded");
                caches.forget(&loading);
            }
        });
        kind
    }

    fn forget(&self, kind: &Arc<KindCache>) {
        let mut kinds = self.kinds.write();
        let current = kinds.get(kind.prefix());
        if current.is_some_and(|current| Arc::ptr_eq(current, kind)) {
            kinds.remove(kind.prefix());
        }
        kind.close();
    }

    async fn load(&self, kind: &KindCache) -> Result<(), keelson_store::Error> {
        let prefix = Prefix::new(kind.prefix()).map_err(|error| unavailable(error.to_string()))?;
        let mut versions = Vec::new();
        let mut list = List::all(prefix.clone()).limit(PAGE);
        loop {
            let page = self.store.list(list).await?;
            versions.extend(page.entries.iter().filter_map(|entry| {
                let (_, rest) = split_key(entry.key.as_str())?;
                let revision = entry.mod_revision.0;
                Some(Version::new(rest, revision, &entry.value, kind.fields()))
            }));
            match page.entries.last() {
                Some(last) if page.remaining > 0 => {
                    let next = List::all(prefix.clone()).limit(PAGE);
                    list = next.after(last.key.clone()).at(page.revision);
                }
                _ => {
                    kind.fill(versions, page.revision.0, Instant::now());
                    return Ok(());
                }
            }
        }
    }

    /// How many objects each loaded kind has, by its name in the store.
    pub(crate) fn counts(&self) -> Vec<(String, usize)> {
        let kinds = self.kinds.read();
        let name = |prefix: &str| prefix.trim_start_matches(ROOT).trim_matches('/').to_owned();
        let counts = kinds
            .iter()
            .map(|(prefix, kind)| (name(prefix), kind.count()));
        counts.collect()
    }

    /// The newest revision that every cache has reached.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.borrow().unwrap_or_default()
    }

    /// Whether the store is being followed.
    pub(crate) fn is_fed(&self) -> bool {
        self.progress.borrow().is_some()
    }

    /// Waits until the caches show everything that was written before this was called.
    pub(crate) async fn catch_up(&self) -> Outcome<u64> {
        let Revision(newest) = self.store.revision().await.map_err(of_store)?;
        self.wait_for(newest).await?;
        Ok(newest)
    }

    /// Waits until the caches have reached a revision.
    pub(crate) async fn wait_for(&self, revision: u64) -> Outcome<()> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|now| *now >= Some(revision)).map(drop);
        if timeout(NUDGE, reached).await.is_ok() {
            return Ok(());
        }
        let asked = self.store.request_progress().await;
        let reached = progress.wait_for(|now| *now >= Some(revision));
        let outcome = timeout(PATIENCE, reached).await;
        match (outcome, asked) {
            (Ok(_), _) => Ok(()),
            (Err(_), Err(error)) => Err(of_store(error)),
            (Err(_), Ok(())) => Err(too_new(revision, self.progress())),
        }
    }
}

fn unavailable(reason: String) -> keelson_store::Error {
    keelson_store::Error::Unavailable { reason }
}

/// The refusal of a revision that has not been reached.
pub(crate) fn too_new(asked: u64, current: u64) -> Failure {
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    Failure::new(Reason::Timeout, message)
        .because("ResourceVersionTooLarge", "Too large resource version")
}

/// Splits a key into the prefix of its kind and what follows: `NAMESPACE/NAME` or `NAME`. Kinds of
/// groups with a dot have the group in their prefix.
pub(crate) fn split_key(key: &str) -> Option<(&str, &str)> {
    let inner = key.strip_prefix(ROOT)?;
    let first = inner.find('/')?;
    let end = if inner[..first].contains('.') {
        first + 1 + inner[first + 1..].find('/')?
    } else {
        first
    };
    Some(key.split_at(ROOT.len() + end + 1))
}

/// What the store's errors mean to a client, where the object is not the point.
pub(crate) fn of_store(error: keelson_store::Error) -> Failure {
    use keelson_store::Error;
    match error {
        Error::Compacted {
            requested,
            compacted,
        } => Failure::expired(format!(
            "too old resource version: {requested} ({compacted})"
        )),
        Error::Future { requested, current } => too_new(requested.0, current.0),
        Error::TooLarge { .. } => Failure::new(Reason::RequestEntityTooLarge, error.to_string()),
        Error::Timeout { .. } | Error::Unknown { .. } => {
            Failure::new(Reason::Timeout, error.to_string())
        }
        Error::Unavailable { .. } | Error::Full { .. } => {
            Failure::new(Reason::ServiceUnavailable, error.to_string())
        }
        other => Failure::internal(other),
    }
}

#[cfg(test)]
mod tests;
