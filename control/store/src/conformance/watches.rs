//! What a watch delivers, and what it does not.

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Case, PATIENCE, Subject, change, text};
use crate::{Durability, WatchEvent, Write};

pub(super) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("watch", |one| Box::pin(watch(one))),
        ("watch-from-the-past", |one| {
            Box::pin(watch_from_the_past(one))
        }),
        ("watch-of-a-prefix", |one| Box::pin(watch_of_a_prefix(one))),
        ("progress", |one| Box::pin(progress(one))),
    ]
}

async fn watch(subject: Subject) {
    let start = subject.store.revision().await.expect("a revision");
    let mut watch = subject.watch(start).await;
    let first = subject.create("a", "one").await;
    let created = change(&mut watch).await;
    assert_eq!((created.revision, &created.key), (first, &subject.key("a")));
    assert!(created.is_create() && !created.is_delete() && created.previous.is_none());
    let entry = created.current.expect("a state");
    assert_eq!(
        (text(&entry.value).as_str(), entry.mod_revision),
        ("one", first)
    );

    let second = subject.swap("a", first, "two").await;
    let updated = change(&mut watch).await;
    assert!(!updated.is_create() && !updated.is_delete());
    assert_eq!(
        updated
            .previous
            .as_ref()
            .map(|one| text(&one.value))
            .as_deref(),
        Some("one")
    );
    let entry = updated.current.expect("a state");
    assert_eq!(
        (entry.create_revision, entry.mod_revision, entry.version),
        (first, second, 2)
    );

    let key = subject.key("a");
    let deleted = subject
        .store
        .delete(&key, None, Durability::Durable)
        .await
        .expect("a deletion");
    let removed = change(&mut watch).await;
    assert!(removed.is_delete() && !removed.is_create());
    assert_eq!(removed.revision, deleted.revision);
    let previous = removed.previous.expect("what was removed");
    assert_eq!(
        (text(&previous.value).as_str(), previous.mod_revision),
        ("two", second)
    );
}

async fn watch_from_the_past(subject: Subject) {
    let before = subject.store.revision().await.expect("a revision");
    let mut revisions = Vec::new();
    for name in ["a", "b", "c", "d"] {
        revisions.push(subject.create(name, "value").await);
    }
    let mut all = subject.watch(before).await;
    let mut some = subject.watch(revisions[1]).await;
    for revision in &revisions {
        assert_eq!(change(&mut all).await.revision, *revision);
    }
    for revision in &revisions[2..] {
        assert_eq!(change(&mut some).await.revision, *revision);
    }
    let last = subject.create("e", "value").await;
    assert_eq!(change(&mut all).await.revision, last);
    assert_eq!(change(&mut some).await.revision, last);
}

async fn watch_of_a_prefix(subject: Subject) {
    let start = subject.store.revision().await.expect("a revision");
    let prefix = crate::Prefix::new(format!("{}/pods/", subject.folder)).expect("a prefix");
    let mut watch = subject.store.watch(&prefix, start).await.expect("a watch");
    subject.create("podtemplates/x", "no").await;
    subject.create("pods0", "no").await;
    subject.create("pods/x", "yes").await;
    subject.create("nodes/x", "no").await;
    subject.create("pods/y", "yes").await;
    assert_eq!(change(&mut watch).await.key, subject.key("pods/x"));
    assert_eq!(change(&mut watch).await.key, subject.key("pods/y"));
}

async fn progress(subject: Subject) {
    let start = subject.create("a", "one").await;
    let mut watch = subject.watch(start).await;
    // A watch that has seen a change has certainly begun.
    let seen = subject.create("b", "one").await;
    assert_eq!(change(&mut watch).await.revision, seen);
    let elsewhere = crate::Key::new(format!("{}-elsewhere/a", subject.folder)).expect("a key");
    let value = Bytes::from_static(b"x");
    let created = subject
        .store
        .create(&elsewhere, value, Write::durable())
        .await;
    let newest = created.expect("a new key");
    let reached = async {
        loop {
            subject.store.request_progress().await.expect("a request");
            let next = watch
                .next()
                .await
                .expect("the watch goes on")
                .expect("no error");
            let WatchEvent::Progress(revision) = next else {
                panic!("nothing changed, but {next:?}")
            };
            if revision >= newest {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("progress in time");
}
