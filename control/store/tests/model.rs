//! Random histories, compared with a plain model: every answer, every state of the past that is
//! kept, every watch.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use keelson_store::embedded::{EmbeddedStore, Options};
use keelson_store::memory::MemoryStore;
use keelson_store::{
    Change, Durability, Entry, Error, Key, List, Prefix, Revision, Store, WatchEvent, Write,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create {
        key: usize,
        value: u8,
        expiring: bool,
    },
    /// `age` 0 swaps what is there, more what was there so many revisions ago.
    Swap {
        key: usize,
        value: u8,
        age: u64,
    },
    Delete {
        key: usize,
        age: Option<u64>,
    },
    Compact {
        age: u64,
    },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    let age = prop_oneof![4 => Just(0), 1 => 1..4_u64];
    let step = prop_oneof![
        4 => (key.clone(), any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(key, value, expiring)| Step::Create { key, value, expiring }),
        4 => (key.clone(), any::<u8>(), age.clone())
            .prop_map(|(key, value, age)| Step::Swap { key, value, age }),
        3 => (key, prop::option::of(age)).prop_map(|(key, age)| Step::Delete { key, age }),
        1 => (0..6_u64).prop_map(|age| Step::Compact { age }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// Names next to each other's borders.
const KEYS: [&str; 7] = [
    "pods/a",
    "pods/a/b",
    "pods/a-b",
    "pods0/a",
    "pod/a",
    "pods/b",
    "podtemplates/a",
];
const PREFIXES: [&str; 4] = ["/", "/registry/", "/registry/pods/", "/registry/pods/a/"];

fn key(index: usize) -> Key {
    Key::new(format!("/registry/{}", KEYS[index])).expect("it works")
}

/// The plainest store there is: every state of the past, written out.
#[derive(Default)]
struct Model {
    now: BTreeMap<Key, Entry>,
    past: BTreeMap<Revision, BTreeMap<Key, Entry>>,
    changes: Vec<Change>,
    revision: Revision,
    compacted: Revision,
}

impl Model {
    fn put(&mut self, key: &Key, value: Bytes, revision: Revision) {
        let previous = self.now.get(key).cloned();
        let entry = Entry {
            key: key.clone(),
            value,
            create_revision: previous
                .as_ref()
                .map_or(revision, |one| one.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(1, |one| one.version + 1),
        };
        self.now.insert(key.clone(), entry.clone());
        self.note(Change {
            key: key.clone(),
            revision,
            current: Some(entry),
            previous,
        });
    }

    fn remove(&mut self, key: &Key, revision: Revision) {
        let previous = self.now.remove(key);
        self.note(Change {
            key: key.clone(),
            revision,
            current: None,
            previous,
        });
    }

    fn note(&mut self, change: Change) {
        assert!(change.revision > self.revision, "revisions grow");
        self.revision = change.revision;
        self.changes.push(change);
        self.past.insert(self.revision, self.now.clone());
    }

    /// The state at a revision: that of the last write at or before it.
    fn at(&self, revision: Revision) -> BTreeMap<Key, Entry> {
        let before = self.past.range(..=revision).next_back();
        before.map(|(_, state)| state.clone()).unwrap_or_default()
    }
}

/// Does one step on both and compares the answers.
async fn step(store: &Arc<dyn Store>, model: &mut Model, step: &Step) {
    match step {
        Step::Create {
            key: index,
            value,
            expiring,
        } => {
            let (key, value) = (key(*index), Bytes::from(vec![*value; 20]));
            let write = if *expiring {
                Write::relaxed().expiring(NonZeroU32::new(1000).expect("it works"))
            } else {
                Write::relaxed()
            };
            match store.create(&key, value.clone(), write).await {
                Ok(revision) => {
                    assert!(!model.now.contains_key(&key), "created {key} twice");
                    model.put(&key, value, revision);
                }
                Err(Error::Exists { .. }) => assert!(model.now.contains_key(&key)),
                Err(other) => panic!("{other}"),
            }
        }
        Step::Swap {
            key: index,
            value,
            age,
        } => {
            let (key, value) = (key(*index), Bytes::from(vec![*value; 30]));
            let there = model.now.get(&key).cloned();
            let expected = expected(there.as_ref(), *age);
            match store
                .compare_and_swap(&key, expected, value.clone(), Write::relaxed())
                .await
            {
                Ok(revision) => {
                    assert_eq!(there.map(|one| one.mod_revision), Some(expected));
                    model.put(&key, value, revision);
                }
                Err(Error::Conflict { current, .. }) => {
                    assert_eq!(current.map(|one| *one), there);
                    assert_ne!(
                        model.now.get(&key).map(|one| one.mod_revision),
                        Some(expected)
                    );
                }
                Err(other) => panic!("{other}"),
            }
        }
        Step::Delete { key: index, age } => delete(store, model, key(*index), *age).await,
        Step::Compact { age } => compact(store, model, *age).await,
        Step::Reopen => {}
    }
}

async fn delete(store: &Arc<dyn Store>, model: &mut Model, key: Key, age: Option<u64>) {
    {
        let there = model.now.get(&key).cloned();
        let expected = age.map(|age| expected(there.as_ref(), age));
        match store.delete(&key, expected, Durability::Relaxed).await {
            Ok(deleted) => {
                assert_eq!(Some(deleted.previous), there);
                model.remove(&key, deleted.revision);
            }
            Err(Error::NotFound { .. }) => assert_eq!(there, None),
            Err(Error::Conflict { current, .. }) => {
                assert_eq!(current.map(|one| *one), there);
                assert_ne!(expected, there.map(|one| one.mod_revision));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn compact(store: &Arc<dyn Store>, model: &mut Model, age: u64) {
    let at = Revision(model.revision.0.saturating_sub(age));
    let compacted = store.compact(at).await;
    if at > model.compacted {
        assert_eq!(compacted, Ok(()));
        model.compacted = at;
    } else {
        assert!(
            matches!(compacted, Err(Error::Compacted { .. })),
            "{compacted:?}"
        );
    }
}

fn expected(there: Option<&Entry>, age: u64) -> Revision {
    let newest = there.map_or(1, |entry| entry.mod_revision.0);
    Revision(newest.saturating_sub(age))
}

/// Compares everything that can be asked.
async fn compare(store: &Arc<dyn Store>, model: &Model) {
    assert_eq!(store.revision().await, Ok(model.revision));
    for index in 0..KEYS.len() {
        let key = key(index);
        assert_eq!(store.get(&key).await, Ok(model.now.get(&key).cloned()));
    }
    for prefix in PREFIXES.map(|text| Prefix::new(text).expect("it works")) {
        for at in model.compacted.0..=model.revision.0 {
            compare_pages(store, model, &prefix, Revision(at)).await;
            compare_watch(store, model, &prefix, Revision(at)).await;
        }
        if model.compacted > Revision::ZERO {
            let before = Revision(model.compacted.0 - 1);
            let old = store.list(List::all(prefix.clone()).at(before)).await;
            assert!(matches!(old, Err(Error::Compacted { .. })), "{old:?}");
        }
        let count = model.now.keys().filter(|key| prefix.holds(key)).count() as u64;
        assert_eq!(store.count(&prefix).await, Ok(count));
    }
}

async fn compare_pages(store: &Arc<dyn Store>, model: &Model, prefix: &Prefix, at: Revision) {
    let state = model.at(at);
    let all: Vec<_> = state
        .into_values()
        .filter(|entry| prefix.holds(&entry.key))
        .collect();
    let page = store
        .list(List::all(prefix.clone()).at(at))
        .await
        .expect("it works");
    assert_eq!(
        (&page.entries, page.remaining, page.revision),
        (&all, 0, at)
    );
    let mut seen: Vec<Entry> = Vec::new();
    loop {
        let mut list = List::all(prefix.clone()).at(at).limit(2);
        list.after = seen.last().map(|entry| entry.key.clone());
        let page = store.list(list).await.expect("it works");
        seen.extend(page.entries);
        assert_eq!(page.remaining, (all.len() - seen.len()) as u64);
        if page.remaining == 0 {
            break;
        }
    }
    assert_eq!(seen, all);
}

async fn compare_watch(store: &Arc<dyn Store>, model: &Model, prefix: &Prefix, after: Revision) {
    let mut watch = store.watch(prefix, after).await.expect("it works");
    let expected = model
        .changes
        .iter()
        .filter(|one| one.revision > after && prefix.holds(&one.key));
    for change in expected {
        assert_eq!(
            watch.next().await,
            Some(Ok(WatchEvent::Change(change.clone())))
        );
    }
    store.request_progress().await.expect("it works");
    let end = watch.next().await;
    assert_eq!(
        end,
        Some(Ok(WatchEvent::Progress(model.revision))),
        "nothing more"
    );
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("it works");
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_in_memory_is_the_model(steps in steps()) {
        run(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let mut model = Model::default();
            for one in &steps {
                step(&store, &mut model, one).await;
            }
            compare(&store, &model).await;
        });
    }

    #[test]
    fn the_embedded_engine_is_the_model(steps in steps()) {
        run(async {
            let folder = tempfile::tempdir().expect("it works");
            let open = || EmbeddedStore::open(folder.path(), Options::default()).expect("it works");
            let mut store: Arc<dyn Store> = Arc::new(open());
            let mut model = Model::default();
            for one in &steps {
                if matches!(one, Step::Reopen) {
                    drop(store);
                    store = Arc::new(open());
                }
                step(&store, &mut model, one).await;
            }
            compare(&store, &model).await;
        });
    }
}
