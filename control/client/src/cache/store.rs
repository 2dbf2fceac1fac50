//! Holds objects for many readers and one writer. Must not know where they come from.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::changes::Changes;
use super::{Change, Key, Object};
use crate::index::Index;

/// Hears of changes while the writer waits: it must be quick, as putting a key into a queue is.
/// It may read the store, which has the change already.
type Listener<T> = Arc<dyn Fn(&Change<T>) + Send + Sync>;

/// A view on the objects. Clones see the same ones.
pub struct Store<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    content: RwLock<Content<T>>,
    listeners: RwLock<Vec<Listener<T>>>,
    synced: watch::Sender<bool>,
    revision: watch::Sender<u64>,
    version: AtomicU64,
}

struct Content<T> {
    objects: HashMap<Key, Held<T>>,
    indexes: Vec<Index<T>>,
}

struct Held<T> {
    object: Arc<T>,
    /// The list in which it was last seen.
    list: u64,
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("objects", &self.shared.content.read().objects.len())
            .finish_non_exhaustive()
    }
}

/// The one who fills a store.
#[derive(Debug)]
pub struct Writer<T> {
    store: Store<T>,
    list: u64,
    listing: bool,
}

impl<T: Object> Store<T> {
    /// An empty store and its writer.
    #[must_use]
    pub fn new(indexes: Vec<Index<T>>) -> (Self, Writer<T>) {
        let store = Self {
            shared: Arc::new(Shared {
                content: RwLock::new(Content {
                    objects: HashMap::new(),
                    indexes,
                }),
                listeners: RwLock::new(Vec::new()),
                synced: watch::Sender::new(false),
                revision: watch::Sender::new(0),
                version: AtomicU64::new(0),
            }),
        };
        let writer = Writer {
            store: store.clone(),
            list: 0,
            listing: false,
        };
        (store, writer)
    }

    /// An object, if it is there.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.find(&Key::new(namespace, name))
    }

    /// An object, if it is there.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Arc<T>> {
        let content = self.shared.content.read();
        content.objects.get(key).map(|held| held.object.clone())
    }

    /// All objects, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        let content = self.shared.content.read();
        content
            .objects
            .values()
            .map(|held| held.object.clone())
            .collect()
    }

    /// The objects that an index has under a word, by key. Nothing for an index of another name.
    #[must_use]
    pub fn by_index(&self, index: &str, word: &str) -> Vec<Arc<T>> {
        let content = self.shared.content.read();
        let index = content.indexes.iter().find(|known| known.name() == index);
        let keys = index.into_iter().flat_map(|index| index.keys(word));
        keys.filter_map(|key| Some(content.objects.get(key)?.object.clone()))
            .collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.content.read().objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether everything was there once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Waits until everything was there once. For ever, if the writer is dropped before.
    pub async fn synced(&self) {
        let mut receiver = self.shared.synced.subscribe();
        // Cannot fail while `self` holds the sender.
        let _ = receiver.wait_for(|synced| *synced).await;
    }

    /// A number that grows with every change, to wait for.
    #[must_use]
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// The resource version up to which the store has seen everything; 0 until a list was
    /// complete, or from a server whose versions are no numbers. Moves also when the server says
    /// that nothing happened (a bookmark).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Calls a function with each change from now on, and with what is there already. It is
    /// called by the writer: it must be quick, as putting a key into a queue is.
    pub fn listen(&self, listener: impl Fn(&Change<T>) + Send + Sync + 'static) {
        let listener: Listener<T> = Arc::new(listener);
        // While the list of listeners is held no change is announced, and what was announced
        // before is in the store: nothing is missed.
        let mut listeners = self.shared.listeners.write();
        for object in self.all() {
            listener(&Change::Applied {
                old: None,
                new: object,
            });
        }
        listeners.push(listener);
    }

    /// Changes to wait for, coalesced by object: as many as there are objects at most.
    #[must_use]
    pub fn changes(&self) -> Changes<T> {
        let (changes, sink) = Changes::new();
        self.listen(move |change| sink.put(change));
        changes
    }
}

impl<T: Object> Writer<T> {
    /// The store that is written.
    #[must_use]
    pub fn store(&self) -> &Store<T> {
        &self.store
    }

    /// An object is there.
    pub fn apply(&mut self, object: T) {
        let key = object.key();
        let shared = self.store.shared.clone();
        let listeners = shared.listeners.read();
        let change = {
            let mut content = shared.content.write();
            let Content { objects, indexes } = &mut *content;
            if let Some(held) = objects.get_mut(&key)
                && is_same(held.object.as_ref(), &object)
            {
                held.list = self.list;
                return;
            }
            let new = Arc::new(object);
            let held = Held {
                object: new.clone(),
                list: self.list,
            };
            let old = objects.insert(key.clone(), held).map(|held| held.object);
            for index in indexes {
                index.replace(&key, old.as_deref(), Some(&new));
            }
            Change::Applied { old, new }
        };
        // Objects of a list come in any order; those of a watch in that of their versions.
        if !self.listing {
            self.seen(change.latest().resource_version());
        }
        announce(&listeners, &change);
        drop(listeners);
        shared.revision.send_modify(|revision| *revision += 1);
    }

    /// An object is gone. The last state that the server sent counts as what was.
    pub fn remove(&mut self, key: &Key) {
        let shared = self.store.shared.clone();
        let listeners = shared.listeners.read();
        let change = {
            let mut content = shared.content.write();
            let Some(held) = content.objects.remove(key) else {
                return;
            };
            for index in &mut content.indexes {
                index.replace(key, Some(&held.object), None);
            }
            Change::Removed { old: held.object }
        };
        announce(&listeners, &change);
        drop(listeners);
        shared.revision.send_modify(|revision| *revision += 1);
    }

    /// Everything up to this resource version is in the store now.
    pub fn seen(&mut self, version: &str) {
        if let Ok(version) = version.parse() {
            self.store.shared.version.store(version, Ordering::Release);
        }
    }

    /// A list begins: what it does not bring is gone when it ends.
    pub fn begin_list(&mut self) {
        self.list += 1;
        self.listing = true;
    }

    /// A list has ended.
    pub fn end_list(&mut self) {
        self.listing = false;
        let gone: Vec<Key> = {
            let content = self.store.shared.content.read();
            let old = content
                .objects
                .iter()
                .filter(|(_, held)| held.list != self.list);
            old.map(|(key, _)| key.clone()).collect()
        };
        for key in gone {
            self.remove(&key);
        }
        self.store.shared.synced.send_replace(true);
    }
}

fn is_same<T: Object>(old: &T, new: &T) -> bool {
    !new.resource_version().is_empty() && old.resource_version() == new.resource_version()
}

fn announce<T>(listeners: &[Listener<T>], change: &Change<T>) {
    for listener in listeners {
        listener(change);
    }
}
