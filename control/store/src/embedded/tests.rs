//! The engine on a real file: the suite, restarts, the past, damage.

use super::*;
use crate::{WatchEvent, conformance};
use futures_util::StreamExt;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Options::default()).unwrap()
}

fn key(name: &str) -> Key {
    Key::new(format!("/registry/things/{name}")).unwrap()
}

fn things() -> Prefix {
    Prefix::new("/registry/things/").unwrap()
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(Arc::new(open(folder.path()))).await;
}

#[tokio::test]
async fn conforms_on_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(Arc::new(open(folder.path()))).await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = store
        .create(&key("a"), value("one"), Write::durable())
        .await
        .unwrap();
    let second = store
        .compare_and_swap(&key("a"), first, value("two"), Write::relaxed())
        .await
        .unwrap();
    store
        .create(&key("b"), value("b"), Write::durable())
        .await
        .unwrap();
    let gone = store
        .delete(&key("b"), None, Durability::Durable)
        .await
        .unwrap()
        .revision;
    store.close().await;
    let closed = store.get(&key("a")).await;
    assert!(
        matches!(closed, Err(Error::Unavailable { .. })),
        "{closed:?}"
    );

    let store = open(folder.path());
    assert_eq!(
        store.revision().await,
        Ok(gone),
        "closed in order: no revision is skipped"
    );
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(
        (entry.create_revision, entry.mod_revision, entry.version),
        (first, second, 2)
    );
    let past = store.list(List::all(things()).at(first)).await.unwrap();
    assert_eq!(past.entries[0].value, "one");
    let mut watch = store.watch(&things(), first).await.unwrap();
    for revision in [second, Revision(second.0 + 1), gone] {
        let Some(Ok(WatchEvent::Change(change))) = watch.next().await else {
            panic!("the watch ended")
        };
        assert_eq!(change.revision, revision);
    }
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let second = EmbeddedStore::open(folder.path(), Options::default()).err();
    assert!(matches!(second, Some(Error::Locked { .. })), "{second:?}");
    drop(store);
    drop(open(folder.path()));
}

#[tokio::test]
async fn keys_expire_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let write = Write::durable().expiring(NonZeroU32::MIN);
    let created = store.create(&key("a"), value("x"), write).await.unwrap();
    store.close().await;
    let store = open(folder.path());
    let mut watch = store.watch(&things(), created).await.unwrap();
    let Some(Ok(WatchEvent::Change(change))) = watch.next().await else {
        panic!("the watch ended")
    };
    assert!(change.is_delete());
}

/// More than memory keeps: a watch from the beginning reads the file, in steps.
#[tokio::test]
async fn watches_read_on_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()));
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..150 {
                    let key = key(&format!("{task}-{number}"));
                    store
                        .create(&key, value("x"), Write::relaxed())
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut watch = store.watch(&things(), Revision::ZERO).await.unwrap();
    for expected in 1..=6000 {
        let Some(Ok(WatchEvent::Change(change))) = watch.next().await else {
            panic!("the watch ended")
        };
        assert_eq!(change.revision, Revision(expected));
    }
}

/// The past is bounded: the oldest goes early when it takes too much, and the file stays small.
#[tokio::test]
async fn the_past_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        history_bytes: 1024 * 1024,
        ..Options::default()
    };
    let store = EmbeddedStore::open(folder.path(), options).unwrap();
    let large = Bytes::from(vec![b'x'; 64 * 1024]);
    let first = store
        .create(&key("a"), large.clone(), Write::durable())
        .await
        .unwrap();
    let mut newest = first;
    for _ in 0..600 {
        let swapped = store
            .compare_and_swap(&key("a"), newest, large.clone(), Write::relaxed())
            .await;
        newest = swapped.unwrap();
    }
    store.close().await;
    let size = std::fs::metadata(file_of(folder.path())).unwrap().len();
    assert!(
        size < 12 * 1024 * 1024,
        "{size} bytes for one value of 64 KiB and 1 MiB of past"
    );
    let store = open(folder.path());
    let old = store.list(List::all(things()).at(first)).await;
    assert!(matches!(old, Err(Error::Compacted { .. })), "{old:?}");
    let recent = store
        .list(List::all(things()).at(Revision(newest.0 - 5)))
        .await
        .unwrap();
    assert_eq!(recent.entries.len(), 1);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().version, 601);
}

/// Compaction removes exactly what no revision needs that can still be asked for.
#[tokio::test]
async fn compaction_keeps_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let a1 = store
        .create(&key("a"), value("a1"), Write::durable())
        .await
        .unwrap();
    let a2 = store
        .compare_and_swap(&key("a"), a1, value("a2"), Write::durable())
        .await
        .unwrap();
    store
        .create(&key("gone"), value("g"), Write::durable())
        .await
        .unwrap();
    let gone = store
        .delete(&key("gone"), None, Durability::Durable)
        .await
        .unwrap()
        .revision;
    let a3 = store
        .compare_and_swap(&key("a"), a2, value("a3"), Write::durable())
        .await
        .unwrap();
    store.compact(gone).await.unwrap();
    store.close().await;
    let store = open(folder.path());
    let records = {
        let view = store.shared.open_view().unwrap();
        [a1, a2, Revision(gone.0 - 1), gone, a3].map(|one| view.record(one.0, |_| Ok(())).is_ok())
    };
    assert_eq!(records, [false, true, false, false, true]);
    let page = store.list(List::all(things()).at(gone)).await.unwrap();
    assert_eq!(page.entries[0].value, "a2");
}

/// How many later pieces of records there are.
fn pieces_of(store: &EmbeddedStore) -> u64 {
    store.shared.open_view().unwrap().pieces().unwrap()
}

#[tokio::test]
async fn large_values_are_kept_and_forgotten_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let large = |letter: &str, size| Bytes::from(letter.repeat(size));
    let sizes = [900, 1000, 2048, 20_000, crate::MAX_VALUE];
    for (number, size) in sizes.into_iter().enumerate() {
        let key = key(&number.to_string());
        let first = store.create(&key, large("a", size), Write::durable());
        let first = first.await.unwrap();
        let second = store.compare_and_swap(&key, first, large("b", size), Write::durable());
        second.await.unwrap();
    }
    let both = pieces_of(&store);
    let newest = store.revision().await.unwrap();
    store.compact(newest).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(folder.path());
    let page = store.list(List::all(things())).await.unwrap();
    for (entry, size) in page.entries.iter().zip(sizes) {
        assert_eq!(entry.value, large("b", size), "{size}");
    }
    assert_eq!(2 * pieces_of(&store), both, "those of the past are gone");
    for entry in &page.entries {
        let gone = store.delete(&entry.key, None, Durability::Durable).await;
        assert_eq!(gone.unwrap().previous.value, entry.value);
    }
    let newest = store.revision().await.unwrap();
    store.compact(newest).await.unwrap();
    store.close().await;
    drop(store);
    assert_eq!(pieces_of(&open(folder.path())), 0);
}

/// A page of the file holds what fits into it as a whole: objects of a little more than half a
/// page would leave the other half empty.
#[tokio::test]
async fn the_file_is_not_much_larger_than_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (count, size) = (300, 2200);
    for number in 0..count {
        let (key, bytes) = (key(&format!("{number:06}")), Bytes::from(vec![b'x'; size]));
        store.create(&key, bytes, Write::relaxed()).await.unwrap();
    }
    let used = store.shared.open_view().unwrap().used().unwrap();
    store.close().await;
    let stored = (count * size) as u64;
    assert!(used * 10 < stored * 14, "{used} bytes for {stored}");
}

#[tokio::test]
async fn files_of_the_first_format_are_read_and_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let bytes = Bytes::from(vec![b'x'; 3000]);
    let key = key("a");
    let revision = store.create(&key, bytes.clone(), Write::durable());
    let revision = revision.await.unwrap();
    store.close().await;
    drop(store);
    let database = Database::open(file_of(folder.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut buffer = Vec::new();
    layout::Record {
        key: key.as_str(),
        deletion: false,
        create: revision.0,
        version: 1,
        previous: 0,
        expires: 0,
        value: &bytes,
    }
    .encode_uncut(revision.0, &mut buffer);
    {
        let mut records = transaction.open_table(layout::RECORDS).unwrap();
        records.insert(revision.0, &buffer[..]).unwrap();
        let mut facts = transaction.open_table(layout::FACTS).unwrap();
        facts.insert("format", 1).unwrap();
    }
    transaction.delete_table(layout::REST).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let store = open(folder.path());
    let found = store.get(&key).await.unwrap().unwrap();
    assert_eq!(found.value, bytes);
    let swapped = store.compare_and_swap(&key, revision, bytes, Write::durable());
    let newest = swapped.await.unwrap();
    assert_eq!(pieces_of(&store), 3);
    store.compact(newest).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(folder.path());
    assert!(store.get(&key).await.unwrap().is_some());
    assert!(
        store
            .shared
            .open_view()
            .unwrap()
            .record(revision.0, |_| Ok(()))
            .is_err()
    );
}

/// Wherever a file is damaged or cut, it is refused by name or serves what was written.
#[tokio::test]
async fn a_damaged_file_is_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..200 {
        let bytes = Bytes::from(format!("value {number} ").repeat(20));
        store
            .create(&key(&format!("{number:03}")), bytes, Write::durable())
            .await
            .unwrap();
    }
    let whole = store.list(List::all(things())).await.unwrap();
    store.close().await;
    drop(store);
    let path = file_of(folder.path());
    let good = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..good.len()).step_by(good.len() / 97) {
        std::fs::write(&path, &good).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(
            &good[at..][..16.min(good.len() - at)]
                .iter()
                .map(|byte| !byte)
                .collect::<Vec<_>>(),
            at as u64,
        )
        .unwrap();
        refused += usize::from(!serves_or_refuses(folder.path(), &whole).await);
    }
    assert!(refused > 5, "only {refused} places mattered");
    for length in [0, 1, 100, 4096, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(
            !serves_or_refuses(folder.path(), &whole).await,
            "cut to {length} bytes"
        );
    }
    std::fs::write(&path, b"something else entirely").unwrap();
    assert!(!serves_or_refuses(folder.path(), &whole).await);
}

/// Whether the store opens, and then that it holds `whole`; otherwise that the error helps.
async fn serves_or_refuses(folder: &Path, whole: &Page) -> bool {
    match EmbeddedStore::open(folder, Options::default()) {
        Ok(store) => match store.list(List::all(things())).await {
            Ok(page) => assert_eq!(page.entries, whole.entries),
            Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error}"),
        },
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.contains("store.redb") && text.contains("snapshot restore"),
                "{text}"
            );
            return false;
        }
    }
    true
}

#[tokio::test]
async fn counts_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let created = store
        .create(&key("a"), value("x"), Write::durable())
        .await
        .unwrap();
    let swapped = store
        .compare_and_swap(&key("a"), created, value("y"), Write::durable())
        .await;
    let watch = store.watch(&things(), created).await.unwrap();
    let numbers = store.numbers();
    assert_eq!(
        (numbers.revision, numbers.requests, numbers.watches),
        (swapped.unwrap(), 2, 1)
    );
    assert!(numbers.file_bytes > 0 && numbers.history_bytes > 0 && numbers.commit_seconds > 0.0);
    drop(watch);
    let mut text = String::new();
    store.numbers().render(&mut text);
    assert!(text.contains("\nkeelson_store_watches 0\n"), "{text}");
    assert!(
        text.contains("apiserver_storage_size_bytes{storage_cluster_id=\"embedded\"} "),
        "{text}"
    );
    assert!(
        text.contains("keelson_store_commit_duration_seconds_bucket{le=\"+Inf\"} 2\n"),
        "{text}"
    );
}
