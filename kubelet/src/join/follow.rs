//! Follows the ConfigMaps and Secrets that volumes of this node's pods show: each by a watch of its
//! own, and only while a pod uses it. Says which pods show something old.
//!
//! # Guarantees
//! - Nothing is asked for but what a pod of this node refers to, by its name.
//! - What is immutable is read once and not watched.
//!
//! Must not know how volumes are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use keelson_client::cache::{Reflector, Writer, reflect};
use keelson_client::{Client, Object, Resource, Store};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::objects::ObjectSource;
use crate::agent::pod_loop::Records;
use crate::model::memory::Life;
use crate::model::objects::{Data, Needs};
use crate::model::{PodOrigin, PodUid};

/// News that wait to be told.
const WAITING: usize = 64;

/// The kinds of objects that volumes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is read of a ConfigMap or Secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Held {
    metadata: HeldMeta,
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, String>>,
    immutable: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeldMeta {
    namespace: String,
    name: String,
    resource_version: String,
}

impl Object for Held {
    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Kind {
    /// How the API names it.
    #[must_use]
    pub fn resource(self) -> Resource {
        match self {
            Self::ConfigMap => Resource::fixed("", "v1", "configmaps", "ConfigMap", true),
            Self::Secret => Resource::fixed("", "v1", "secrets", "Secret", true),
        }
    }
}

impl Held {
    /// Keys and values. What is no base64 never comes from an apiserver, and counts as empty.
    #[must_use]
    pub fn content(&self, kind: Kind) -> Data {
        let decoded = |value: &String| STANDARD.decode(value).unwrap_or_default();
        let plain = |value: &String| match kind {
            Kind::ConfigMap => value.clone().into_bytes(),
            Kind::Secret => decoded(value),
        };
        let data = self.data.iter().flatten();
        let data = data.map(|(key, value)| (key.clone(), plain(value)));
        let binary = self.binary_data.iter().flatten();
        let binary = binary.map(|(key, value)| (key.clone(), decoded(value)));
        data.chain(binary).collect()
    }
}

/// What is followed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Followed(Arc<Mutex<BTreeMap<ObjectKey, Entry>>>);

#[derive(Debug)]
struct Entry {
    store: Store<Held>,
    /// The version that a pod was given before the watch began to tell.
    given: Option<String>,
}

impl Followed {
    /// The object as last heard of. Nothing where it is not followed or not there.
    #[must_use]
    pub fn find(&self, key: &ObjectKey) -> Option<Arc<Held>> {
        let entries = self.0.lock();
        let store = &entries.get(key)?.store;
        store.get(&key.namespace, &key.name)
    }

    /// A pod was given this version.
    pub fn given(&self, key: &ObjectKey, version: &str) {
        if let Some(entry) = self.0.lock().get_mut(key) {
            entry.given = Some(version.to_owned());
        }
    }

    fn was_given(&self, key: &ObjectKey) -> Option<String> {
        self.0.lock().get(key).and_then(|entry| entry.given.clone())
    }
}

/// Keeps the watches, and tells what is outdated.
#[derive(Debug)]
pub struct Follower {
    /// Who is asked.
    pub client: Client,
    /// The pods at hand.
    pub records: Records,
    /// What pods were given, tokens among it.
    pub source: ObjectSource,
    /// Told of pods whose volumes show something old.
    pub outdated: mpsc::Sender<PodUid>,
}

/// Which pod shows what.
#[derive(Debug, Default)]
struct Users(BTreeMap<PodUid, (Arc<Pod>, BTreeSet<ObjectKey>)>);

impl Users {
    /// Takes over who is there now.
    fn update(&mut self, pods: Vec<(PodUid, Arc<Pod>)>) {
        let mut before = std::mem::take(&mut self.0);
        for (uid, pod) in pods {
            let known = before.remove(&uid);
            let known = known.filter(|(known, _)| Arc::ptr_eq(known, &pod));
            let user = known.unwrap_or_else(|| {
                let shows = shown_by(&pod);
                (pod, shows)
            });
            self.0.insert(uid, user);
        }
    }

    fn wanted(&self) -> BTreeSet<&ObjectKey> {
        self.0.values().flat_map(|(_, keys)| keys).collect()
    }

    fn of<'a>(&'a self, key: &'a ObjectKey) -> impl Iterator<Item = &'a PodUid> {
        let shows =
            move |(_, (_, keys)): &(&PodUid, &(Arc<Pod>, BTreeSet<ObjectKey>))| keys.contains(key);
        self.0.iter().filter(shows).map(|(uid, _)| uid)
    }
}

/// What the pod's volumes show.
fn shown_by(pod: &Pod) -> BTreeSet<ObjectKey> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let needs = Needs::of_volumes(pod);
    let key = |kind| {
        move |name| ObjectKey {
            kind,
            namespace: namespace.to_owned(),
            name,
        }
    };
    let maps = needs.config_maps.into_iter().map(key(Kind::ConfigMap));
    maps.chain(needs.secrets.into_iter().map(key(Kind::Secret)))
        .collect()
}

impl Follower {
    /// Runs until the token is cancelled. `changes` tells that pods came, changed or went.
    pub async fn run(self, changes: watch::Receiver<u64>, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep(changes)).await;
    }

    async fn keep(self, mut changes: watch::Receiver<u64>) {
        let (news, mut heard) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        let mut watches: BTreeMap<ObjectKey, DropGuard> = BTreeMap::new();
        let mut users = Users::default();
        loop {
            changes.mark_unchanged();
            users.update(self.pods());
            self.source.forget(|uid| users.0.contains_key(uid));
            self.watch_what_is_wanted(&users, &mut watches, &mut tasks, &news);
            let renewal = self.source.next_renewal();
            let due = renewal.unwrap_or_else(Instant::now);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some(key) = heard.recv() => self.tell(users.of(&key)).await,
                () = sleep_until(due), if renewal.is_some() => {
                    let due = self.source.take_due();
                    self.tell(due.iter()).await;
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    /// The pods that are to run.
    fn pods(&self) -> Vec<(PodUid, Arc<Pod>)> {
        let records = self.records.lock();
        let live = records.iter().filter(|(_, record)| {
            record.origin == PodOrigin::Api && record.memory.life == Life::Wanted
        });
        live.map(|(uid, record)| (uid.clone(), record.pod.clone()))
            .collect()
    }

    fn watch_what_is_wanted(
        &self,
        users: &Users,
        watches: &mut BTreeMap<ObjectKey, DropGuard>,
        tasks: &mut JoinSet<()>,
        news: &mpsc::Sender<ObjectKey>,
    ) {
        let wanted = users.wanted();
        let mut entries = self.source.followed.0.lock();
        watches.retain(|key, _| wanted.contains(key));
        entries.retain(|key, _| wanted.contains(key));
        for key in wanted {
            if watches.contains_key(key) {
                continue;
            }
            let (store, writer) = Store::new(Vec::new());
            let stop = CancellationToken::new();
            let watch = Watch {
                key: key.clone(),
                store: store.clone(),
                followed: self.source.followed.clone(),
                news: news.clone(),
            };
            tasks.spawn(watch.run(self.client.clone(), writer, stop.clone()));
            watches.insert(key.clone(), stop.drop_guard());
            entries.insert(key.clone(), Entry { store, given: None });
        }
    }

    async fn tell<'a>(&self, pods: impl Iterator<Item = &'a PodUid>) {
        for uid in pods {
            // Fails only when the pod loop has ended.
            let _ = self.outdated.send(uid.clone()).await;
        }
    }
}

/// The watch of one object.
struct Watch {
    key: ObjectKey,
    store: Store<Held>,
    followed: Followed,
    news: mpsc::Sender<ObjectKey>,
}

impl Watch {
    async fn run(self, client: Client, writer: Writer<Held>, stop: CancellationToken) {
        let path = self.key.kind.resource().within(&self.key.namespace);
        let selector = format!("metadata.name={}", self.key.name);
        let reflector = Reflector::new(client, path).fields(&selector);
        tokio::select! {
            () = reflect(reflector, writer, stop) => {}
            // It never changes again.
            () = self.tell() => {}
        }
    }

    /// Tells of every version but the one that pods were given; ends when there will be no other.
    async fn tell(&self) {
        let mut revision = self.store.revision();
        self.store.synced().await;
        let mut told = self.followed.was_given(&self.key);
        loop {
            revision.mark_unchanged();
            let held = self.store.get(&self.key.namespace, &self.key.name);
            let version = held.as_ref().map(|held| held.resource_version().to_owned());
            let version = version.unwrap_or_default();
            if told.as_ref() != Some(&version) {
                told = Some(version);
                if self.news.send(self.key.clone()).await.is_err() {
                    return;
                }
            }
            let last = held.is_some_and(|held| held.immutable == Some(true));
            if last || revision.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
