//! A disk that fills up: writes are refused by name, reads and deletions go on, and when there is
//! space again, so do writes. Runs in a mount namespace of its own.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use keelson_store::embedded::{EmbeddedStore, Options};
use keelson_store::{Durability, Error, Key, List, Prefix, Store, Write};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

fn key(number: usize) -> Key {
    Key::new(format!("/registry/things/{number:05}")).expect("a key")
}

/// A file system of 48 MiB, gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = c"size=48m";
        mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            options,
        )
        .expect("a mount");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

#[tokio::test]
#[ignore = "needs root: make test"]
async fn refuses_writes_and_recovers() {
    let disk = SmallDisk::new();
    // Nothing of the past is kept, so that deletions free space.
    let options = Options {
        history_age: Duration::ZERO,
        history_bytes: 0,
    };
    let folder = disk.path().join("store");
    let store = EmbeddedStore::open(&folder, options).expect("a store");
    let value = Bytes::from(vec![b'x'; 64 * 1024]);
    let mut written = 0;
    let full = loop {
        match store
            .create(&key(written), value.clone(), Write::durable())
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "48 MiB hold less than that");
    };
    assert!(matches!(full, Error::Full { .. }), "{full}");
    let things = || List::all(Prefix::new("/registry/things/").expect("a prefix"));
    let page = store.list(things()).await.expect("a list");
    assert_eq!(page.entries.len(), written);
    for number in 0..written {
        store
            .delete(&key(number), None, Durability::Durable)
            .await
            .expect("a deletion");
    }
    let again = async {
        while store
            .create(&key(0), value.clone(), Write::durable())
            .await
            .is_err()
        {
            // Deleting what is not there lets the engine turn over.
            let _ = store.delete(&key(1), None, Durability::Durable).await;
        }
    };
    let recovered = tokio::time::timeout(Duration::from_secs(30), again).await;
    recovered.expect("there is space again");
    store.close().await;
    let store = EmbeddedStore::open(&folder, options).expect("a store");
    assert_eq!(store.count(&things().prefix).await, Ok(1));
}
