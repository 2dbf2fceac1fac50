//! A node that runs short: pods of the API go so that it lives on, the node's own stay.

use keelson_tests::assert_eventually;
use keelson_tests::cluster::Cluster;
use keelson_tests::scenario::{LAST, pod, set};
use serde_json::json;

#[test]
#[ignore = "needs root: make test"]
fn a_pod_of_the_api_goes_and_the_nodes_own_stay() {
    let cluster = Cluster::start();
    let node = cluster.first();
    let account = ["get", "serviceaccount", "default"];
    assert_eventually!(
        60,
        cluster.try_kubectl(&account).is_ok(),
        "the service account comes"
    );
    let victim = set(pod("victim", LAST), "/spec/nodeName", &json!("machine-1"));
    let victim = set(victim, "/spec/automountServiceAccountToken", &json!(false));
    cluster.apply(&victim);
    assert_eventually!(
        60,
        cluster.object(&["pod", "victim"])["status"]["phase"] == "Running",
        "it runs: {}{}",
        cluster.object(&["pod", "victim"])["status"],
        node.logs()
    );

    // No machine has so much left.
    node.configure(&json!({ "evictionHard": { "memory.available": "99.9%" } }));
    node.kill("kubelet");
    node.up();
    let status = || cluster.object(&["pod", "victim"])["status"].clone();
    assert_eventually!(
        120,
        status()["phase"] == "Failed" && status()["reason"] == "Evicted",
        "it is evicted: {}{}",
        status(),
        node.logs()
    );
    let message = status()["message"].to_string();
    assert!(message.contains("low on resource: memory"), "{message}");
    let pressure = || {
        let node = cluster.object(&["node", "machine-1"]);
        let conditions = node["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.any(|one| one["type"] == "MemoryPressure" && one["status"] == "True")
    };
    assert_eventually!(120, pressure(), "the node tells why{}", node.logs());
    let own = cluster.object(&["pod", "-n", "kube-system", "kube-apiserver-machine-1"]);
    assert_eq!(own["status"]["phase"], "Running", "{}", own["status"]);
}
