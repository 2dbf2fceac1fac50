//! The etcd engine on real members: the suite, TLS, lists beyond a message's usual size, and three
//! members of which one dies, one is frozen, and the leader goes.
//!
//! `KEELSON_TEST_ETCD_BIN` names the folder of the program.

#[path = "etcd/cluster.rs"]
mod cluster;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::Cluster;
use futures_util::StreamExt;
use keelson_store::embedded::EmbeddedStore;
use keelson_store::etcd::{EtcdStore, Options};
use keelson_store::snapshot;
use keelson_store::snapshot::restore::{restore_embedded, restore_etcd};
use keelson_store::snapshot::save::{save_embedded, save_etcd};
use keelson_store::{Error, Key, List, Prefix, Revision, Store, WatchEvent, Write, conformance};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(60);

fn key(name: &str) -> Key {
    Key::new(format!("/registry/things/{name}")).expect("a key")
}

fn things() -> Prefix {
    Prefix::new("/registry/things/").expect("a prefix")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn conforms() {
    let cluster = Cluster::start(1).await;
    conformance::run(cluster.store()).await;
}

#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn speaks_tls_with_both_sides_known() {
    let cluster = Cluster::start_tls().await;
    let store = cluster.store();
    let created = store
        .create(&key("a"), Bytes::from_static(b"x"), Write::durable())
        .await;
    created.expect("a new key");
    let mut options = cluster.options();
    options.tls.as_mut().expect("certificates").identity = None;
    let stranger = EtcdStore::new(&options).expect("a store");
    let refused = stranger.get(&key("a")).await;
    assert!(
        matches!(refused, Err(Error::Unavailable { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn lists_more_than_a_message_usually_holds() {
    let cluster = Cluster::start(1).await;
    let store = cluster.store();
    let writers: Vec<_> = (0..16)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..40 {
                    let value = Bytes::from(vec![b'x'; 16 * 1024]);
                    let key = key(&format!("{writer:02}-{number:02}"));
                    store
                        .create(&key, value, Write::durable())
                        .await
                        .expect("a new key");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let page = store.list(List::all(things())).await.expect("a list");
    assert_eq!((page.entries.len(), page.remaining), (640, 0));
    assert!(page.entries.is_sorted_by(|a, b| a.key < b.key));
    let page = store
        .list(List::all(things()).limit(600))
        .await
        .expect("a list");
    assert_eq!((page.entries.len(), page.remaining), (600, 40));
    let value = Bytes::from(vec![b'x'; 2 * 1024 * 1024]);
    let refused = store.create(&key("large"), value, Write::durable()).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn says_that_nobody_answers_and_works_once_somebody_does() {
    let mut cluster = Cluster::start(1).await;
    let store = cluster.store();
    cluster.kill(0);
    let started = Instant::now();
    let lost = store
        .create(&key("a"), Bytes::new(), Write::durable())
        .await;
    assert!(
        matches!(lost, Err(Error::Unavailable { .. })),
        "it was never sent: {lost:?}"
    );
    let lost = store.get(&key("a")).await;
    assert!(
        matches!(&lost, Err(Error::Unavailable { reason }) if reason.contains("127.0.0.1")),
        "{lost:?}"
    );
    assert!(
        started.elapsed() < LONG,
        "a refused connection is told soon"
    );
    cluster.restart(0).await;
    store
        .create(&key("a"), Bytes::new(), Write::durable())
        .await
        .expect("a new key");
}

#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn several_compact_together() {
    let cluster = Cluster::start(1).await;
    let (one, other) = (cluster.store(), cluster.store());
    let first = one
        .create(&key("a"), Bytes::new(), Write::durable())
        .await
        .expect("a new key");
    let every = Duration::from_millis(300);
    let fail = |error: &Error| panic!("{error}");
    let compacted = async {
        let (key, mut newest) = (key("a"), first);
        while one.list(List::all(things()).at(first)).await.is_ok() {
            let swapped = one.compare_and_swap(&key, newest, Bytes::new(), Write::durable());
            newest = swapped.await.expect("the expected revision");
        }
    };
    tokio::select! {
        () = one.compact_regularly(every, fail) => {}
        () = other.compact_regularly(every, fail) => {}
        done = timeout(LONG, compacted) => done.expect("a compaction in time"),
    }
    let gone = one.list(List::all(things()).at(first)).await;
    assert!(matches!(gone, Err(Error::Compacted { .. })), "{gone:?}");
}

#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn many_keys_share_a_lease() {
    let cluster = Cluster::start(1).await;
    let store = cluster.store();
    let start = store.revision().await.expect("a revision");
    // Twenty seconds are the least whose lease is shared for a second.
    let ttl = NonZeroU32::new(20).expect("not zero");
    for number in 0..20 {
        let write = Write::relaxed().expiring(ttl);
        store
            .create(&key(&number.to_string()), Bytes::new(), write)
            .await
            .expect("a new key");
    }
    let mut watch = store.watch(&things(), start).await.expect("a watch");
    let mut gone = Vec::new();
    while gone.len() < 20 {
        let next = timeout(LONG, watch.next()).await.expect("a change in time");
        if let Some(Ok(WatchEvent::Change(change))) = next
            && change.is_delete()
        {
            gone.push(change.revision);
        }
    }
    gone.dedup();
    assert!(gone.len() < 20, "keys on one lease go together: {gone:?}");
}

/// From one engine into the other and back: the objects are the same, and restoring needs an empty
/// place.
#[tokio::test]
#[ignore = "needs etcd: make test"]
async fn snapshots_go_from_engine_to_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let cluster = Cluster::start(1).await;
    let store = cluster.store();
    for number in 0..1200 {
        let write = match number % 3 {
            0 => Write::durable().expiring(NonZeroU32::new(3600).expect("not zero")),
            _ => Write::durable(),
        };
        let value = Bytes::from(format!("value {number}"));
        store
            .create(&key(&format!("{number:04}")), value, write)
            .await
            .expect("a new key");
    }
    let saved = save_etcd(&store, &first).await.expect("a snapshot");
    assert_eq!(saved.keys, 1200);
    let refused = restore_etcd(&first, &store).await;
    assert!(
        matches!(refused, Err(snapshot::Error::NotEmpty { .. })),
        "{refused:?}"
    );

    let data = folder.path().join("data");
    restore_embedded(&first, &data).expect("a restored store");
    let embedded = EmbeddedStore::open(&data, Default::default()).expect("a store");
    let contents = |page: &keelson_store::Page| -> Vec<_> {
        page.entries
            .iter()
            .map(|one| (one.key.clone(), one.value.clone()))
            .collect()
    };
    let before = store.list(List::all(things())).await.expect("a list");
    let after = embedded.list(List::all(things())).await.expect("a list");
    assert_eq!(before.entries, after.entries, "with the revisions they had");
    embedded.close().await;

    assert_eq!(
        save_embedded(&data, &second).expect("a snapshot").keys,
        1200
    );
    let empty = Cluster::start(1).await;
    restore_etcd(&second, &empty.store())
        .await
        .expect("a restored cluster");
    let again = empty
        .store()
        .list(List::all(things()))
        .await
        .expect("a list");
    assert_eq!(contents(&before), contents(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn outlives_the_death_of_the_member_it_talks_to() {
    let mut cluster = Cluster::start(3).await;
    let load = Load::start(&cluster).await;
    load.let_run(100).await;
    cluster.kill(0);
    load.let_run(300).await;
    cluster.restart(0).await;
    load.let_run(100).await;
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn outlives_a_frozen_member() {
    let cluster = Cluster::start(3).await;
    let load = Load::start(&cluster).await;
    load.let_run(100).await;
    cluster.freeze(0);
    load.let_run(300).await;
    cluster.thaw(0);
    load.let_run(100).await;
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs etcd: make test"]
async fn outlives_a_change_of_leader() {
    let mut cluster = Cluster::start(3).await;
    let load = Load::start(&cluster).await;
    load.let_run(100).await;
    let before = cluster.leader().await;
    cluster.kill(before);
    load.let_run(300).await;
    assert_ne!(cluster.leader().await, before);
    load.finish().await;
}

/// Writers and a watch, from whom nothing may be lost whatever happens to the members.
struct Load {
    store: Arc<EtcdStore>,
    start: Revision,
    written: tokio::sync::Mutex<mpsc::Receiver<(Key, Revision)>>,
    seen: tokio::sync::Mutex<Vec<(Key, Revision)>>,
    stop: tokio::sync::watch::Sender<bool>,
    writers: Vec<tokio::task::JoinHandle<u32>>,
    watcher: tokio::task::JoinHandle<Vec<(Key, Revision)>>,
}

impl Load {
    async fn start(cluster: &Cluster) -> Self {
        let store = cluster.store();
        let start = store.revision().await.expect("a revision");
        let stop = tokio::sync::watch::Sender::new(false);
        let (tell, written) = mpsc::channel(64);
        let writers = (0..8)
            .map(|writer| {
                let (store, tell, stop) = (Arc::clone(&store), tell.clone(), stop.subscribe());
                tokio::spawn(write(store, writer, tell, stop))
            })
            .collect();
        let watch = store.watch(&things(), start).await.expect("a watch");
        Self {
            store,
            start,
            written: tokio::sync::Mutex::new(written),
            seen: tokio::sync::Mutex::default(),
            stop,
            writers,
            watcher: tokio::spawn(follow(watch)),
        }
    }

    /// Waits until so many more writes were acknowledged.
    async fn let_run(&self, writes: usize) {
        let (mut written, mut seen) = (self.written.lock().await, self.seen.lock().await);
        for _ in 0..writes {
            let next = timeout(LONG, written.recv()).await.expect("writes go on");
            seen.push(next.expect("a writer"));
        }
    }

    /// Stops the writers and compares what they were told with the store and with the watch.
    async fn finish(self) {
        let _ = self.stop.send(true);
        let mut acknowledged = self.seen.into_inner();
        let mut written = self.written.into_inner();
        while let Some(next) = timeout(LONG, written.recv())
            .await
            .expect("the writers stop")
        {
            acknowledged.push(next);
        }
        let mut unclear = 0;
        for writer in self.writers {
            unclear += writer.await.expect("a writer");
        }
        acknowledged.sort_by_key(|(_, revision)| *revision);
        let last = key("the-last-one");
        self.store
            .create(&last, Bytes::new(), Write::durable())
            .await
            .expect("a new key");
        let watched = timeout(LONG, self.watcher)
            .await
            .expect("the watch sees it")
            .expect("a watch");
        assert!(
            watched.is_sorted_by(|(_, a), (_, b)| a < b),
            "nothing comes twice"
        );
        let missed = |one| !watched.contains(one);
        assert!(!acknowledged.iter().any(missed), "the watch missed a write");

        let page = self.store.list(List::all(things())).await.expect("a list");
        let there: Vec<_> = page
            .entries
            .iter()
            .map(|one| (one.key.clone(), one.mod_revision))
            .collect();
        assert!(
            acknowledged.iter().all(|one| there.contains(one)),
            "a write is lost"
        );
        let extra = watched.len() - acknowledged.len() - 1;
        assert!(
            extra <= unclear as usize,
            "{extra} writes nobody asked for, {unclear} unclear"
        );
        assert!(
            page.entries
                .iter()
                .all(|one| one.create_revision > self.start)
        );
    }
}

/// Creates keys until told to stop; returns how many had no clear answer.
async fn write(
    store: Arc<EtcdStore>,
    writer: usize,
    tell: mpsc::Sender<(Key, Revision)>,
    stop: tokio::sync::watch::Receiver<bool>,
) -> u32 {
    let mut unclear = 0;
    for number in 0_u32.. {
        if *stop.borrow() {
            break;
        }
        let key = key(&format!("{writer}-{number:05}"));
        let value = Bytes::from(format!("{writer} {number}"));
        match store.create(&key, value, Write::durable()).await {
            Ok(revision) => drop(tell.send((key, revision)).await),
            Err(Error::Unknown { .. }) => unclear += 1,
            Err(Error::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    unclear
}

/// All changes up to the key that comes last.
async fn follow(mut watch: keelson_store::Watch) -> Vec<(Key, Revision)> {
    let mut seen = Vec::new();
    while let Some(event) = watch.next().await {
        let WatchEvent::Change(change) = event.expect("no error") else {
            continue;
        };
        let end = change.key == key("the-last-one");
        seen.push((change.key, change.revision));
        if end {
            break;
        }
    }
    seen
}

#[tokio::test]
async fn an_address_is_needed() {
    assert!(EtcdStore::new(&Options::default()).is_err());
}
