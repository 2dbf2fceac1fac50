//! Follows the metadata of every kind that can be deleted, as kinds come and go, and says which
//! objects are worth a look. Must not know what becomes of them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keelson_client::cache::{Change, Key, Reflector, Store, reflect};
use keelson_client::{Client, Object as _, Queue, Resource};
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::tracked::{OWNERS, Tracked, group_of, key};
use crate::discovery::{self, Found};

/// How often kinds are looked up, should nothing say that there are new ones.
const PERIOD: Duration = Duration::from_secs(30);
/// How long to wait for the first list of kinds that can't be listed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long changes of definitions are gathered.
const SETTLE: Duration = Duration::from_secs(1);
/// What must be possible with a kind.
const COLLECTABLE: [&str; 3] = ["delete", "list", "watch"];
/// Kinds that own nothing and are owned by nobody, but change all the time.
const IGNORED: [&str; 2] = ["events.", "events.events.k8s.io"];
/// The kind whose objects define others.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// The kinds that are followed.
pub struct Monitors {
    kinds: RwLock<BTreeMap<String, Monitor>>,
    queue: Queue<Key>,
    changed: Notify,
}

struct Monitor {
    resource: Resource,
    objects: Store<Tracked>,
    since: Instant,
    stop: CancellationToken,
}

impl fmt::Debug for Monitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.read().keys()).finish()
    }
}

/// The plural and group of a kind.
#[must_use]
pub fn kind_name(resource: &Resource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

impl Monitors {
    /// None yet.
    #[must_use]
    pub fn new(queue: Queue<Key>) -> Self {
        Self {
            kinds: RwLock::new(BTreeMap::new()),
            queue,
            changed: Notify::new(),
        }
    }

    /// Whether all kinds were listed once, as far as they can be.
    #[must_use]
    pub fn are_complete(&self) -> bool {
        let kinds = self.kinds.read();
        !kinds.is_empty()
            && kinds
                .values()
                .all(|monitor| monitor.objects.is_synced() || monitor.since.elapsed() > PATIENCE)
    }

    /// A kind's resource and objects.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<(Resource, Store<Tracked>)> {
        let kinds = self.kinds.read();
        let monitor = kinds.get(kind)?;
        Some((monitor.resource.clone(), monitor.objects.clone()))
    }

    /// The kind that a reference means, in whatever version of its group.
    #[must_use]
    pub fn named(&self, api_version: &str, kind: &str) -> Option<(Resource, Store<Tracked>)> {
        let group = group_of(api_version);
        let kinds = self.kinds.read();
        let mut monitors = kinds.values();
        let monitor = monitors.find(|it| it.resource.kind == kind && it.resource.group == group)?;
        Some((monitor.resource.clone(), monitor.objects.clone()))
    }

    /// Everything that an object owns, with its kind.
    #[must_use]
    pub fn dependents(&self, uid: &str) -> Vec<(Resource, Arc<Tracked>)> {
        let kinds = self.kinds.read();
        let mut found = Vec::new();
        for monitor in kinds.values() {
            let owned = monitor.objects.by_index(OWNERS, uid);
            found.extend(
                owned
                    .into_iter()
                    .map(|object| (monitor.resource.clone(), object)),
            );
        }
        found
    }

    /// An object is worth a look.
    pub fn wake(&self, resource: &Resource, object: &Key) {
        self.queue.add(key(&kind_name(resource), object));
    }

    /// What a change is about: the object itself, those it owns, those who own it.
    fn note(&self, resource: &Resource, change: &Change<Tracked>) {
        let (old, new) = (change.previous(), change.current());
        if let Some(new) = new {
            let owned = !new.metadata.owner_references.is_empty()
                && old.is_none_or(|old| {
                    old.metadata.owner_references != new.metadata.owner_references
                        || old.metadata.uid != new.metadata.uid
                });
            if owned || new.waits_for_dependents() || new.orphans_dependents() {
                self.wake(resource, &new.key());
            }
        }
        let Some(old) = old else {
            return;
        };
        let replaced = new.is_some_and(|new| new.metadata.uid != old.metadata.uid);
        if new.is_none() || replaced {
            for (kind, dependent) in self.dependents(&old.metadata.uid) {
                self.wake(&kind, &dependent.key());
            }
        }
        for owner in &old.metadata.owner_references {
            let blocks = new.is_some_and(|new| new.blocks(&owner.uid) && !replaced);
            if owner.block_owner_deletion == Some(true) && !blocks {
                self.wake_owner(&old.metadata.namespace, owner);
            }
        }
    }

    fn wake_owner(&self, namespace: &str, owner: &crate::kinds::OwnerReference) {
        if let Some((resource, _)) = self.named(&owner.api_version, &owner.kind) {
            let namespace = if resource.namespaced { namespace } else { "" };
            self.wake(&resource, &Key::new(namespace, &owner.name));
        }
    }
}

/// Follows the kinds that a server has until the token is cancelled.
pub async fn follow(monitors: Arc<Monitors>, client: Client, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let work = async {
        loop {
            match discovery::discover(&client).await {
                Ok(found) => monitors.follow_only(&client, &stop, &mut tasks, found),
                Err(error) => warn!(%error, "cannot find out which kinds there are"),
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = monitors.changed.notified() => sleep(SETTLE).await,
            }
        }
    };
    stop.run_until_cancelled(work).await;
    while tasks.join_next().await.is_some() {}
}

impl Monitors {
    /// Begins and ends monitors so that they are those of the kinds that were found. Kinds of
    /// groups that could not be read stay.
    fn follow_only(
        self: &Arc<Self>,
        client: &Client,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
        found: Found,
    ) {
        let unknown: BTreeSet<&str> = found
            .failures
            .iter()
            .map(|(group, _)| group.split_once('/').map_or("", |(group, _)| group))
            .collect();
        let mut wanted = BTreeMap::new();
        for served in &found.kinds {
            let name = kind_name(&served.resource);
            if served.can(&COLLECTABLE) && !IGNORED.contains(&name.as_str()) {
                wanted.insert(name, &served.resource);
            }
        }
        let mut kinds = self.kinds.write();
        kinds.retain(|name, monitor| {
            let stays = wanted
                .get(name)
                .is_some_and(|resource| **resource == monitor.resource)
                || unknown.contains(&*monitor.resource.group);
            if !stays {
                monitor.stop.cancel();
            }
            stays
        });
        let before = kinds.len();
        let mut fresh = Vec::new();
        for (name, resource) in wanted {
            if let Entry::Vacant(place) = kinds.entry(name) {
                let (objects, writer) = Store::new(Tracked::indexes());
                let monitor = Monitor {
                    resource: resource.clone(),
                    objects: objects.clone(),
                    since: Instant::now(),
                    stop: stop.child_token(),
                };
                let reflector = Reflector::new(client.metadata_only(), resource.all());
                tasks.spawn(reflect(reflector, writer, monitor.stop.clone()));
                fresh.push((place.key().clone(), resource.clone(), objects));
                place.insert(monitor);
            }
        }
        if !fresh.is_empty() {
            info!(
                kinds = kinds.len(),
                new = kinds.len() - before,
                "following what can be owned"
            );
        }
        drop(kinds);
        for (name, resource, objects) in fresh {
            self.listen(&name, resource, &objects);
        }
    }

    fn listen(self: &Arc<Self>, name: &str, resource: Resource, objects: &Store<Tracked>) {
        let (this, defines) = (Arc::downgrade(self), name == DEFINITIONS);
        objects.listen(move |change| {
            let Some(this) = this.upgrade() else {
                return;
            };
            this.note(&resource, change);
            if defines {
                this.changed.notify_one();
            }
        });
    }
}
