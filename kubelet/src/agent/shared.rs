//! What the agent's tasks share, and the parts and tasks that are made of it alone. Waits for
//! nothing: what is shared was found and opened before.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelson_cri::Client;
use keelson_cri::events::{Backoff, EventOrRelist, follow_events};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pod_loop::Records;
use super::pressure::{Conditions, Pressure};
use super::size_limits;
use super::view::AgentView;
use super::{log_list, start};
use crate::cgroup;
use crate::collect::{self, Collector};
use crate::config::Config;
use crate::evict::Eviction;
use crate::execute::Executor;
use crate::execute::credential_plugins::CredentialPlugins;
use crate::join::objects::ObjectSource;
use crate::journal::Journal;
use crate::logs::rotator;
use crate::model::Mono;
use crate::node::Node;
use crate::stats;
use crate::user_namespaces::UserNamespaces;

/// Handles of what there is one of.
pub struct Shared {
    /// The configuration in force.
    pub config: Config,
    /// The runtime.
    pub cri: Client,
    /// What this node is.
    pub node: Arc<Node>,
    /// The cgroup tree.
    pub cgroups: Arc<cgroup::Manager>,
    /// The ids of pods with user namespaces of their own.
    pub user_namespaces: Arc<UserNamespaces>,
    /// What was decided.
    pub journal: Arc<Journal>,
    /// Programs that know credentials of images.
    pub credential_plugins: Arc<CredentialPlugins>,
    /// The pods.
    pub records: Records,
}

impl Shared {
    /// What does the pods' actions.
    #[must_use]
    pub fn executor(&self, objects: Option<ObjectSource>) -> Arc<Executor> {
        let executor = Executor::new(
            self.cri.clone(),
            self.node.clone(),
            self.cgroups.clone(),
            self.user_namespaces.clone(),
            self.journal.clone(),
            start::pulls_at_once(&self.config),
        );
        let executor = executor.with_objects(objects);
        Arc::new(executor.with_credential_plugins(self.credential_plugins.clone()))
    }

    /// What the servers look at.
    #[must_use]
    pub fn view(&self, turned: watch::Receiver<Mono>, changes: watch::Receiver<u64>) -> AgentView {
        AgentView {
            records: self.records.clone(),
            node: self.node.clone(),
            turned,
            journal: self.journal.clone(),
            config: serde_json::to_value(&self.config.kubelet).unwrap_or_default(),
            changes,
        }
    }

    /// Follows the runtime's container events.
    pub fn follow(&self, tasks: &mut JoinSet<()>) -> mpsc::Receiver<EventOrRelist> {
        let (news, follow) = follow_events(self.cri.clone(), Backoff::default());
        tasks.spawn(async move {
            if let Err(error) = follow.await {
                tracing::error!(%error, "following container events");
            }
        });
        news
    }

    /// Collects what nobody uses any more, now and then and when asked.
    pub fn collect(&self, tasks: &mut JoinSet<()>) -> mpsc::Sender<collect::Request> {
        let (ask, asked) = mpsc::channel(1);
        let collector = Collector {
            cri: self.cri.clone(),
            records: self.records.clone(),
            node: self.node.clone(),
            cgroups: self.cgroups.clone(),
            user_namespaces: self.user_namespaces.clone(),
            journal: self.journal.clone(),
            limits: start::image_limits(&self.config),
        };
        tasks.spawn(collector.run(asked));
        ask
    }

    /// Rotates the containers' logs, until `shutdown`: `servers` gets the task which ends by
    /// itself then.
    pub fn rotate_logs(
        &self,
        changes: watch::Receiver<u64>,
        tasks: &mut JoinSet<()>,
        servers: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let (list, logs) = watch::channel(Arc::new(Vec::new()));
        let (records, node) = (self.records.clone(), self.node.clone());
        tasks.spawn(log_list::run(records, node, changes, list));
        let workers = usize::try_from(self.config.kubelet.container_log_max_workers).unwrap_or(1);
        servers.spawn(rotator::run(
            start::rotation(&self.config),
            workers,
            Arc::new(self.cri.clone()),
            logs,
            shutdown.clone(),
        ));
    }

    /// Watches for pods that outgrow a size limit, and tells of them.
    pub fn watch_sizes(
        &self,
        changes: watch::Receiver<u64>,
        stats: Arc<stats::Collector>,
        tasks: &mut JoinSet<()>,
        evict: mpsc::Sender<Eviction>,
    ) {
        let (records, paths) = (self.records.clone(), self.node.paths.clone());
        tasks.spawn(size_limits::run(records, paths, stats, changes, evict));
    }

    /// Watches for pressure on the node; the conditions that it causes are given back.
    pub fn watch_pressure(
        &self,
        stats: Arc<stats::Collector>,
        collect: mpsc::Sender<collect::Request>,
        tasks: &mut JoinSet<()>,
        evict: mpsc::Sender<Eviction>,
    ) -> Conditions {
        let (conditions, told) = watch::channel(BTreeSet::new());
        let pressure = Pressure {
            watch: start::pressure_watch(&self.config),
            most_grace: start::most_soft_grace(&self.config),
            cri: self.cri.clone(),
            cgroups: self.cgroups.clone(),
            allocatable_memory: start::enforced_memory(&self.config, &self.node),
            paths: self.node.paths.clone(),
            records: self.records.clone(),
            stats,
            journal: self.journal.clone(),
            collect,
            evict,
            conditions,
        };
        tasks.spawn(pressure.run());
        told
    }
}
