//! The proxy at work: watches, collects changes, applies them, tells how it goes. Owns every task.
//!
//! Changes are applied as soon as they come; after two in a row there is at least `minSyncPeriod`
//! between two transactions, and what comes meanwhile goes into one. Every `syncPeriod` the kernel is
//! asked whether somebody else wrote; only then the table is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::cache::{Changes, Reflector, reflect};
use keelson_client::{Change, Client, Object, Resource, Store};
use keelson_netlink::route::address;
use keelson_netlink::{Protocol, Socket};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backend::nftables::{Families, Nftables, NftablesError};
use crate::config::{KubeProxyConfiguration, listen_address};
use crate::conntrack::apply::forget_stale;
use crate::conntrack::plan::{plan, plan_all};
use crate::metrics::Metrics;
use crate::model::{NodeView, Policy, Verdict};
use crate::node_rules::{NodeFacts, node_rules};
use crate::serve::{Board, Handler, ServicePorts, serve};
use crate::state::State;
use crate::watched::{self, WatchedNode, WatchedService, WatchedSlice};
use crate::wire::SliceObject;

const BURST: f64 = 2.0;
const RETRY: Duration = Duration::from_secs(1);

/// Why the proxy cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The kernel has no nf_tables, or does not let us.
    #[error("open the kernel's packet filter: {0}")]
    Nftables(#[from] NftablesError),
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

/// Runs until `stop` is done.
///
/// # Errors
/// When a port is taken or the kernel has no nf_tables.
pub async fn run(
    config: KubeProxyConfiguration,
    node: &str,
    client: Client,
    stop: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    watched::set_node_name(node);
    let kernel = Nftables::open(Families::default())?;
    let stopping = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let shown = serde_json::json!({ "kubeproxy.config.k8s.io": &config });
    let period = period(&config);
    let board = Arc::new(Board::new(period * 2, shown.to_string()));
    listen(&config, &board, &mut tasks, &stopping).await?;
    let mut watch = Watch {
        client,
        tasks: &mut tasks,
        stopping: &stopping,
    };
    let selector = SliceObject::selector();
    let services = watch.start::<WatchedService>(&watched::SERVICES, |r| r.labels(&selector));
    let slices = watch.start::<WatchedSlice>(&watched::SLICES, |r| r.labels(&selector));
    let field = format!("metadata.name={node}");
    let nodes = watch.start::<WatchedNode>(&watched::NODES, |r| r.fields(&field));
    let mut proxy = Proxy {
        services: services.changes(),
        slices: slices.changes(),
        nodes: nodes.changes(),
        facts: NodeFacts::default(),
        local: local_addresses(),
        state: State::default(),
        kernel,
        ports: ServicePorts::default(),
        fresh: true,
        board,
        config,
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
    Ok(())
}

/// How often the kernel is asked whether somebody else wrote.
fn period(config: &KubeProxyConfiguration) -> Duration {
    match config.nftables.sync_period.to_std() {
        Duration::ZERO => Duration::from_secs(30),
        period => period,
    }
}

async fn listen(
    config: &KubeProxyConfiguration,
    board: &Arc<Board>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), AgentError> {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let (health, metrics) = (board.clone(), board.clone());
    let health: Handler = Arc::new(move |path| health.health_server(path));
    let metrics: Handler = Arc::new(move |path| metrics.metrics_server(path));
    for (what, text, port, handler) in [
        (
            "health",
            or(&config.healthz_bind_address, "0.0.0.0:10256"),
            10256,
            health,
        ),
        (
            "metrics",
            or(&config.metrics_bind_address, "127.0.0.1:10249"),
            10249,
            metrics,
        ),
    ] {
        let Some(address) = listen_address(&text, port) else {
            continue;
        };
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tasks.spawn(serve(listener, handler, stop.clone()));
            }
            Err(source) => {
                let error = AgentError::Listen {
                    what,
                    address: text,
                    source,
                };
                if config.bind_address_hard_fail {
                    return Err(error);
                }
                tracing::error!("{error}");
            }
        }
    }
    Ok(())
}

struct Watch<'a> {
    client: Client,
    tasks: &'a mut JoinSet<()>,
    stopping: &'a CancellationToken,
}

impl Watch<'_> {
    fn start<T: Object>(
        &mut self,
        resource: &Resource,
        narrow: impl FnOnce(Reflector) -> Reflector,
    ) -> Store<T> {
        let (store, writer) = Store::new(Vec::new());
        let reflector = narrow(Reflector::new(self.client.clone(), resource.all()));
        self.tasks
            .spawn(reflect(reflector, writer, self.stopping.clone()));
        store
    }
}

struct Proxy {
    services: Changes<WatchedService>,
    slices: Changes<WatchedSlice>,
    nodes: Changes<WatchedNode>,
    facts: NodeFacts,
    local: Vec<IpAddr>,
    state: State,
    kernel: Nftables,
    ports: ServicePorts,
    /// Whether nothing was applied yet.
    fresh: bool,
    board: Arc<Board>,
    config: KubeProxyConfiguration,
}

impl Proxy {
    async fn work(&mut self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut pace = Pace::new(
            self.config.nftables.min_sync_period.to_std(),
            Instant::now(),
        );
        let mut wake = Some(Instant::now());
        loop {
            self.take_all();
            if wake.is_none() && self.state.is_changed() {
                wake = Some(pace.next(Instant::now()));
                self.note_waiting();
            }
            if wake.is_some_and(|at| at <= Instant::now()) {
                wake = self.sync().await.then(|| Instant::now() + RETRY);
                pace.spend(Instant::now());
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
        }
    }

    fn service(&mut self, change: &Change<WatchedService>) {
        let now = change.current().and_then(|object| object.service.clone());
        self.state.set_service(&change.latest().key, now);
        self.board.metrics.lock().service_changes += 1;
    }

    fn slice(&mut self, change: &Change<WatchedSlice>) {
        let before = change.previous().and_then(|object| object.slice.as_deref());
        let now = change.current().and_then(|object| object.slice.clone());
        self.state.set_slice(&change.latest().key, before, now);
        self.board.metrics.lock().endpoint_changes += 1;
    }

    fn node(&mut self, change: &Change<WatchedNode>) {
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

    fn set_node_rules(&mut self) {
        self.state
            .set_node(node_rules(&self.config, &self.facts, &self.local));
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
        self.set_node_rules();
        match self.kernel.is_in_doubt() {
            Ok(false) => None,
            Ok(true) => {
                let mended = self.kernel.adopt(self.state.rules());
                match mended {
                    Ok(applied) if applied.messages > 0 => {
                        tracing::warn!(
                            "somebody else changed our table: {} messages mend it",
                            applied.messages
                        );
                    }
                    Ok(_) => {}
                    Err(error) => return self.failed(&error),
                }
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &NftablesError) -> Option<Instant> {
        tracing::warn!("rules are not in place, next try in {RETRY:?}: {error}");
        self.board.metrics.lock().nftables_failures += 1;
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
        self.board.synced(Timestamp::now());
        let took = started.elapsed();
        if self.fresh {
            let services = self.state.rules().len();
            let messages = applied.messages;
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

fn note_sync(metrics: &mut Metrics, took: Duration, full: bool) {
    metrics.sync.observe(took);
    if full {
        metrics.sync_full.observe(took);
    } else {
        metrics.sync_partial.observe(took);
    }
    metrics.last_sync = seconds(Timestamp::now());
    metrics.service_changes_pending = 0;
    metrics.endpoint_changes_pending = 0;
}

/// How many ports keep traffic out because their endpoints are elsewhere: internal, external.
fn without_local(state: &State) -> [u64; 2] {
    let mut counts = [0; 2];
    for (_, rules) in state.rules().services() {
        for port in &rules.ports {
            let internal =
                port.internal == Policy::Local && port.internal_verdict() == Verdict::Drop;
            let external = port.is_external()
                && port.external == Policy::Local
                && port.external_verdict() == Verdict::Drop;
            counts[0] += u64::from(internal);
            counts[1] += u64::from(external);
        }
    }
    counts
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// The addresses of the node's interfaces; none where the kernel does not say.
fn local_addresses() -> Vec<IpAddr> {
    let listed = Socket::open(Protocol::Route)
        .and_then(|mut socket| socket.one("list addresses", address::list()));
    match listed {
        Ok(objects) => {
            let all = objects.iter().filter_map(address::decode);
            all.map(|address| address.cidr.addr).collect()
        }
        Err(error) => {
            tracing::warn!("node ports stay at the addresses known: {error}");
            Vec::new()
        }
    }
}

/// When the next transaction may be: a bucket of two, filled once a period.
#[derive(Debug)]
struct Pace {
    every: Duration,
    left: f64,
    at: Instant,
}

impl Pace {
    fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            left: BURST,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        if self.every.is_zero() {
            self.left = BURST;
        } else {
            let share = now.duration_since(self.at).as_secs_f64() / self.every.as_secs_f64();
            self.left = (self.left + share).min(BURST);
        }
        self.at = now;
    }

    fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        now + self.every.mul_f64((1.0 - self.left).max(0.0))
    }

    fn spend(&mut self, now: Instant) {
        self.refill(now);
        self.left = (self.left - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_at_once_then_one_a_period() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut pace = Pace::new(second, now);
        assert_eq!(pace.next(now), now);
        pace.spend(now);
        assert_eq!(pace.next(now), now);
        pace.spend(now);
        assert_eq!(pace.next(now), now + second);
        let later = now + Duration::from_millis(500);
        assert_eq!(pace.next(later), later + Duration::from_millis(500));
        let mut free = Pace::new(Duration::ZERO, now);
        free.spend(now);
        free.spend(now);
        assert_eq!(free.next(now), now);
    }
}
