//! EndpointSlices follow pods.

use keelson_client::Resource;
use serde_json::{Value, json};

use crate::harness::{Cluster, NODES, PODS, eventually};

const SERVICES: Resource = Resource::fixed("", "v1", "services", "Service", true);
const SLICES: Resource = Resource::fixed(
    "discovery.k8s.io",
    "v1",
    "endpointslices",
    "EndpointSlice",
    true,
);
const CONTROLLERS: &str = "--controllers=serviceaccount-controller,endpointslice-controller";

/// A pod with an address, ready or not.
async fn pod(cluster: &Cluster, name: &str, ip: &str, ready: bool) {
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i",
            "ports": [{"name": "http", "containerPort": 8080}]}]},
    });
    cluster.make(&PODS, "team", pod).await;
    set_status(cluster, name, ip, ready).await;
}

async fn set_status(cluster: &Cluster, name: &str, ip: &str, ready: bool) {
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": ready}]}});
    cluster
        .change(&PODS, ("team", name), "status", status)
        .await;
}

/// What slices say, as `address:port ready`.
async fn shown(cluster: &Cluster) -> Vec<String> {
    let mut shown = Vec::new();
    for slice in cluster.list(&SLICES, "team").await {
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let ready = &endpoint["conditions"]["ready"];
            let (ip, port) = (&endpoint["addresses"][0], &slice["ports"][0]["port"]);
            shown.push(format!(
                "{}:{port} {ready}",
                ip.as_str().unwrap_or_default()
            ));
        }
    }
    shown.sort();
    shown
}

async fn await_shown(cluster: &Cluster, expected: &[&str]) {
    eventually(&format!("{expected:?}"), async || {
        (shown(cluster).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_follow_pods() {
    let cluster = Cluster::start(&[CONTROLLERS]).await;
    cluster.namespace("team").await;
    cluster
        .make(&NODES, "", json!({"metadata": {"name": "n"}}))
        .await;
    let service = json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    cluster.make(&SERVICES, "team", service).await;
    eventually("an empty slice", async || {
        cluster.list(&SLICES, "team").await.pop()
    })
    .await;
    pod(&cluster, "one", "10.1.0.1", true).await;
    pod(&cluster, "two", "10.1.0.2", false).await;
    await_shown(&cluster, &["10.1.0.1:8080 true", "10.1.0.2:8080 false"]).await;
    assert_eq!(cluster.list(&SLICES, "team").await.len(), 1);
    set_status(&cluster, "two", "10.1.0.2", true).await;
    await_shown(&cluster, &["10.1.0.1:8080 true", "10.1.0.2:8080 true"]).await;
    // Nobody is left out by a label, or by leaving.
    let other = json!({"metadata": {"labels": {"app": "other"}}});
    cluster.change(&PODS, ("team", "one"), "", other).await;
    await_shown(&cluster, &["10.1.0.2:8080 true"]).await;
    cluster.delete(&PODS, ("team", "two"), None).await;
    await_shown(&cluster, &["10.1.0.2:8080 false"]).await;
    let slice: Value = cluster.list(&SLICES, "team").await.remove(0);
    assert_eq!(slice["endpoints"][0]["conditions"]["terminating"], true);
}
