//! The node under an apiserver: its Node object and lease, pods from the API, their statuses,
//! mirror pods. Uses the public wire alone.
//!
//! Pure: [`node_object`], [`mirror`], [`status_patch`], [`api_pods`]. The rest carries out.

pub mod api_pods;
pub mod certificates;
pub mod facts;
#[cfg(test)]
pub(crate) mod fake_api;
pub mod follow;
pub mod heartbeat;
pub mod kept_objects;
pub mod mirror;
pub mod node_object;
pub mod objects;
pub mod publish;
pub mod register;
pub mod services;
pub mod status_patch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use keelson_client::cache::{Reflector, Writer, reflect};
use keelson_client::events::Recorder;
use keelson_client::kubeconfig::Pem;
use keelson_client::{Client, Resource, Store};
use keelson_cri::Client as Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::pod_loop::{Records, Wanted};
use crate::agent::pressure::Conditions;
use crate::agent::start;
use crate::config::Config;
use crate::journal::{Journal, Kind, reason};
use crate::model::{DesiredPod, Mono, PodOrigin, PodUid};
use crate::node::Node;
use crate::observe::clock;
use crate::pod_source::SourceSnapshot;
use api_pods::ApiPod;
use certificates::AccessError;
use certificates::enrol::Wish;
use certificates::keeper::Keeper;

/// A cluster that this node is to be part of.
#[derive(Debug)]
pub struct Cluster {
    client: Client,
    services: Writer<services::Service>,
    objects: objects::ObjectSource,
    /// The client's certificate is ours to renew.
    rotating: bool,
}

/// What joining needs of the agent.
pub struct Parts<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// What this node is.
    pub node: &'a Arc<Node>,
    /// The runtime.
    pub cri: &'a Runtime,
    /// The pods at hand.
    pub records: &'a Records,
    /// Told whenever the pod loop has turned.
    pub turned: watch::Receiver<Mono>,
    /// Told whenever something about a pod changed.
    pub changes: watch::Receiver<u64>,
    /// To be told of pods whose volumes show something old.
    pub outdated: mpsc::Sender<PodUid>,
    /// What was decided; the API is told of it.
    pub journal: &'a Arc<Journal>,
    /// What runs low on the node.
    pub conditions: Conditions,
}

/// The pods that the API wants, to be merged with those of other sources.
pub struct Joined {
    /// What the API wants.
    pub source: watch::Receiver<Arc<SourceSnapshot>>,
    /// Its pods, for those who report on them.
    pods: Store<ApiPod>,
}

impl Cluster {
    /// Reads the kubeconfig, where one is given; connects later. Where the node has no certificate
    /// and may ask for one, it waits until it has it.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn open(config: &Config, node: &str) -> Result<Option<Self>, AccessError> {
        let Some(path) = &config.options.kubeconfig else {
            return Ok(None);
        };
        let access = certificates::access(config, path, node).await?;
        let shown = access
            .certificate
            .as_ref()
            .map(|(certificate, _)| certificate);
        let ours = Pem::File(certificates::client_store(config).current());
        let rotating = config.kubelet.rotate_certificates && shown == Some(&ours);
        let client = Client::new(&access, "kubelet")?;
        let (known_services, services) = Store::new(Vec::new());
        let objects = {
            let run = config.options.status_socket.parent();
            let folder = run.unwrap_or(Path::new("/run/keelson")).join("objects");
            let kept = kept_objects::KeptObjects::new(&folder);
            objects::ObjectSource::new(client.clone(), known_services, kept)
        };
        Ok(Some(Self {
            client,
            services,
            objects,
            rotating,
        }))
    }

    /// The way to the apiserver.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where references of pods are looked up.
    #[must_use]
    pub fn objects(&self) -> objects::ObjectSource {
        self.objects.clone()
    }

    /// Begins to follow the API's pods. Until it answers, the pods that were accepted before count
    /// as wanted.
    pub fn follow_pods(
        &self,
        parts: &Parts<'_>,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Joined {
        let (store, writer) = Store::<ApiPod>::new(Vec::new());
        let selector = format!("spec.nodeName={}", parts.node.name);
        let pods = Resource::of::<Pod>().all();
        let reflector = Reflector::new(self.client.clone(), pods).fields(&selector);
        tasks.spawn(reflect(reflector, writer, stop.clone()));
        let kept = SourceSnapshot {
            ready: true,
            pods: accepted_before(parts.records),
            problems: Vec::new(),
        };
        let (sender, source) = watch::channel(Arc::new(kept));
        tasks.spawn(tell(store.clone(), sender));
        Joined {
            source,
            pods: store,
        }
    }

    /// Registers the node, keeps its lease and status, reports on pods, and follows what they
    /// refer to. Last, since nothing else of the cluster is begun after it.
    pub fn report(
        self,
        parts: Parts<'_>,
        joined: Joined,
        wanted: Wanted,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let kubelet = &parts.config.kubelet;
        let (client, name) = (self.client.clone(), &parts.node.name);
        let (recorder, sending) = Recorder::new(client.clone(), "kubelet", name, stop.clone());
        tasks.spawn(sending);
        parts.journal.tell(recorder, name);
        let at = clock::now().wall;
        let (kind, text) = (Kind::Normal, "Starting kubelet.");
        parts.journal.record_node(at, kind, reason::STARTING, text);
        tasks.spawn(services::follow(
            client.clone(),
            self.services,
            stop.clone(),
        ));
        let follower = follow::Follower {
            client,
            records: parts.records.clone(),
            source: self.objects,
            outdated: parts.outdated,
        };
        tasks.spawn(follower.run(parts.changes, stop.clone()));
        let (trouble, certificate) = watch::channel(None);
        let store = certificates::client_store(parts.config);
        if self.rotating {
            let wish = Wish::client(name);
            let keeper = Keeper::new(self.client.clone(), wish, store, trouble);
            tasks.spawn(keeper.run(stop.clone()));
        }
        if kubelet.server_tls_bootstrap {
            let wish = Wish::server(name, &parts.node.ips);
            let store = certificates::server_store(parts.config);
            let told = watch::Sender::new(None);
            let keeper = Keeper::new(self.client.clone(), wish, store, told);
            tasks.spawn(keeper.run(stop.clone()));
        }
        let (uid, known_uid) = watch::channel(None);
        let seconds = |count: i32| Duration::from_secs(u64::try_from(count).unwrap_or(0));
        let facts = facts::Facts {
            cri: parts.cri.clone(),
            setting: setting(parts.config, parts.node),
            most_images: kubelet.node_status_max_images,
            conditions: parts.conditions,
            certificate,
        };
        let registrar = register::Registrar {
            client: self.client.clone(),
            facts,
            register: kubelet.register_node,
            journal: parts.journal.clone(),
            every: kubelet.node_status_update_frequency.to_std(),
            report_every: kubelet.node_status_report_frequency.to_std(),
            uid,
        };
        tasks.spawn(registrar.run(stop.clone()));
        let lease = heartbeat::Heartbeat::new(
            self.client.clone(),
            &parts.node.name,
            seconds(kubelet.node_lease_duration_seconds),
            known_uid.clone(),
        );
        tasks.spawn(lease.run(stop.clone()));
        let publisher = publish::Publisher {
            client: self.client.clone(),
            cri: parts.cri.clone(),
            node: parts.node.clone(),
            records: parts.records.clone(),
            pods: joined.pods,
            wanted,
            node_uid: known_uid,
            sent: BTreeMap::new(),
        };
        tasks.spawn(publisher.run(parts.turned, stop.clone()));
    }
}

/// The settings that the Node object is made of.
fn setting(config: &Config, node: &Node) -> node_object::Setting {
    let kubelet = &config.kubelet;
    node_object::Setting {
        name: node.name.clone(),
        addresses: node.ips.clone(),
        port: kubelet.port,
        labels: start::admission(config, node).labels,
        taints: kubelet.register_with_taints.clone(),
        provider_id: kubelet.provider_id.clone(),
        allocatable: node.allocatable.clone(),
        memory: node.limits.memory_capacity,
        storage_path: config.options.root_dir.clone(),
        most_pods: i64::from(kubelet.max_pods),
    }
}

/// Pods of the API that run here since before the start.
fn accepted_before(records: &Records) -> Vec<Arc<DesiredPod>> {
    let records = records.lock();
    let of_api = records
        .iter()
        .filter(|(_, record)| record.origin == PodOrigin::Api && !record.leaving());
    let desired = of_api.map(|(uid, record)| {
        Arc::new(DesiredPod {
            uid: uid.clone(),
            pod: record.pod.clone(),
            origin: PodOrigin::Api,
        })
    });
    desired.collect()
}

/// Tells the pod loop what the API wants, once all of it is known and then with every change.
async fn tell(store: Store<ApiPod>, sender: watch::Sender<Arc<SourceSnapshot>>) {
    store.synced().await;
    let mut revision = store.revision();
    loop {
        revision.mark_unchanged();
        sender.send_replace(Arc::new(api_pods::snapshot(&store.all())));
        if revision.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod wire_tests;

/// The resource of Node objects.
fn nodes() -> Resource {
    Resource::of::<NodeObject>()
}
