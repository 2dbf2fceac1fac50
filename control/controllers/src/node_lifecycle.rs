//! Decides what becomes of nodes that are silent or unwell: conditions, taints, pods shown as not
//! ready. A node's key is about the taints that follow from its conditions; the empty key is the
//! regular look at all nodes.

use std::sync::Arc;
use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::{Change, Key};
use parking_lot::Mutex;

use crate::controller::{Input, Plan, Reconcile, Registration, Work};
use crate::kinds::{Node, NodeLease, Pod};
use crate::wiring::Wiring;

pub mod condition_taints;
pub mod health;
pub mod zones;

use health::{Health, Settings, View};

/// The registry's line.
pub const REGISTRATION: Registration = Registration {
    name: "node-lifecycle-controller",
    alias: "nodelifecycle",
    account: "node-controller",
    by_default: true,
    at_once: 4,
    build: |wiring: &mut Wiring<'_>| {
        let options = wiring.options;
        let settings = Settings {
            grace: options.node_monitor_grace_period,
            startup_grace: options.node_startup_grace_period,
            period: options.node_monitor_period,
            rate: f64::from(options.node_eviction_rate),
            reduced_rate: f64::from(options.secondary_node_eviction_rate),
            unhealthy_share: f64::from(options.unhealthy_zone_threshold),
            large_zone: options.large_cluster_size_threshold as usize,
        };
        let nodes = wiring.watch(|change: &Change<Node>, keys| {
            keys.push(Key::new("", &change.latest().metadata.name));
            if is_news(change) {
                keys.push(Key::default());
            }
        });
        wiring.queue.add(Key::default());
        Some(Work::decide(Lifecycle {
            nodes,
            leases: wiring.read::<NodeLease>(),
            pods: wiring.read::<Pod>(),
            health: Mutex::new(Health::new(settings)),
            period: wiring
                .options
                .node_monitor_period
                .max(Duration::from_millis(100)),
        }))
    },
};

/// Whether a change can't wait for the next regular look: a node came, went or changed whether it
/// is ready.
fn is_news(change: &Change<Node>) -> bool {
    let ready =
        |node: Option<&Arc<Node>>| node.map(|node| node.ready().map(|ready| ready.status.clone()));
    ready(change.previous()) != ready(change.current())
}

/// Looks after nodes.
#[derive(Debug)]
struct Lifecycle {
    nodes: Store<Node>,
    leases: Store<NodeLease>,
    pods: Store<Pod>,
    /// What was seen when, by our own clock. Kept here because nodes' clocks can't be trusted.
    health: Mutex<Health>,
    period: Duration,
}

impl Reconcile for Lifecycle {
    fn reconcile(&self, input: &Input<'_>) -> Plan {
        let mut plan = Plan::default();
        if *input.key != Key::default() {
            if let Some(node) = self.nodes.find(input.key) {
                condition_taints::plan(&mut plan, input.now, &node);
            }
            return plan;
        }
        let mut nodes = self.nodes.all();
        nodes.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        let view = View {
            now: input.now,
            nodes: &nodes,
            renewed: &|node| {
                let lease = self.leases.get(crate::kinds::node_lease::NAMESPACE, node)?;
                lease.spec.renew_time
            },
            pods: &|node| self.pods.by_index(crate::kinds::pod::NODE, node),
        };
        self.health.lock().look(&view, &mut plan);
        plan.requeue_after(self.period);
        plan
    }
}
