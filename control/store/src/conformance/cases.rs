//! One thing at a time: each case says what an operation answers.

use std::num::NonZeroU32;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Case, PATIENCE, Subject, change, text};
use crate::{Durability, Error, Revision, Write};

pub(super) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("create-and-get", |one| Box::pin(create_and_get(one))),
        ("swap", |one| Box::pin(swap(one))),
        ("delete", |one| Box::pin(delete(one))),
        ("values", |one| Box::pin(values(one))),
        ("pages", |one| Box::pin(pages(one))),
        ("borders", |one| Box::pin(borders(one))),
        ("list-at-revision", |one| Box::pin(list_at_revision(one))),
        ("time-to-live", |one| Box::pin(time_to_live(one))),
        ("relaxed", |one| Box::pin(relaxed(one))),
        ("compaction", |one| Box::pin(compaction(one))),
    ]
}

async fn create_and_get(subject: Subject) {
    let store = &subject.store;
    assert_eq!(store.get(&subject.key("a")).await, Ok(None));
    let before = store.revision().await.unwrap_or_default();
    let created = subject.create("a", "one").await;
    assert!(created > before, "{created} is not after {before}");
    assert!(store.revision().await.expect("a revision") >= created);

    let entry = store
        .get(&subject.key("a"))
        .await
        .expect("a read")
        .expect("an entry");
    assert_eq!(entry.key, subject.key("a"));
    assert_eq!(text(&entry.value), "one");
    assert_eq!(
        (entry.create_revision, entry.mod_revision),
        (created, created)
    );
    assert_eq!(entry.version, 1);

    let key = subject.key("a");
    let again = store
        .create(&key, Bytes::from_static(b"two"), Write::durable())
        .await;
    assert_eq!(again, Err(Error::Exists { key: key.clone() }));
    let entry = store.get(&key).await.expect("a read").expect("an entry");
    assert_eq!(
        text(&entry.value),
        "one",
        "a refused write left something behind"
    );
}

async fn swap(subject: Subject) {
    let (store, key) = (&subject.store, subject.key("a"));
    let first = subject.create("a", "one").await;
    let second = subject.swap("a", first, "two").await;
    assert!(second > first);
    let entry = store.get(&key).await.expect("a read").expect("an entry");
    assert_eq!(
        (entry.create_revision, entry.mod_revision, entry.version),
        (first, second, 2)
    );
    assert_eq!(text(&entry.value), "two");

    let value = Bytes::from_static(b"three");
    let stale = store
        .compare_and_swap(&key, first, value.clone(), Write::durable())
        .await;
    let expected = first;
    let current = Some(Box::new(entry));
    assert_eq!(
        stale,
        Err(Error::Conflict {
            key,
            expected,
            current
        })
    );

    let key = subject.key("missing");
    let missing = store
        .compare_and_swap(&key, first, value, Write::durable())
        .await;
    assert_eq!(
        missing,
        Err(Error::Conflict {
            key,
            expected,
            current: None
        })
    );
}

async fn delete(subject: Subject) {
    let (store, key) = (&subject.store, subject.key("a"));
    let gone = store.delete(&key, None, Durability::Durable).await;
    assert_eq!(gone, Err(Error::NotFound { key: key.clone() }));

    let first = subject.create("a", "one").await;
    let second = subject.swap("a", first, "two").await;
    let stale = store.delete(&key, Some(first), Durability::Durable).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");

    let deleted = store
        .delete(&key, Some(second), Durability::Durable)
        .await
        .expect("a deletion");
    assert_eq!(text(&deleted.previous.value), "two");
    assert_eq!(
        (
            deleted.previous.create_revision,
            deleted.previous.mod_revision
        ),
        (first, second)
    );
    assert!(deleted.revision > second);
    assert_eq!(store.get(&key).await, Ok(None));
    let gone = store.delete(&key, Some(second), Durability::Durable).await;
    assert_eq!(gone, Err(Error::NotFound { key: key.clone() }));

    let third = subject.create("a", "three").await;
    let entry = store.get(&key).await.expect("a read").expect("an entry");
    assert_eq!(
        (entry.create_revision, entry.version),
        (third, 1),
        "a new life"
    );
    store
        .delete(&key, None, Durability::Durable)
        .await
        .expect("a deletion of whatever is there");
}

async fn values(subject: Subject) {
    let check = async |name: &str, value: Vec<u8>| {
        let (key, value) = (subject.key(name), Bytes::from(value));
        let created = subject
            .store
            .create(&key, value.clone(), Write::durable())
            .await;
        created.expect("a new key");
        let entry = subject
            .store
            .get(&key)
            .await
            .expect("a read")
            .expect("an entry");
        assert!(entry.value == value, "{name} came back differently");
    };
    check("empty", Vec::new()).await;
    check("bytes", (0..=255).collect()).await;
    check("large", vec![b'x'; 1024 * 1024]).await;
}

async fn pages(subject: Subject) {
    let names: Vec<_> = (0..25).map(|number| format!("{number:02}")).collect();
    for name in &names {
        subject.create(name, "value").await;
    }
    let first = subject
        .store
        .list(subject.list().limit(10))
        .await
        .expect("a page");
    assert_eq!((first.entries.len(), first.remaining), (10, 15));
    // What happens between two pages is not seen by the second.
    let key = subject.key("15");
    subject
        .store
        .delete(&key, None, Durability::Durable)
        .await
        .expect("a deletion");
    subject.create("10-more", "value").await;

    let mut seen: Vec<_> = first
        .entries
        .iter()
        .map(|one| subject.name(&one.key))
        .collect();
    let mut last = first.entries[9].key.clone();
    for remaining in [5, 0] {
        let next = subject.list().limit(10).after(last).at(first.revision);
        let page = subject.store.list(next).await.expect("a page");
        assert_eq!((page.remaining, page.revision), (remaining, first.revision));
        seen.extend(page.entries.iter().map(|one| subject.name(&one.key)));
        last = page.entries.last().expect("entries").key.clone();
    }
    assert_eq!(seen, names);
    assert_eq!(subject.store.count(&subject.prefix()).await, Ok(25));
    let beyond = subject
        .store
        .list(subject.list().limit(10).after(last))
        .await
        .expect("a page");
    assert_eq!((beyond.entries.len(), beyond.remaining), (0, 0));
}

async fn borders(subject: Subject) {
    let inside = ["pods/a/x", "pods/a/y", "pods/b/x"];
    for name in ["pod/x", "pods.example/x", "pods0", "podtemplates/a/x"] {
        subject.create(name, "outside").await;
    }
    for name in inside {
        subject.create(name, "inside").await;
    }
    let list = |folder: &str| {
        let prefix = format!("{}/{folder}", subject.folder);
        crate::List::all(crate::Prefix::new(prefix).expect("a prefix"))
    };
    let names = async |folder| -> Vec<String> {
        subject
            .contents(list(folder))
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(names("pods/").await, inside);
    assert_eq!(names("pods/a/").await, inside[..2]);
    assert_eq!(names("none/").await, Vec::<String>::new());
    // A page may begin before the prefix, or after a key that is not there.
    let from = list("pods/").after(subject.key("pod/x"));
    assert_eq!(subject.contents(from).await.len(), 3);
    let from = list("pods/").after(subject.key("pods/a/xx"));
    assert_eq!(subject.contents(from).await.len(), 2);
    let from = list("pods/").after(subject.key("podt"));
    assert_eq!(subject.contents(from).await.len(), 0);
}

async fn list_at_revision(subject: Subject) {
    let pairs = |expected: &[(&str, &str)]| -> Vec<_> {
        expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let a1 = subject.create("a", "a1").await;
    let b1 = subject.create("b", "b1").await;
    let a2 = subject.swap("a", a1, "a2").await;
    let key = subject.key("b");
    let gone = subject
        .store
        .delete(&key, None, Durability::Durable)
        .await
        .expect("a deletion");
    let b2 = subject.create("b", "b2").await;
    let a3 = subject.swap("a", a2, "a3").await;

    let check = async |at: Revision, expected: &[(&str, &str)]| {
        let found = subject.contents(subject.list().at(at)).await;
        assert_eq!(found, pairs(expected), "at {at}");
    };
    check(a1, &[("a", "a1")]).await;
    check(b1, &[("a", "a1"), ("b", "b1")]).await;
    check(a2, &[("a", "a2"), ("b", "b1")]).await;
    check(gone.revision, &[("a", "a2")]).await;
    check(b2, &[("a", "a2"), ("b", "b2")]).await;
    check(a3, &[("a", "a3"), ("b", "b2")]).await;

    let future = Revision(a3.0 + 1_000_000);
    let refused = subject.store.list(subject.list().at(future)).await;
    assert!(matches!(refused, Err(Error::Future { requested, .. }) if requested == future));
    let page = subject
        .store
        .list(subject.list().at(b1).limit(1))
        .await
        .expect("a page");
    assert_eq!(
        (page.entries.len(), page.remaining, page.revision),
        (1, 1, b1)
    );
}

async fn time_to_live(subject: Subject) {
    let (store, short) = (&subject.store, NonZeroU32::MIN);
    let write = Write::durable().expiring(short);
    let start = store.revision().await.expect("a revision");
    let mut watch = subject.watch(start).await;
    let stays = store
        .create(&subject.key("stays"), Bytes::from_static(b"x"), write)
        .await;
    let stays = subject
        .swap("stays", stays.expect("a new key"), "kept")
        .await;
    store
        .create(&subject.key("goes"), Bytes::from_static(b"y"), write)
        .await
        .expect("a new key");
    for _ in 0..3 {
        assert!(!change(&mut watch).await.is_delete());
    }
    let removed = change(&mut watch).await;
    assert!(removed.is_delete());
    assert_eq!(removed.key, subject.key("goes"));
    assert_eq!(
        removed.previous.map(|one| text(&one.value)).as_deref(),
        Some("y")
    );
    assert_eq!(store.get(&subject.key("goes")).await, Ok(None));
    let kept = store
        .get(&subject.key("stays"))
        .await
        .expect("a read")
        .expect("an entry");
    assert_eq!(kept.mod_revision, stays);
}

async fn relaxed(subject: Subject) {
    let start = subject.store.revision().await.expect("a revision");
    let mut watch = subject.watch(start).await;
    let (key, value) = (subject.key("lease"), Bytes::from_static(b"x"));
    let created = subject
        .store
        .create(&key, value.clone(), Write::relaxed())
        .await;
    let first = created.expect("a new key");
    let swapped = subject
        .store
        .compare_and_swap(&key, first, value, Write::relaxed())
        .await;
    let second = swapped.expect("the expected revision");
    let entry = subject
        .store
        .get(&key)
        .await
        .expect("a read")
        .expect("an entry");
    assert_eq!(
        entry.mod_revision, second,
        "a write that was answered is read"
    );
    let deleted = subject
        .store
        .delete(&key, Some(second), Durability::Relaxed)
        .await;
    let third = deleted.expect("a deletion").revision;
    for revision in [first, second, third] {
        assert_eq!(change(&mut watch).await.revision, revision);
    }
}

async fn compaction(subject: Subject) {
    let store = &subject.store;
    let a1 = subject.create("a", "a1").await;
    let a2 = subject.swap("a", a1, "a2").await;
    let b1 = subject.create("b", "b1").await;
    let a3 = subject.swap("a", a2, "a3").await;
    let mut running = subject.watch(a2).await;
    assert_eq!(change(&mut running).await.revision, b1);
    store.compact(b1).await.expect("a compaction");

    let old = store.list(subject.list().at(a2)).await;
    assert!(matches!(old, Err(Error::Compacted { .. })), "{old:?}");
    let kept = subject.contents(subject.list().at(b1)).await;
    assert_eq!(
        kept.iter()
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>(),
        ["a2", "b1"]
    );
    // A watch from before says so at once or as its first item.
    match store.watch(&subject.prefix(), a1).await {
        Err(Error::Compacted { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(mut watch) => {
            let first = tokio::time::timeout(PATIENCE, watch.next())
                .await
                .expect("an item");
            assert!(
                matches!(first, Some(Err(Error::Compacted { .. }))),
                "{first:?}"
            );
            assert!(watch.next().await.is_none(), "an error is the last item");
        }
    }
    let mut after = subject.watch(b1).await;
    assert_eq!(change(&mut after).await.revision, a3);
    assert_eq!(
        change(&mut running).await.revision,
        a3,
        "compaction does not disturb a watch"
    );

    let again = store.compact(a2).await;
    assert!(matches!(again, Err(Error::Compacted { .. })), "{again:?}");
    let future = store.compact(Revision(a3.0 + 1_000_000)).await;
    assert!(matches!(future, Err(Error::Future { .. })), "{future:?}");
}
