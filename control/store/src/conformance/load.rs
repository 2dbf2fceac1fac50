//! Many at a time: what must hold when writers and watches meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Case, Subject, change, text};
use crate::{Durability, Error, Key, Revision, Store, Watch, Write};

pub(super) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("counter", |one| Box::pin(counter(one))),
        ("one-winner", |one| Box::pin(one_winner(one))),
        ("watches-under-load", |one| {
            Box::pin(watches_under_load(one))
        }),
        ("slow-watch", |one| Box::pin(slow_watch(one))),
    ]
}

/// No update is lost when many change the same key.
async fn counter(subject: Subject) {
    let key = subject.key("counter");
    subject.create("counter", "0").await;
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(add(Arc::clone(&subject.store), key.clone(), 25)))
        .collect();
    for task in tasks {
        task.await.expect("a writer");
    }
    let entry = subject
        .store
        .get(&key)
        .await
        .expect("a read")
        .expect("an entry");
    assert_eq!((text(&entry.value).as_str(), entry.version), ("200", 201));
}

async fn add(store: Arc<dyn Store>, key: Key, times: usize) {
    let mut current = store.get(&key).await.expect("a read").expect("an entry");
    let mut done = 0;
    while done < times {
        let next = text(&current.value).parse::<u64>().expect("a number") + 1;
        let expected = current.mod_revision;
        let value = Bytes::from(next.to_string());
        match store
            .compare_and_swap(&key, expected, value, Write::durable())
            .await
        {
            Ok(_) => {
                done += 1;
                current = store.get(&key).await.expect("a read").expect("an entry");
            }
            Err(Error::Conflict {
                current: Some(newer),
                ..
            }) => current = *newer,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Of many who create the same key, one does.
async fn one_winner(subject: Subject) {
    for round in 0..10 {
        let key = subject.key(&format!("key-{round}"));
        let tasks: Vec<_> = (0..8_u8)
            .map(|writer| {
                let (store, key) = (Arc::clone(&subject.store), key.clone());
                let value = Bytes::from(vec![writer]);
                tokio::spawn(async move { store.create(&key, value, Write::durable()).await })
            })
            .collect();
        let mut won = Vec::new();
        for (writer, task) in (0_u8..).zip(tasks) {
            match task.await.expect("a writer") {
                Ok(revision) => won.push((vec![writer], revision)),
                Err(Error::Exists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let entry = subject
            .store
            .get(&key)
            .await
            .expect("a read")
            .expect("an entry");
        assert_eq!(won, [(entry.value.to_vec(), entry.mod_revision)]);
    }
}

/// Watches that begin before, amid and after the writes all tell the same story.
async fn watches_under_load(subject: Subject) {
    let start = subject.store.revision().await.expect("a revision");
    let early = subject.watch(start).await;
    let tasks: Vec<_> = (0..8)
        .map(|writer| {
            tokio::spawn(write_and_remove(
                Arc::clone(&subject.store),
                subject.key(&format!("{writer}")),
            ))
        })
        .collect();
    let amid = subject.watch(start).await;
    let mut written = Vec::new();
    for task in tasks {
        written.extend(task.await.expect("a writer"));
    }
    written.sort_unstable();
    let late = subject.watch(start).await;
    for watch in [early, amid, late] {
        assert_eq!(follow(watch, written.len()).await, written);
    }
}

/// Ten lives of a key: created, changed twice, removed.
async fn write_and_remove(store: Arc<dyn Store>, key: Key) -> Vec<Revision> {
    let mut written = Vec::new();
    for _ in 0..10 {
        let value = Bytes::from_static(b"value");
        let created = store.create(&key, value.clone(), Write::durable()).await;
        let mut newest = created.expect("a new key");
        written.push(newest);
        for _ in 0..2 {
            let swapped = store
                .compare_and_swap(&key, newest, value.clone(), Write::durable())
                .await;
            newest = swapped.expect("the expected revision");
            written.push(newest);
        }
        let deleted = store.delete(&key, Some(newest), Durability::Durable).await;
        written.push(deleted.expect("a deletion").revision);
    }
    written
}

/// Reads `count` changes and checks that each fits the state which those before it led to.
async fn follow(mut watch: Watch, count: usize) -> Vec<Revision> {
    let mut state = BTreeMap::new();
    let mut seen = Vec::new();
    for _ in 0..count {
        let change = change(&mut watch).await;
        assert_eq!(
            change.previous,
            state.get(&change.key).cloned(),
            "at {}",
            change.revision
        );
        match change.current {
            Some(entry) => state.insert(change.key, entry),
            None => state.remove(&change.key),
        };
        seen.push(change.revision);
    }
    assert!(state.is_empty(), "left over: {state:?}");
    seen
}

/// A watch that nobody reads holds up no writer and misses nothing.
async fn slow_watch(subject: Subject) {
    let start = subject.store.revision().await.expect("a revision");
    let mut watch = subject.watch(start).await;
    let mut newest = subject.create("a", "value").await;
    let mut written = vec![newest];
    for _ in 0..500 {
        newest = subject.swap("a", newest, "value").await;
        written.push(newest);
    }
    for revision in written {
        assert_eq!(change(&mut watch).await.revision, revision);
    }
}
