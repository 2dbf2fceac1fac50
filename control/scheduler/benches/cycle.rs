//! How many pods a second the scheduler decides on, without the API: 5,000 nodes, 10,000 pods that
//! come at once. Prints a row for each kind of pod; asserts nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelson_scheduler::model::{Node, Pod};
use keelson_scheduler::queue::Waits;
use keelson_scheduler::registry::{Settings, profile};
use keelson_scheduler::state::{State, Step};
use serde_json::{Value, json};

const NODES: usize = 5_000;
const PODS: usize = 10_000;
/// Kinds of pods that cost more.
const DEAR_PODS: usize = 3_000;

fn node(number: usize) -> Node {
    let name = format!("node-{number:05}");
    let zone = format!("zone-{}", number % 3);
    let object = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"}},
    });
    serde_json::from_value(object).expect("a node")
}

fn pod(number: usize, more: &Value) -> Pod {
    let name = format!("pod-{number:06}");
    let mut object = json!({
        "metadata": {"name": name, "uid": name, "namespace": "bench", "labels": {"app": "bench"}},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "i",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}]},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).expect("a pod")
}

fn run(name: &str, pods: usize, alike: bool, more: &Value) {
    let profiles = vec![profile("default-scheduler", Settings::default())];
    let mut state = State::new(profiles, Waits::default(), 7);
    for number in 0..NODES {
        state.put_node(Duration::ZERO, &Arc::new(node(number)));
    }
    for number in 0..pods {
        let mut more = more.clone();
        if !alike {
            // A toleration that means nothing makes each pod another one.
            more["tolerations"] =
                json!([{"key": format!("k{}", number % 997), "operator": "Exists"}]);
        }
        state.put_pod(Duration::ZERO, &Arc::new(pod(number, &more)));
    }
    let began = SystemTime::now();
    let mut bound = 0_u32;
    while let Some(step) = state.next(Duration::ZERO) {
        bound += u32::from(matches!(black_box(&step), Step::Bind { .. }));
    }
    let took = began.elapsed().unwrap_or_default().as_secs_f64();
    let rate = f64::from(bound) / took;
    println!("{name:<40} {bound:>6} pods {took:>8.2} s {rate:>9.0} pods/s");
}

fn main() {
    // `cargo test --benches` runs it too: nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let near = |kind: &str, key: &str| {
        json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "bench"}}}]}}})
    };
    let spread = |key: &str, otherwise: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key,
            "whenUnsatisfiable": otherwise, "labelSelector": {"matchLabels": {"app": "bench"}}}]})
    };
    let zone = "topology.kubernetes.io/zone";
    let host = "kubernetes.io/hostname";
    run("plain, alike", PODS, true, &json!({}));
    run("plain, each another", PODS, false, &json!({}));
    run(
        "affinity, by zone",
        DEAR_PODS,
        true,
        &near("podAffinity", zone),
    );
    run(
        "anti-affinity, by node",
        DEAR_PODS,
        true,
        &near("podAntiAffinity", host),
    );
    run(
        "spread, required, by zone",
        DEAR_PODS,
        true,
        &spread(zone, "DoNotSchedule"),
    );
    run(
        "spread, preferred, by zone",
        DEAR_PODS,
        true,
        &spread(zone, "ScheduleAnyway"),
    );
}
