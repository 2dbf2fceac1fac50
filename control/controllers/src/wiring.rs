//! Connects a controller with what wakes it: which kinds it watches, and which keys a change of
//! each is about. Must not know what the controller decides.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use keelson_client::cache::{Change, Key, Store};
use keelson_client::events::Recorder;
use keelson_client::{Client, Queue, Resource};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::accounts::Account;
use crate::caches::Caches;
use crate::kinds::{Kind, Scope};
use crate::options::Options;

type Synced = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a controller is made with.
pub struct Wiring<'a> {
    /// The controller's name.
    pub name: &'static str,
    /// The command line.
    pub options: &'a Arc<Options>,
    /// The way to the server, as the controller's own account.
    pub client: Client,
    /// The keys that wait. A controller that acts may add keys from tasks of its own.
    pub queue: Queue<Key>,
    /// Where events go.
    pub recorder: Recorder,
    /// Ends when the controller has to.
    pub stop: CancellationToken,
    pub(crate) account: &'a Account,
    pub(crate) caches: &'a mut Caches,
    pub(crate) tasks: &'a mut JoinSet<()>,
    pub(crate) synced: Vec<Synced>,
}

impl std::fmt::Debug for Wiring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Wiring<'_> {
    /// The way to the server as the program itself, which may read what caches hold.
    #[must_use]
    pub fn program(&self) -> Client {
        self.caches.client.clone()
    }

    /// A kind that is only read. Work begins when its first list is complete.
    pub fn read<K: Kind>(&mut self) -> Store<K> {
        self.read_part(K::SCOPE)
    }

    /// A part of a kind that is only read.
    pub fn read_part<K: Kind>(&mut self, scope: Scope) -> Store<K> {
        let store = self.caches.of::<K>(scope);
        let waits = store.clone();
        self.synced
            .push(Box::pin(async move { waits.synced().await }));
        store
    }

    /// A kind whose changes are about keys. The function adds them; it is called by the reflector
    /// and must be quick.
    pub fn watch<K: Kind>(
        &mut self,
        keys: impl Fn(&Change<K>, &mut Vec<Key>) + Send + Sync + 'static,
    ) -> Store<K> {
        self.watch_part(K::SCOPE, keys)
    }

    /// The same for a part of a kind.
    pub fn watch_part<K: Kind>(
        &mut self,
        scope: Scope,
        keys: impl Fn(&Change<K>, &mut Vec<Key>) + Send + Sync + 'static,
    ) -> Store<K> {
        let store = self.read_part::<K>(scope);
        let (queue, name, stop) = (self.queue.clone(), self.name, self.stop.clone());
        store.listen(move |change| {
            if stop.is_cancelled() {
                return;
            }
            let mut found = Vec::new();
            // The reflector serves others too: it must not end with us.
            if catch_unwind(AssertUnwindSafe(|| keys(change, &mut found))).is_err() {
                let object = change.latest().key();
                error!(controller = name, %object, "finding out what a change is about panicked");
            }
            for key in found {
                queue.add(key);
            }
        });
        store
    }

    /// The kind that the controller is about: an object's change is about its own key.
    pub fn own<K: Kind>(&mut self) -> Store<K> {
        self.watch(|change: &Change<K>, keys| keys.push(change.latest().key()))
    }

    /// A kind whose objects are managed by those of another: a change is about the owner, the one
    /// before and the one after.
    pub fn owned<K: Kind>(&mut self, owner: Resource) -> Store<K> {
        self.watch(move |change: &Change<K>, keys| owners(change, &owner, keys))
    }

    /// Runs a task of the controller's own beside its work, from when the server knows the
    /// controller's account; it has to end with [`Wiring::stop`].
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let ready = self.account.ready();
        self.tasks.spawn(async move {
            ready.await;
            task.await;
        });
    }
}

/// The keys of the owners, of one kind, that manage or managed an object.
pub fn owners<K: Kind>(change: &Change<K>, owner: &Resource, keys: &mut Vec<Key>) {
    let sides = [change.previous(), change.current()];
    for object in sides.into_iter().flatten() {
        let controller = object.meta().controller();
        let key = controller
            .filter(|found| is_of(owner, &found.api_version, &found.kind))
            .map(|found| Key::new(namespace_of(owner, object.namespace()), &found.name));
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
}

fn namespace_of<'a>(owner: &Resource, namespace: &'a str) -> &'a str {
    if owner.namespaced { namespace } else { "" }
}

/// Whether a reference is to this kind, in any version of its group.
#[must_use]
pub fn is_of(resource: &Resource, api_version: &str, kind: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    resource.kind == kind && resource.group == group
}
