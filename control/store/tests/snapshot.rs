//! Snapshots of the embedded store: taken while it is written to, restored into an empty folder.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use keelson_store::embedded::{EmbeddedStore, Options};
use keelson_store::snapshot::restore::restore_embedded;
use keelson_store::snapshot::save::save_embedded;
use keelson_store::snapshot::{Error, verify};
use keelson_store::{Durability, Error as StoreError, Key, List, Prefix, Revision, Store, Write};

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, Options::default()).expect("a store")
}

fn key(name: &str) -> Key {
    Key::new(format!("/registry/things/{name}")).expect("a key")
}

fn things() -> List {
    List::all(Prefix::new("/registry/things/").expect("a prefix"))
}

async fn fill(store: &EmbeddedStore, count: usize) -> Revision {
    let mut newest = Revision::ZERO;
    for number in 0..count {
        let value = Bytes::from(format!("value {number}"));
        let created = store
            .create(&key(&format!("{number:04}")), value, Write::relaxed())
            .await;
        newest = created.expect("a new key");
    }
    newest
}

#[tokio::test]
async fn what_is_saved_is_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("file"));
    let store = open(&data);
    let newest = fill(&store, 300).await;
    store
        .delete(&key("0007"), None, Durability::Durable)
        .await
        .expect("a deletion");
    let before = store.list(things()).await.expect("a list");
    store.close().await;
    drop(store);
    let saved = save_embedded(&data, &file).expect("a snapshot");
    assert_eq!((saved.keys, saved.revision), (299, Revision(newest.0 + 1)));
    assert_eq!(verify(&file).expect("whole"), saved);
    let again = save_embedded(&data, &file);
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");

    let occupied = restore_embedded(&file, &data);
    assert!(
        matches!(occupied, Err(Error::NotEmpty { .. })),
        "{occupied:?}"
    );
    let other = folder.path().join("other");
    restore_embedded(&file, &other).expect("a restored store");
    let store = open(&other);
    let after = store.list(things()).await.expect("a list");
    assert_eq!(after.entries, before.entries, "with the revisions they had");
    assert!(after.revision.0 > before.revision.0 + 1_000_000);
    // Whoever saw the store before must list anew: numbers never get another meaning.
    let old = store
        .watch(&things().prefix, Revision(newest.0 + 50))
        .await
        .err();
    assert!(matches!(old, Some(StoreError::Compacted { .. })), "{old:?}");
    let mut watch = store
        .watch(&things().prefix, after.revision)
        .await
        .expect("a watch");
    store
        .create(&key("new"), Bytes::new(), Write::durable())
        .await
        .expect("a new key");
    assert!(watch.next().await.is_some_and(|next| next.is_ok()));
    let entry = &after.entries[0];
    let swapped = store.compare_and_swap(
        &entry.key,
        entry.mod_revision,
        Bytes::new(),
        Write::durable(),
    );
    swapped.await.expect("the revision it had");
}

/// While a server has the store, it sends the snapshot itself, and goes on writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_is_saved_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("file"));
    let store = Arc::new(open(&data));
    let unheard = save_embedded(&data, &file);
    assert!(
        matches!(unheard, Err(Error::File { .. })),
        "nobody sends it: {unheard:?}"
    );
    assert!(!file.exists());
    store
        .serve_snapshots(|error| panic!("{error}"))
        .expect("a socket");
    let first = fill(&store, 200).await;
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for number in 0..500 {
            let key = key(&format!("more-{number}"));
            writing
                .create(&key, Bytes::new(), Write::durable())
                .await
                .expect("a new key");
        }
    });
    let (from, to) = (data.clone(), file.clone());
    let saved = tokio::task::spawn_blocking(move || save_embedded(&from, &to));
    let saved = saved.await.expect("it ends").expect("a snapshot");
    writer.await.expect("the writer");
    assert!(saved.revision >= first && saved.keys >= 200);
    store.close().await;
    let other = folder.path().join("other");
    restore_embedded(&file, &other).expect("a restored store");
    let restored = open(&other);
    assert_eq!(restored.count(&things().prefix).await, Ok(saved.keys));
}

#[tokio::test]
async fn a_damaged_snapshot_is_not_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, file) = (folder.path().join("data"), folder.path().join("file"));
    let store = open(&data);
    fill(&store, 50).await;
    drop(store);
    save_embedded(&data, &file).expect("a snapshot");
    let mut bytes = std::fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).expect("a file");
    let other = folder.path().join("other");
    let refused = restore_embedded(&file, &other);
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    assert!(!other.join("store.redb").exists());
    let missing = save_embedded(&folder.path().join("nothing"), &folder.path().join("x"));
    assert!(matches!(missing, Err(Error::File { .. })), "{missing:?}");
}
