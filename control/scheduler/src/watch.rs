//! What is watched, and how changes reach the state: one stream per kind, coalesced by object.

use std::sync::Arc;

use keelson_client::cache::{Changes, Reflector, reflect};
use keelson_client::{Change, Client, Object, Resource, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::{Node, Pod};
use crate::wire::selectors::{Controller, DisruptionBudget, Namespace, Service, Workload};

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
}

const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

impl Watches {
    /// Begins to watch; the tasks are the caller's.
    pub fn start(client: &Client, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Self {
        let core = |plural, kind, namespaced| Resource::fixed("", "v1", plural, kind, namespaced);
        let apps = |plural, kind| Resource::fixed("apps", "v1", plural, kind, true);
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
    }
}
