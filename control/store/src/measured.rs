//! A store that counts and times what another one does, under the names upstream's API server gives
//! to its storage metrics. It must not know which engine is behind it, nor who reads the page.

mod render;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    Deleted, Durability, Entry, Error, Key, List, Page, Prefix, Reply, Revision, Store, Watch,
    WatchEvent, Write,
};

/// Upper bounds of request durations, in seconds: upstream's.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Get,
    List,
    Create,
    Update,
    Delete,
}

const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Get, "get"),
    (Operation::List, "list"),
    (Operation::Create, "create"),
    (Operation::Update, "update"),
    (Operation::Delete, "delete"),
];

/// Durations of one operation on one resource.
#[derive(Clone, Debug, Default)]
struct Sample {
    counts: [u64; BOUNDS.len()],
    all: u64,
    errors: u64,
    seconds: f64,
}

/// All that is counted about one resource.
#[derive(Debug, Default)]
struct Resource {
    samples: [Sample; OPERATIONS.len()],
    received: Arc<Received>,
}

/// What watches of a resource delivered.
#[derive(Debug, Default)]
struct Received {
    changes: AtomicU64,
    marks: AtomicU64,
}

/// A store that counts what `inner` does.
pub struct Measured {
    inner: Arc<dyn Store>,
    resources: Mutex<BTreeMap<Box<str>, Resource>>,
}

impl Measured {
    /// Counts what `inner` does from now on.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            resources: Mutex::default(),
        }
    }

    /// Waits for `reply` and counts it as an `operation` on `path`.
    async fn time<T>(
        &self,
        operation: Operation,
        path: &str,
        reply: Reply<'_, T>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let result = reply.await;
        let failed = result.as_ref().is_err_and(is_failure);
        self.count(operation, path, started.elapsed(), failed);
        result
    }

    fn count(&self, operation: Operation, path: &str, took: Duration, failed: bool) {
        let seconds = took.as_secs_f64();
        self.with(path, |resource| {
            let sample = &mut resource.samples[operation as usize];
            if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
                sample.counts[bucket] += 1;
            }
            sample.all += 1;
            sample.seconds += seconds;
            sample.errors += u64::from(failed);
        });
    }

    fn with<T>(&self, path: &str, change: impl FnOnce(&mut Resource) -> T) -> T {
        let folder = folder(path);
        let mut resources = self.resources.lock();
        if let Some(resource) = resources.get_mut(folder) {
            return change(resource);
        }
        change(resources.entry(Box::from(folder)).or_default())
    }
}

/// An answer that says no is no failure: the store did what it should.
const fn is_failure(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::Exists { .. }
            | Error::Conflict { .. }
            | Error::Compacted { .. }
            | Error::Future { .. }
    )
}

/// The part of a key that names its resource: `RESOURCE`, or `GROUP/RESOURCE` where the group has a
/// dot, as the keys of resources that others define have it.
fn folder(path: &str) -> &str {
    let below = path.strip_prefix("/registry/").unwrap_or(path);
    let first = below.find('/').unwrap_or(below.len());
    if !below[..first].contains('.') {
        return &below[..first];
    }
    let second = below[first..]
        .strip_prefix('/')
        .and_then(|rest| rest.find('/'));
    &below[..second.map_or(below.len(), |second| first + 1 + second)]
}

impl Store for Measured {
    fn revision(&self) -> Reply<'_, Revision> {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a Key) -> Reply<'a, Option<Entry>> {
        Box::pin(self.time(Operation::Get, key.as_str(), self.inner.get(key)))
    }

    fn list(&self, list: List) -> Reply<'_, Page> {
        let prefix = list.prefix.clone();
        let reply = self.inner.list(list);
        Box::pin(async move { self.time(Operation::List, prefix.as_str(), reply).await })
    }

    fn count<'a>(&'a self, prefix: &'a Prefix) -> Reply<'a, u64> {
        self.inner.count(prefix)
    }

    fn create<'a>(&'a self, key: &'a Key, value: Bytes, write: Write) -> Reply<'a, Revision> {
        let reply = self.inner.create(key, value, write);
        Box::pin(self.time(Operation::Create, key.as_str(), reply))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a Key,
        expected: Revision,
        value: Bytes,
        write: Write,
    ) -> Reply<'a, Revision> {
        let reply = self.inner.compare_and_swap(key, expected, value, write);
        Box::pin(self.time(Operation::Update, key.as_str(), reply))
    }

    fn delete<'a>(
        &'a self,
        key: &'a Key,
        expected: Option<Revision>,
        durability: Durability,
    ) -> Reply<'a, Deleted> {
        let reply = self.inner.delete(key, expected, durability);
        Box::pin(self.time(Operation::Delete, key.as_str(), reply))
    }

    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Reply<'a, Watch> {
        Box::pin(async move {
            let watch = self.inner.watch(prefix, after).await?;
            let received = self.with(prefix.as_str(), |one| Arc::clone(&one.received));
            let counted: Watch = Box::pin(watch.inspect(move |item| received.count(item)));
            Ok(counted)
        })
    }

    fn request_progress(&self) -> Reply<'_, ()> {
        self.inner.request_progress()
    }

    fn compact(&self, at: Revision) -> Reply<'_, ()> {
        self.inner.compact(at)
    }
}

impl Received {
    fn count(&self, item: &Result<WatchEvent, Error>) {
        let counter = match item {
            Ok(WatchEvent::Change(_)) => &self.changes,
            Ok(WatchEvent::Progress(_)) => &self.marks,
            Err(_) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[test]
    fn keys_name_their_resource() {
        let check = |path: &str, expected: &str| assert_eq!(folder(path), expected, "{path}");
        check("/registry/pods/default/web", "pods");
        check("/registry/pods/", "pods");
        check("/registry/services/specs/default/web", "services");
        check(
            "/registry/example.com/things/default/a",
            "example.com/things",
        );
        check("/registry/example.com/things/", "example.com/things");
        check("/registry/example.com/", "example.com/");
        check("/", "");
        check("/elsewhere", "");
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        let store = Measured::new(Arc::new(MemoryStore::new()));
        crate::conformance::run(Arc::new(store)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn counts_what_was_done() {
        let store = Measured::new(Arc::new(MemoryStore::new()));
        let key = Key::new("/registry/example.com/things/a").unwrap();
        let prefix = Prefix::new("/registry/example.com/things/").unwrap();
        let large = Bytes::from(vec![0; crate::MAX_VALUE + 1]);
        assert!(store.create(&key, large, Write::durable()).await.is_err());
        store
            .create(&key, Bytes::new(), Write::durable())
            .await
            .unwrap();
        assert!(
            store
                .create(&key, Bytes::new(), Write::durable())
                .await
                .is_err()
        );
        store.get(&key).await.unwrap();
        let mut watch = store.watch(&prefix, Revision::ZERO).await.unwrap();
        assert!(watch.next().await.is_some());
        store.request_progress().await.unwrap();
        assert!(watch.next().await.is_some());
        let mut text = String::new();
        store.render(&mut text);
        let labels = "group=\"example.com\",resource=\"things\"";
        for line in [
            format!("etcd_requests_total{{operation=\"create\",{labels}}} 3"),
            format!("etcd_request_errors_total{{operation=\"create\",{labels}}} 1"),
            format!(
                "etcd_request_duration_seconds_bucket{{operation=\"get\",{labels},le=\"0.005\"}} 1"
            ),
            format!("etcd_request_duration_seconds_count{{operation=\"create\",{labels}}} 3"),
            format!("apiserver_storage_events_received_total{{{labels}}} 1"),
            format!("etcd_bookmark_counts{{{labels}}} 1"),
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(
            !text.contains("operation=\"list\""),
            "what never happened is not shown:\n{text}"
        );
    }
}
