//! Lists and watches from the cache, fed by a store in memory.

use bytes::Bytes;
use keelson_store::memory::MemoryStore;
use keelson_store::{Durability, Key, Write};

use super::kind::Snapshot;
use super::*;
use crate::selection::Selection;

struct Bench {
    store: Arc<dyn Store>,
    caches: Arc<Caches>,
    stop: CancellationToken,
}

impl Bench {
    fn start() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let caches = Caches::new(Arc::clone(&store));
        let stop = CancellationToken::new();
        tokio::spawn(Arc::clone(&caches).feed(stop.clone()));
        Self {
            store,
            caches,
            stop,
        }
    }

    async fn create(&self, key: &str, label: &str) -> u64 {
        let value = format!(r#"{{"metadata":{{"labels":{{"l":"{label}"}}}}}}"#);
        let key = Key::new(key).unwrap();
        let written = self
            .store
            .create(&key, Bytes::from(value), Write::durable())
            .await;
        written.unwrap().0
    }

    async fn delete(&self, key: &str) -> u64 {
        let key = Key::new(key).unwrap();
        let deleted = self.store.delete(&key, None, Durability::Durable).await;
        deleted.unwrap().revision.0
    }
}

fn keys(snapshot: &Snapshot) -> Vec<&str> {
    snapshot
        .versions
        .iter()
        .map(|version| &*version.key)
        .collect()
}

#[test]
fn keys_name_their_kind() {
    let check = |key, expected| assert_eq!(split_key(key), expected, "{key}");
    check("/registry/pods/a/b", Some(("/registry/pods/", "a/b")));
    check("/registry/nodes/b", Some(("/registry/nodes/", "b")));
    check(
        "/registry/x.io/foos/a/b",
        Some(("/registry/x.io/foos/", "a/b")),
    );
    check("/registry/pods", None);
    check("/other/pods/a", None);
}

#[tokio::test]
async fn reads_see_every_write_before_them() {
    let bench = Bench::start();
    bench.create("/registry/pods/a/1", "x").await;
    let kind = bench.caches.kind("/registry/pods/", &[]).await.unwrap();
    bench.create("/registry/pods/b/2", "x").await;
    bench.create("/registry/nodes/n", "x").await;
    let newest = bench.caches.catch_up().await.unwrap();
    let all = kind.all();
    assert_eq!(keys(&all), ["a/1", "b/2"]);
    assert!(newest >= all.revision);
    let in_a = Selection::parse("a", None, None, &[]).unwrap();
    let found = kind.select(&in_a, newest);
    assert_eq!((keys(&found), found.revision), (vec!["a/1"], newest));
    bench.stop.cancel();
}

#[tokio::test]
async fn changes_follow_a_list_without_gap() {
    let bench = Bench::start();
    bench.create("/registry/pods/a/1", "x").await;
    let kind = bench.caches.kind("/registry/pods/", &[]).await.unwrap();
    let listed = kind.all().revision;
    let created = bench.create("/registry/pods/a/2", "x").await;
    let deleted = bench.delete("/registry/pods/a/1").await;
    bench.caches.catch_up().await.unwrap();
    let changes = kind.changes(listed, 10).unwrap();
    let seen: Vec<_> = changes
        .iter()
        .map(|c| (&*c.version.key, c.revision, c.gone))
        .collect();
    assert_eq!(seen, [("a/2", created, false), ("a/1", deleted, true)]);
    let old = kind.changes(0, 10).unwrap_err();
    assert!(old.is(Reason::Expired), "{old}");
    bench.stop.cancel();
}

#[tokio::test]
async fn a_broken_feed_closes_its_kinds() {
    let bench = Bench::start();
    let kind = bench.caches.kind("/registry/pods/", &[]).await.unwrap();
    let mut wake = kind.subscribe();
    bench.caches.drop_all();
    assert!(!wake.next().await);
    assert!(bench.caches.loaded("/registry/pods/").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_never_comes_is_refused() {
    let bench = Bench::start();
    let refused = bench.caches.wait_for(1_000_000).await.unwrap_err();
    assert!(refused.is(Reason::Timeout), "{refused}");
    bench.stop.cancel();
}
