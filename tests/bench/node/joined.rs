//! The kubelet of a cluster, as its API server sees it: from a pod that is bound to Ready, from a
//! deletion to an object that is gone, and the memory that it takes. The floor is the bare runtime
//! on the node beside, as for the node alone.

use crate::floor::{Ask, Floor};
use crate::table::{Table, median};
use crate::{idle_memory, ms};
use keelson_client::kubeconfig::Config;
use keelson_client::request::DeleteOptions;
use keelson_client::{Client, Resource};
use keelson_tests::cluster::Cluster;
use keelson_tests::node::is_ready;
use keelson_tests::scenario::{LAST, pod};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ROUNDS: usize = 15;
const AT_ONCE: usize = 50;
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the API is asked for one pod, and for many.
const STEP: Duration = Duration::from_millis(4);
const STEP_OF_MANY: Duration = Duration::from_millis(50);

/// Measures a cluster of one machine.
pub fn measure(floor: &Floor, table: &mut Table) {
    let cluster = Cluster::start();
    let node = cluster.first();
    let mut bare = Bare::default();
    for round in 0..ROUNDS {
        let times = floor.one_pod(&format!("beside{round}"), Ask::SameAsKubelet);
        bare.started.push(times.started);
        bare.removed.push(times.removed);
    }
    let crowd = floor.many_pods(AT_ONCE, Ask::SameAsKubelet);
    let admin = node.layout.kubeconfig("admin");
    let within = move |act: fn(Api) -> Measured| {
        let admin = admin.clone();
        node.namespace().run(move || act(Api::open(&admin)))
    };
    within(|api| api.block_on(api.until_pods_are_let_in()));
    idle_memory(node, table, "joined kubelet", 0, 18.0);
    let mut one = within(|api| api.block_on(api.one_by_one()));
    let mut fifty = within(|api| api.block_on(api.start_until(AT_ONCE, 0)));
    let (started, removed) = (ms(median(&mut bare.started)), ms(median(&mut bare.removed)));
    let above = ms(median(&mut one.ready)) - started;
    table.row("one pod, same calls", started, "ms");
    table.at_most("bound to Ready in the API, above that", above, 60.0, "ms");
    let above = ms(median(&mut one.gone)) - removed;
    table.row("stop and remove", removed, "ms");
    table.at_most(
        "deleted to gone from the API, above that",
        above,
        60.0,
        "ms",
    );
    let times = ms(median(&mut fifty.ready)) / ms(crowd);
    table.at_most("50 pods of the API, times the same calls", times, 1.15, "");
    idle_memory(node, table, "joined kubelet", 50, 26.0);
    within(|api| api.block_on(api.start_until(100, AT_ONCE)));
    idle_memory(node, table, "joined kubelet", 100, 32.0);
}

/// Of the bare runtime.
#[derive(Default)]
struct Bare {
    started: Vec<Duration>,
    removed: Vec<Duration>,
}

/// What was seen in the API.
#[derive(Default)]
struct Measured {
    ready: Vec<Duration>,
    gone: Vec<Duration>,
}

/// The API server, from inside its namespace.
struct Api {
    runtime: tokio::runtime::Runtime,
    client: Client,
    pods: Resource,
}

impl Api {
    fn open(kubeconfig: &std::path::Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let config = Config::from_file(kubeconfig).expect("a kubeconfig");
        Self {
            runtime: runtime.expect("an event loop"),
            client: Client::new(&config, "bench").expect("a client"),
            pods: Resource::fixed("", "v1", "pods", "Pod", true),
        }
    }

    fn block_on(&self, work: impl Future<Output = Measured>) -> Measured {
        self.runtime.block_on(work)
    }

    /// A pod of this node that needs no scheduler.
    async fn bind(&self, name: &str) {
        let mut object = pod(name, LAST);
        object["spec"]["nodeName"] = "machine-1".into();
        object["spec"]["automountServiceAccountToken"] = false.into();
        let all = self.pods.within("default");
        let made: Result<Value, _> = self.client.create(&all, &object).await;
        made.expect("the pod is taken");
    }

    async fn read(&self, name: &str) -> Option<Value> {
        self.client
            .get(&self.pods.named("default", name))
            .await
            .ok()
    }

    async fn delete(&self, name: &str) {
        let path = self.pods.named("default", name);
        let deleted = self.client.delete(&path, &DeleteOptions::default()).await;
        deleted.expect("the pod may go");
    }

    /// The controllers have made what pods need.
    async fn until_pods_are_let_in(&self) -> Measured {
        let accounts = Resource::fixed("", "v1", "serviceaccounts", "ServiceAccount", true);
        let account = accounts.named("default", "default");
        until(STEP_OF_MANY, async || {
            self.client.get::<Value>(&account).await.is_ok()
        })
        .await;
        Measured::default()
    }

    async fn one_by_one(&self) -> Measured {
        let mut seen = Measured::default();
        for round in 0..ROUNDS {
            let name = format!("one{round}");
            let begin = Instant::now();
            self.bind(&name).await;
            until(STEP, async || {
                self.read(&name).await.is_some_and(|pod| is_ready(&pod))
            })
            .await;
            seen.ready.push(begin.elapsed());
            let begin = Instant::now();
            self.delete(&name).await;
            until(STEP, async || self.read(&name).await.is_none()).await;
            seen.gone.push(begin.elapsed());
        }
        seen
    }

    /// Pods until there are `count`, where `first` are there already.
    async fn start_until(&self, count: usize, first: usize) -> Measured {
        let begin = Instant::now();
        for n in first..count {
            self.bind(&format!("many{n}")).await;
        }
        until(STEP_OF_MANY, async || self.ready_pods().await >= count).await;
        Measured {
            ready: vec![begin.elapsed()],
            gone: Vec::new(),
        }
    }

    async fn ready_pods(&self) -> usize {
        let all = self.pods.within("default");
        let list: Result<Value, _> = self.client.get(&all).await;
        let list = list.unwrap_or_default();
        let items = list["items"].as_array().map(Vec::as_slice);
        let ready = items.unwrap_or_default().iter().filter(|pod| is_ready(pod));
        ready.count()
    }
}

async fn until(step: Duration, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        sleep(step).await;
    }
}
