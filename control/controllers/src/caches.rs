//! One store per kind (or part of it) for the whole program: the first controller that asks for it
//! starts its reflector. Must not know what controllers do.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use keelson_client::cache::{Key, Reflector, Store, reflect};
use keelson_client::{Client, Resource};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::kinds::{Kind, Scope};
use crate::ledger::Written;

/// What the ledger asks of a store.
trait Watched: Send + Sync {
    fn version(&self) -> u64;
    fn is_synced(&self) -> bool;
    /// Whether this object is there and not leaving.
    fn stays(&self, key: &Key, uid: &str) -> bool;
}

impl<K: Kind> Watched for Store<K> {
    fn version(&self) -> u64 {
        Self::version(self)
    }

    fn is_synced(&self) -> bool {
        Self::is_synced(self)
    }

    fn stays(&self, key: &Key, uid: &str) -> bool {
        self.find(key)
            .is_some_and(|object| &*object.meta().uid == uid && !object.meta().is_leaving())
    }
}

/// The stores of one kind: of all of it, or of parts.
type Parts = Vec<Box<dyn Watched>>;

/// The stores, for whoever only asks whether something was seen. Clones see the same ones.
#[derive(Clone, Default)]
pub struct Sight {
    stores: Arc<RwLock<HashMap<Resource, Parts>>>,
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.stores.read().keys()).finish()
    }
}

impl Sight {
    /// Adds a store.
    pub fn add<K: Kind>(&self, store: Store<K>) {
        let mut stores = self.stores.write();
        stores.entry(K::RESOURCE).or_default().push(Box::new(store));
    }

    /// Whether the stores show what was written. A kind that nobody watches is always seen. Of a
    /// kind that is watched in several parts one has to have come far enough: which of them shows
    /// the object isn't known here, and the others may be far behind.
    #[must_use]
    pub fn is_seen(&self, written: &Written) -> bool {
        let stores = self.stores.read();
        match written {
            Written::Version { resource, version } => stores
                .get(resource)
                .is_none_or(|parts| parts.iter().any(|store| store.version() >= *version)),
            Written::Deleted { resource, key, uid } => stores
                .get(resource)
                .is_none_or(|parts| !parts.iter().any(|store| store.stays(key, uid))),
        }
    }

    /// The kinds whose first list is not complete.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let stores = self.stores.read();
        let missing = stores
            .iter()
            .filter(|(_, parts)| parts.iter().any(|store| !store.is_synced()));
        missing.map(|(resource, _)| resource.to_string()).collect()
    }
}

/// All stores and the reflectors that fill them.
pub struct Caches {
    pub(crate) client: Client,
    stores: HashMap<(TypeId, Scope), Box<dyn Any + Send>>,
    sight: Sight,
    tasks: JoinSet<()>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches")
            .field("sight", &self.sight)
            .finish_non_exhaustive()
    }
}

impl Caches {
    /// No store yet; reflectors end with the token.
    #[must_use]
    pub fn new(client: Client, stop: CancellationToken) -> Self {
        Self {
            client,
            stores: HashMap::new(),
            sight: Sight::default(),
            tasks: JoinSet::new(),
            changes: watch::Sender::new(0),
            stop,
        }
    }

    /// The store of those objects of a kind that the scope says.
    pub fn of<K: Kind>(&mut self, scope: Scope) -> Store<K> {
        let known = self.stores.get(&(TypeId::of::<K>(), scope));
        if let Some(store) = known.and_then(|store| store.downcast_ref::<Store<K>>()) {
            return store.clone();
        }
        let (store, writer) = Store::new(K::all_indexes());
        let path = match scope.namespace {
            "" => K::RESOURCE.all(),
            namespace => K::RESOURCE.within(namespace),
        };
        let reflector = Reflector::new(self.client.clone(), path).fields(scope.fields);
        let task = reflect(reflector, writer, self.stop.clone());
        self.tasks.spawn(task);
        let changes = self.changes.clone();
        store.listen(move |_| changes.send_modify(|count| *count += 1));
        self.sight.add(store.clone());
        self.stores
            .insert((TypeId::of::<K>(), scope), Box::new(store.clone()));
        store
    }

    /// A number that grows with each change of any store.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The stores, for the ledger.
    #[must_use]
    pub fn sight(&self) -> Sight {
        self.sight.clone()
    }

    /// Waits for the reflectors to end; they do when the token is cancelled.
    pub async fn ended(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
