//! The scheduler end to end: hollow nodes that are objects only, pods that are there when the
//! scheduler begins. `cargo bench -p keelson-scheduler` measures decisions alone.

use std::path::Path;
use std::time::Duration;

use keelson_client::Store;
use keelson_client::cache::{Reflector, reflect};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::plane::{NODES as NODE, PATIENCE, PODS as POD, Process, create, server};

const NODES: usize = 5_000;
const PODS: usize = 10_000;

/// A node that takes what comes.
pub fn node(number: usize) -> Value {
    let name = format!("node-{number:05}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", number % 3)}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
            "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"}},
    })
}

fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number:06}"), "namespace": "default",
            "labels": {"app": "bench"}},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "i",
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
    })
}

/// Measures it.
pub async fn run() {
    let folder = TempDir::new().expect("a folder");
    let (server, kubeconfig, client) = server(folder.path()).await;
    let idle = scheduler(&kubeconfig);
    sleep(Duration::from_secs(5)).await;
    println!(
        "resident, empty cluster                {:>9.1} MiB",
        idle.resident()
    );
    drop(idle);
    create(&client, &NODE, (0..NODES).map(node)).await;
    create(&client, &POD, (0..PODS).map(pod)).await;

    let (store, writer) = Store::<Bound>::new(Vec::new());
    let reflector = Reflector::new(client.clone(), POD.all()).fields("spec.nodeName!=");
    let stop = tokio_util::sync::CancellationToken::new();
    let watching = tokio::spawn(reflect(reflector, writer, stop.clone()));
    let began = Instant::now();
    let process = scheduler(&kubeconfig);
    let end = began + PATIENCE;
    let mut first = None;
    while store.len() < PODS {
        assert!(Instant::now() < end, "only {} pods are bound", store.len());
        if first.is_none() && !store.is_empty() {
            first = Some(Instant::now());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let took = first.unwrap_or(began).elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(PODS).unwrap_or(0)) / took;
    println!("{NODES} nodes, {PODS} pods, bound end to end {rate:>6.0} pods/s");
    println!(
        "resident, {NODES} nodes, {PODS} pods   {:>9.1} MiB",
        process.resident()
    );
    println!(
        "processor time of the scheduler       {:>9.1} s",
        process.processor()
    );
    println!(
        "resident, API server                   {:>9.1} MiB",
        server.resident()
    );
    stop.cancel();
    let _ = watching.await;
}

/// A scheduler that need not be elected.
pub fn scheduler(kubeconfig: &Path) -> Process {
    Process::start(
        "kube-scheduler",
        &[
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ],
    )
}

/// A pod that is bound, by name alone.
#[derive(serde::Deserialize)]
struct Bound {
    metadata: Metadata,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Box<str>,
    resource_version: Box<str>,
}

impl keelson_client::Object for Bound {
    fn namespace(&self) -> &str {
        "default"
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}
