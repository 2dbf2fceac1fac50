//! What is watched, and how changes reach the state: one stream per kind, coalesced by object.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use keelson_client::cache::{Changes, Reflector, reflect};
use keelson_client::{Change, Client, Object, Resource, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::storage::Storage;
use crate::model::{Node, Pod};
use crate::wire::selectors::{Controller, DisruptionBudget, Namespace, Service, Workload};
use crate::wire::storage::{
    CapacityObject, ClaimObject, ClassObject, CsiNodeObject, DriverObject, VolumeObject,
};

/// One kind of object.
#[derive(Debug)]
pub struct Watched<T> {
    store: Store<T>,
    changes: Changes<T>,
}

impl<T: Object> Watched<T> {
    fn start(
        client: &Client,
        resource: &Resource,
        fields: &str,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Self {
        let (store, writer) = Store::new(Vec::new());
        let reflector = Reflector::new(client.clone(), resource.all()).fields(fields);
        let changes = store.changes();
        tasks.spawn(reflect(reflector, writer, stop.clone()));
        Self { store, changes }
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> &Store<T> {
        &self.store
    }

    /// The next change, or nothing yet.
    pub fn take(&mut self) -> Option<Change<T>> {
        self.changes.take()
    }
}

/// All kinds that decisions are made on.
#[derive(Debug)]
pub struct Watches {
    /// Pods that have not come to their end.
    pub pods: Watched<Pod>,
    /// Nodes.
    pub nodes: Watched<Node>,
    /// Namespaces.
    pub namespaces: Watched<Namespace>,
    /// Services.
    pub services: Watched<Service>,
    /// ReplicationControllers.
    pub controllers: Watched<Controller>,
    /// ReplicaSets.
    pub replica_sets: Watched<Workload>,
    /// StatefulSets.
    pub stateful_sets: Watched<Workload>,
    /// PodDisruptionBudgets.
    pub budgets: Watched<DisruptionBudget>,
    /// PersistentVolumeClaims.
    pub claims: Watched<ClaimObject>,
    /// PersistentVolumes.
    pub volumes: Watched<VolumeObject>,
    /// StorageClasses.
    pub classes: Watched<ClassObject>,
    /// CSINodes.
    pub csi_nodes: Watched<CsiNodeObject>,
    /// CSIDrivers.
    pub drivers: Watched<DriverObject>,
    /// CSIStorageCapacities.
    pub capacities: Watched<CapacityObject>,
}

const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

impl Watches {
    /// Begins to watch; the tasks are the caller's.
    pub fn start(client: &Client, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Self {
        let core = |plural, kind, namespaced| Resource::fixed("", "v1", plural, kind, namespaced);
        let apps = |plural, kind| Resource::fixed("apps", "v1", plural, kind, true);
        let storage = |plural, kind, namespaced| {
            Resource::fixed("storage.k8s.io", "v1", plural, kind, namespaced)
        };
        macro_rules! watch {
            ($resource:expr, $fields:expr) => {
                Watched::start(client, &$resource, $fields, tasks, stop)
            };
        }
        Self {
            pods: watch!(core("pods", "Pod", true), UNFINISHED),
            nodes: watch!(core("nodes", "Node", false), ""),
            namespaces: watch!(core("namespaces", "Namespace", false), ""),
            services: watch!(core("services", "Service", true), ""),
            controllers: watch!(
                core("replicationcontrollers", "ReplicationController", true),
                ""
            ),
            replica_sets: watch!(apps("replicasets", "ReplicaSet"), ""),
            stateful_sets: watch!(apps("statefulsets", "StatefulSet"), ""),
            claims: watch!(
                core("persistentvolumeclaims", "PersistentVolumeClaim", true),
                ""
            ),
            volumes: watch!(core("persistentvolumes", "PersistentVolume", false), ""),
            classes: watch!(storage("storageclasses", "StorageClass", false), ""),
            csi_nodes: watch!(storage("csinodes", "CSINode", false), ""),
            drivers: watch!(storage("csidrivers", "CSIDriver", false), ""),
            capacities: watch!(
                storage("csistoragecapacities", "CSIStorageCapacity", true),
                ""
            ),
            budgets: watch!(
                Resource::fixed(
                    "policy",
                    "v1",
                    "poddisruptionbudgets",
                    "PodDisruptionBudget",
                    true
                ),
                ""
            ),
        }
    }

    /// Waits until everything was there once.
    pub async fn synced(&self) {
        tokio::join!(
            self.nodes.store.synced(),
            self.pods.store.synced(),
            self.namespaces.store.synced(),
            self.services.store.synced(),
            self.controllers.store.synced(),
            self.replica_sets.store.synced(),
            self.stateful_sets.store.synced(),
            self.budgets.store.synced(),
            self.claims.store.synced(),
            self.volumes.store.synced(),
            self.classes.store.synced(),
            self.csi_nodes.store.synced(),
            self.drivers.store.synced(),
            self.capacities.store.synced(),
        );
    }

    /// Wakes somebody with each change from now on.
    pub fn wake(&self, wake: &Arc<tokio::sync::Notify>) {
        fn on<T: Object>(watched: &Watched<T>, wake: &Arc<tokio::sync::Notify>) {
            let wake = wake.clone();
            watched.store.listen(move |_| wake.notify_one());
        }
        on(&self.pods, wake);
        on(&self.nodes, wake);
        on(&self.namespaces, wake);
        on(&self.services, wake);
        on(&self.controllers, wake);
        on(&self.replica_sets, wake);
        on(&self.stateful_sets, wake);
        on(&self.budgets, wake);
        on(&self.claims, wake);
        on(&self.volumes, wake);
        on(&self.classes, wake);
        on(&self.csi_nodes, wake);
        on(&self.drivers, wake);
        on(&self.capacities, wake);
    }

    /// Takes in what changed of storage; whether anything did.
    pub fn take_storage(&mut self, storage: &mut Storage) -> bool {
        let mut any = false;
        while let Some(change) = self.claims.take() {
            any = true;
            let key = change.latest().key();
            set(
                &mut storage.claims,
                key,
                change.current().map(|new| new.claim()),
            );
        }
        while let Some(change) = self.volumes.take() {
            any = true;
            let name = change.latest().metadata.name.clone();
            set(
                &mut storage.volumes,
                name,
                change.current().map(|new| new.volume()),
            );
        }
        while let Some(change) = self.classes.take() {
            any = true;
            let name = change.latest().metadata.name.clone();
            set(
                &mut storage.classes,
                name,
                change.current().map(|new| new.class()),
            );
        }
        while let Some(change) = self.csi_nodes.take() {
            any = true;
            let name = change.latest().metadata.name.clone();
            set(
                &mut storage.nodes,
                name,
                change.current().map(|new| new.node()),
            );
        }
        while let Some(change) = self.drivers.take() {
            any = true;
            let name = change.latest().metadata.name.clone();
            set(
                &mut storage.drivers,
                name,
                change.current().map(|new| new.tells_capacity()),
            );
        }
        while let Some(change) = self.capacities.take() {
            any = true;
            let key = change.latest().metadata.key();
            set(
                &mut storage.capacities,
                key,
                change.current().map(|new| new.capacity()),
            );
        }
        any
    }
}

fn set<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
