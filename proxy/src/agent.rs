//! The proxy at work: watches, collects changes, applies them, tells how it goes. Owns every task.
//!
//! Changes are applied as soon as they come; between the end of a transaction and the begin of the
//! next there is at least `minSyncPeriod`, and what comes meanwhile goes into one. Every `syncPeriod` the kernel is
//! asked whether somebody else wrote; only then the table is read.

mod begin;
mod listen;
mod measure;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::cache::Changes;
use keelson_client::{Change, Client, Object as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use begin::{Watch, keep_small, name_server, period, pod_routes};
use listen::listen;
use measure::{note_sync, seconds, without_local};

use crate::backend::ipvs::link::other_addresses;
use crate::backend::{Backend, BackendError, remove_others};
use crate::config::KubeProxyConfiguration;
use crate::conntrack::apply::forget_stale;
use crate::conntrack::plan::{plan, plan_all};
use crate::dns::Settings;
use crate::dns::host::{Dns, DnsError};
use crate::model::{NodeRules, NodeView};
use crate::node_rules::{NodeFacts, node_rules};
use crate::pod_routes::apply::{PodRoutes, release};
use crate::pod_routes::plan::Peer;
use crate::serve::{Board, ServicePorts};
use crate::state::State;
use crate::watched::{self, WatchedNode, WatchedService, WatchedSlice};
use crate::wire::SliceObject;

const RETRY: Duration = Duration::from_secs(1);

/// Why the proxy cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel has no such packet filter, or does not let us.
    #[error("open the kernel's packet filter: {0}")]
    Backend(#[from] BackendError),
    /// The cluster's DNS was asked for, and cannot be.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// Routes that are not wanted any more stay.
    #[error("remove routes to pods: {0}")]
    Routes(keelson_netlink::Error),
    /// A port is taken.
    #[error("listen at {address} for {what}: {source}")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// What there is beside upstream's proxy.
#[derive(Debug, Default)]
pub struct Extras {
    /// The cluster's DNS on this node.
    pub dns: Option<Settings>,
    /// Routes to the pods of other nodes.
    pub pod_routes: bool,
}

/// Runs until `stop` is done.
///
/// # Errors
/// When a port is taken or the kernel does not have what the mode needs.
pub async fn run(
    config: KubeProxyConfiguration,
    extras: Extras,
    node: &str,
    client: Client,
    stop: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    watched::set_node_name(node);
    let kernel = Backend::open(config.backend(), &config.ipvs())?;
    let stopping = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let shown = serde_json::json!({ "kubeproxy.config.k8s.io": &config });
    let period = period(&config);
    let board = Arc::new(Board::new(
        period * 2,
        config.backend().name(),
        shown.to_string(),
    ));
    listen(&config, &board, &mut tasks, &stopping).await?;
    let listens = extras.dns.iter().flat_map(|dns| &dns.listen);
    let dns_addresses: Vec<IpAddr> = listens.map(SocketAddr::ip).collect();
    let dns = name_server(extras.dns, &mut tasks, &stopping).await?;
    let routes = extras.pod_routes.then(|| pod_routes(node, &config));
    if routes.is_none() {
        release().map_err(AgentError::Routes)?;
    }
    let mut watches = Watch {
        client,
        tasks: &mut tasks,
        stopping: &stopping,
    };
    // Names are there for Services that this proxy has no rules for.
    let selector = dns
        .is_none()
        .then(SliceObject::selector)
        .unwrap_or_default();
    let services = watches.start::<WatchedService>(&watched::SERVICES, |r| r.labels(&selector));
    let slices = watches.start::<WatchedSlice>(&watched::SLICES, |r| r.labels(&selector));
    let field = format!("metadata.name={node}");
    let nodes = watches.start::<WatchedNode>(&watched::NODES, |r| match routes {
        Some(_) => r,
        None => r.fields(&field),
    });
    let busy = keep_small(watches.tasks, &stopping);
    let mut proxy = Proxy {
        busy,
        services: services.changes(),
        slices: slices.changes(),
        nodes: nodes.changes(),
        facts: NodeFacts::default(),
        local: local_addresses(),
        state: State::default(),
        kernel,
        ports: ServicePorts::default(),
        started: Timestamp::now(),
        fresh: true,
        board,
        config,
        here: node.to_owned(),
        dns,
        dns_addresses,
        routes,
        routes_changed: true,
    };
    let ready = async {
        tokio::join!(services.synced(), slices.synced(), nodes.synced());
    };
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => {}
        () = async { ready.await; proxy.work(period).await } => {}
    }
    stopping.cancel();
    while tasks.join_next().await.is_some() {}
    if let Some(dns) = proxy.dns.take() {
        dns.join();
    }
    Ok(())
}

struct Proxy {
    /// Counts what is done, so that memory is given back when it is over.
    busy: watch::Sender<u64>,
    services: Changes<WatchedService>,
    slices: Changes<WatchedSlice>,
    nodes: Changes<WatchedNode>,
    facts: NodeFacts,
    local: Vec<IpAddr>,
    state: State,
    kernel: Backend,
    ports: ServicePorts,
    /// What was changed before this is not ours to measure.
    started: Timestamp,
    /// Whether nothing was applied yet.
    fresh: bool,
    board: Arc<Board>,
    config: KubeProxyConfiguration,
    here: String,
    dns: Option<Dns>,
    dns_addresses: Vec<IpAddr>,
    routes: Option<PodRoutes>,
    routes_changed: bool,
}

impl Proxy {
    async fn work(&mut self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let pause = self.config.min_sync_period().to_std();
        let mut ended = None;
        let mut wake = Some(Instant::now());
        loop {
            self.take_all();
            self.follow_nodes();
            if wake.is_none() && self.state.is_changed() {
                wake = Some(next_sync(ended, pause, Instant::now()));
                self.note_waiting();
            }
            if wake.is_some_and(|at| at <= Instant::now()) {
                self.busy.send_modify(|count| *count += 1);
                wake = self.sync().await.then(|| Instant::now() + RETRY);
                ended = Some(Instant::now());
                continue;
            }
            let due = wake.unwrap_or_else(|| Instant::now() + period);
            tokio::select! {
                change = self.services.next() => self.service(&change),
                change = self.slices.next() => self.slice(&change),
                change = self.nodes.next() => self.node(&change),
                () = sleep_until(due), if wake.is_some() => {}
                _ = ticks.tick() => wake = self.look_around().or(wake),
            }
        }
    }

    fn take_all(&mut self) {
        while let Some(change) = self.services.take() {
            self.service(&change);
        }
        while let Some(change) = self.slices.take() {
            self.slice(&change);
        }
        while let Some(change) = self.nodes.take() {
            self.node(&change);
        }
        if self.fresh {
            self.set_node_rules();
            if let Some(dns) = &self.dns {
                dns.synced();
            }
        }
    }

    fn service(&mut self, change: &Change<WatchedService>) {
        if let Some(dns) = &self.dns {
            dns.service(change);
        }
        let now = change.current().and_then(|object| object.service.clone());
        self.state.set_service(&change.latest().key, now);
        self.board.metrics.lock().service_changes += 1;
    }

    fn slice(&mut self, change: &Change<WatchedSlice>) {
        if let Some(dns) = &self.dns {
            dns.slice(change);
        }
        let before = change.previous().and_then(|object| object.slice.as_deref());
        let now = change.current().and_then(|object| object.slice.clone());
        let cause = change.current().and_then(|object| object.cause);
        if let Some(cause) = cause.filter(|cause| *cause >= self.started) {
            self.state.note_trigger(&change.latest().key, cause);
        }
        self.state.set_slice(&change.latest().key, before, now);
        self.board.metrics.lock().endpoint_changes += 1;
    }

    fn node(&mut self, change: &Change<WatchedNode>) {
        let name = change.latest().name();
        if let Some(routes) = &mut self.routes {
            let peer = |node: &Arc<WatchedNode>| Peer {
                addresses: node.addresses.clone(),
                pod_cidrs: node.pod_cidrs.clone(),
            };
            self.routes_changed |= routes.set_node(name, change.current().map(peer));
        }
        if name == self.here {
            self.own_node(change);
        }
    }

    fn own_node(&mut self, change: &Change<WatchedNode>) {
        // A Node object that is gone for a while changes nothing but where load balancers go.
        let Some(node) = change.current() else {
            return self.board.set_leaving(true);
        };
        self.board.set_leaving(node.leaving);
        self.state.set_view(NodeView {
            zone: node.zone.clone(),
        });
        self.facts = NodeFacts {
            addresses: node.addresses.clone(),
            pod_cidrs: node.pod_cidrs.clone(),
        };
        self.set_node_rules();
    }

    /// Brings the routes to other nodes' pods up to date; what fails is tried again at the next look
    /// around.
    fn follow_nodes(&mut self) {
        let changed = std::mem::take(&mut self.routes_changed);
        if let Some(routes) = self.routes.as_mut().filter(|_| changed)
            && let Err(error) = routes.apply()
        {
            tracing::warn!("ways to other nodes' pods are not complete: {error}");
        }
    }

    fn set_node_rules(&mut self) {
        self.state.set_node(NodeRules {
            dns: self.dns_addresses.clone(),
            ..node_rules(&self.config, &self.facts, &self.local)
        });
    }

    fn note_waiting(&mut self) {
        self.board.queued(Instant::now());
        let mut metrics = self.board.metrics.lock();
        metrics.last_queued = seconds(Timestamp::now());
        metrics.service_changes_pending = self.state.pending.services;
        metrics.endpoint_changes_pending = self.state.pending.slices;
    }

    /// Follows the node's addresses, and finds out whether somebody else wrote to the table.
    fn look_around(&mut self) -> Option<Instant> {
        self.local = local_addresses();
        self.routes_changed = true;
        self.set_node_rules();
        match self.kernel.is_in_doubt() {
            Ok(false) => None,
            Ok(true) => {
                let mended = self.kernel.adopt(self.state.rules());
                match mended {
                    Ok(applied) if applied.messages > 0 => {
                        let count = applied.messages;
                        tracing::warn!("somebody else changed our rules: {count} messages mend it");
                    }
                    Ok(_) => {}
                    Err(error) => return self.failed(&error),
                }
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &BackendError) -> Option<Instant> {
        tracing::warn!("rules are not in place, next try in {RETRY:?}: {error}");
        {
            let mut metrics = self.board.metrics.lock();
            match error {
                BackendError::Nftables(_) => metrics.nftables_failures += 1,
                BackendError::Iptables(_) => metrics.iptables_failures += 1,
                BackendError::Ipvs(_) => metrics.nftables_failures += 1,
            }
        }
        self.board.queued(Instant::now());
        Some(Instant::now() + RETRY)
    }

    /// Applies what changed; whether it has to be tried again.
    async fn sync(&mut self) -> bool {
        let started = Instant::now();
        let delta = self.state.commit();
        let applied = match self.kernel.apply(self.state.rules(), &delta) {
            Ok(applied) => applied,
            Err(error) => return self.failed(&error).is_some(),
        };
        let now = Timestamp::now();
        self.board.synced(now);
        let waited = self.state.take_triggers();
        let took = started.elapsed();
        if self.fresh {
            let services = self.state.rules().len();
            let messages = applied.messages;
            if let Err(error) = remove_others(Some(self.config.backend()), &self.config.ipvs()) {
                tracing::warn!("rules of another mode stay: {error}");
            }
            tracing::info!(
                "{services} Services are in place after {took:?}, {messages} messages written"
            );
        }
        let plan = if std::mem::take(&mut self.fresh) {
            let all = self.state.rules().services();
            plan_all(all.flat_map(|(_, rules)| &rules.ports))
        } else {
            plan(&delta)
        };
        let started = Instant::now();
        let forgotten = forget_stale(&plan, self.state.rules().node()).unwrap_or_else(|error| {
            tracing::warn!("stale UDP flows stay: {error}");
            0
        });
        {
            let mut metrics = self.board.metrics.lock();
            metrics.flows.observe(started.elapsed());
            metrics.flows_deleted += u64::try_from(forgotten).unwrap_or(u64::MAX);
            note_sync(&mut metrics, took, applied.full);
            for since in waited {
                metrics.programming.observe(now.duration_since(since));
            }
            metrics.no_local_endpoints = without_local(&self.state);
        }
        self.update_ports().await;
        false
    }

    async fn update_ports(&mut self) {
        let mut wanted = BTreeMap::new();
        for (key, rules) in self.state.rules().services() {
            if let Some(health) = rules.health {
                wanted.insert(health.port, (key.clone(), health));
            }
        }
        self.ports.update(&self.board, wanted).await;
    }
}

/// When the next transaction may be, `period` after the last one's end.
fn next_sync(ended: Option<Instant>, period: Duration, now: Instant) -> Instant {
    ended.map_or(now, |ended| now.max(ended + period))
}

/// The addresses of the node's interfaces, those held for Services aside; none where the kernel does not say.
fn local_addresses() -> Vec<IpAddr> {
    other_addresses().unwrap_or_else(|error| {
        tracing::warn!("node ports stay at the addresses known: {error}");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_lies_between_an_end_and_the_next_begin() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        assert_eq!(next_sync(None, second, now), now);
        assert_eq!(next_sync(Some(now), second, at(300)), at(1000));
        assert_eq!(next_sync(Some(now), second, at(1300)), at(1300));
        assert_eq!(next_sync(Some(now), Duration::ZERO, at(1)), at(1));
    }
}
