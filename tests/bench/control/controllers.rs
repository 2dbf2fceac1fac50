//! What the controller manager brings about: pods of a large Deployment, many small ones that roll,
//! and what it takes when there is nothing to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keelson_client::cache::{Changes, Reflector, Store, reflect};
use keelson_client::request::{DeleteOptions, Patch, WriteOptions};
use keelson_client::{Client, Object, Resource};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::plane::{NODES, PATIENCE, PODS, Process, create, server};
use crate::scheduler::{node, scheduler};

const DEPLOYMENTS: Resource = Resource::fixed("apps", "v1", "deployments", "Deployment", true);
/// Pods of the large Deployment.
const LARGE: i64 = 5_000;
/// Small Deployments, of two pods each.
const SMALL: usize = 1_000;
const HOLLOW_NODES: usize = 100;
/// Statuses that hollow nodes write at once.
const STATUSES: usize = 64;
const REST: Duration = Duration::from_secs(15);
const IDLE: Duration = Duration::from_secs(30);

/// As much of a pod or a Deployment as is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thing {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    resource_version: Box<str>,
    generation: i64,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: Box<str>,
    replicas: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: Box<str>,
    observed_generation: i64,
    replicas: i64,
    updated_replicas: i64,
    available_replicas: i64,
}

impl Object for Thing {
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

impl Thing {
    /// Whether a Deployment has its pods, of the newest template and available.
    fn is_rolled_out(&self, generation: i64) -> bool {
        let (wanted, status) = (self.spec.replicas, &self.status);
        self.metadata.generation >= generation
            && status.observed_generation == self.metadata.generation
            && [
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ] == [wanted; 3]
    }
}

fn watched(client: &Client, of: &Resource, stop: &CancellationToken) -> Store<Thing> {
    let (store, writer) = Store::new(Vec::new());
    let reflector = Reflector::new(client.clone(), of.all());
    tokio::spawn(reflect(reflector, writer, stop.clone()));
    store
}

fn manager(kubeconfig: &Path) -> Process {
    let args = [
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials",
        // Hollow nodes are never heard of.
        "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
    ];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.push(format!("--kubeconfig={}", kubeconfig.display()));
    Process::start("kube-controller-manager", &args)
}

fn deployment(name: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "c", "image": "one",
                    "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}]}}},
    })
}

async fn once(what: &str, is: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "never {what}");
        sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Measures it.
pub async fn run() {
    let folder = TempDir::new().expect("a folder");
    let (server, kubeconfig, client) = server(folder.path()).await;
    let stop = CancellationToken::new();
    let manager = manager(&kubeconfig);
    sleep(REST).await;
    let resident = manager.resident();
    println!("controller manager, empty cluster: resident   {resident:>7.1} MiB");
    idle("empty cluster", &[("controller manager", &manager)]).await;

    let (pods, all) = (
        watched(&client, &PODS, &stop),
        watched(&client, &DEPLOYMENTS, &stop),
    );
    let large = usize::try_from(LARGE).unwrap_or(0);
    create(
        &client,
        &DEPLOYMENTS,
        [deployment("large", LARGE)].into_iter(),
    )
    .await;
    let took = once("all pods", || pods.len() >= large).await;
    println!(
        "a Deployment of {LARGE} reaches its pods in     {:>7.1} s",
        took.as_secs_f64()
    );

    let scheduler = scheduler(&kubeconfig);
    create(&client, &NODES, (0..HOLLOW_NODES).map(node)).await;
    let hollow = tokio::spawn(hollow(client.clone(), pods.changes()));
    let names: Vec<String> = (0..SMALL).map(|number| format!("small-{number}")).collect();
    let objects = names.iter().map(|name| deployment(name, 2));
    create(&client, &DEPLOYMENTS, objects).await;
    let rolled = |generation: i64| {
        let is = |name: &String| {
            let found = all.get("default", name);
            found.is_some_and(|it| it.is_rolled_out(generation))
        };
        names.iter().all(is)
    };
    once("all made", || rolled(1)).await;
    let began = Instant::now();
    roll(&client, &names).await;
    once("all rolled", || rolled(2)).await;
    let took = began.elapsed().as_secs_f64();
    println!("{SMALL} Deployments of 2 roll in               {took:>7.1} s");
    let programs = [
        ("controller manager", &manager),
        ("scheduler", &scheduler),
        ("API server", &server),
    ];
    for (name, process) in programs {
        let (resident, time) = (process.resident(), process.processor());
        println!("{name}: resident {resident:.1} MiB, {time:.1} s of a processor so far");
    }
    sleep(REST).await;
    idle("10,000 objects", &programs).await;
    hollow.abort();
    stop.cancel();
}

/// What programs take of a processor while nothing happens.
async fn idle(when: &str, programs: &[(&str, &Process)]) {
    let before: Vec<f64> = programs.iter().map(|(_, it)| it.processor()).collect();
    sleep(IDLE).await;
    for ((name, process), before) in programs.iter().zip(before) {
        let share = 100.0 * (process.processor() - before) / IDLE.as_secs_f64();
        println!("{name}, idle, {when}: {share:.2} % of a processor");
    }
}

/// Gives all of them another image.
async fn roll(client: &Client, names: &[String]) {
    let change = json!({"spec": {"template": {"metadata": {"annotations": {"roll": "yes"}}}}});
    let patch = Patch::Merge(change);
    let options = WriteOptions::default();
    for names in names.chunks(STATUSES) {
        let patches = names.iter().map(|name| {
            let path = DEPLOYMENTS.named("default", name);
            let (client, patch, options) = (client, &patch, &options);
            async move { client.patch::<IgnoredAny>(&path, patch, options).await }
        });
        for patched in futures_util::future::join_all(patches).await {
            patched.expect("the Deployment changes");
        }
    }
}

/// All nodes' agents: pods that have a node run at once, those that are leaving are gone.
async fn hollow(client: Client, mut changes: Changes<Thing>) {
    let room = Arc::new(Semaphore::new(STATUSES));
    let mut writes = JoinSet::new();
    loop {
        let change = changes.next().await;
        let Some(pod) = change.current().cloned() else {
            continue;
        };
        let leaving = pod.metadata.deletion_timestamp.is_some();
        let starts = !pod.spec.node_name.is_empty() && &*pod.status.phase != "Running";
        if !leaving && !starts {
            continue;
        }
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        let client = client.clone();
        while writes.try_join_next().is_some() {}
        writes.spawn(async move {
            let _permit = permit;
            let path = PODS.named(pod.namespace(), pod.name());
            // A pod that is gone meanwhile needs neither.
            if leaving {
                let now = DeleteOptions::now(&pod.metadata.uid);
                let _ = client.delete(&path, &now).await;
                return;
            }
            let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready",
                "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let path = path.subresource("status");
            let options = WriteOptions::default();
            let patch = Patch::Strategic(status);
            let _ = client.patch::<IgnoredAny>(&path, &patch, &options).await;
        });
    }
}
