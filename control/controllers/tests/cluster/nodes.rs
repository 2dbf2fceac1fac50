//! A node falls silent: its pods have to leave.

use std::time::Duration;

use jiff::Timestamp;
use keelson_client::Resource;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Cluster, NODES, PODS, eventually};

const LEASES: Resource = Resource::fixed("coordination.k8s.io", "v1", "leases", "Lease", true);

async fn ready(cluster: &Cluster, node: &str) {
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "reason": "KubeletReady", "message": "well", "lastHeartbeatTime": Timestamp::now(),
        "lastTransitionTime": Timestamp::now()}]}});
    cluster.change(&NODES, ("", node), "status", status).await;
}

/// What a kubelet does to be heard.
async fn live(cluster: &Cluster, node: &str) -> ! {
    loop {
        let now = Timestamp::now().to_string();
        let renewed = json!({"spec": {"renewTime": now}});
        cluster
            .change(&LEASES, ("kube-node-lease", node), "", renewed)
            .await;
        ready(cluster, node).await;
        sleep(Duration::from_millis(300)).await;
    }
}

/// The node is marked, and its pod, unlike others, leaves.
async fn await_loss(cluster: &Cluster) {
    let node = eventually("taints", async || {
        let node = cluster.find(&NODES, "", "silent").await?;
        let taints = node["spec"]["taints"].as_array()?.clone();
        let has = |effect: &str| {
            taints.iter().any(|taint| {
                taint["key"] == "node.kubernetes.io/unreachable" && taint["effect"] == effect
            })
        };
        (has("NoSchedule") && has("NoExecute")).then_some(node)
    })
    .await;
    let ready = &node["status"]["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("Unknown"), &json!("NodeStatusUnknown"))
    );
    eventually("a pod that leaves", async || {
        let pod = cluster.find(&PODS, "team", "on-silent").await?;
        let conditions = pod["status"]["conditions"].as_array()?;
        let target = conditions
            .iter()
            .find(|it| it["type"] == "DisruptionTarget")?;
        assert_eq!(target["reason"], "DeletionByTaintManager");
        pod["metadata"]["deletionTimestamp"]
            .is_string()
            .then_some(())
    })
    .await;
    let stays = cluster
        .find(&PODS, "team", "on-alive")
        .await
        .expect("a pod");
    assert_eq!(stays["metadata"]["deletionTimestamp"], Value::Null);
}

/// Each node has a range of its own.
async fn check_ranges(cluster: &Cluster) {
    let ranges: std::collections::BTreeSet<String> = [
        cluster.find(&NODES, "", "alive").await,
        cluster.find(&NODES, "", "silent").await,
    ]
    .iter()
    .flatten()
    .map(|node| {
        node["spec"]["podCIDR"]
            .as_str()
            .expect("a range")
            .to_owned()
    })
    .collect();
    assert_eq!(
        ranges,
        ["10.244.0.0/24".to_owned(), "10.244.1.0/24".to_owned()].into()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_leave_a_node_that_fell_silent() {
    let cluster = Cluster::start(&[
        "--controllers=serviceaccount-controller,node-lifecycle-controller,\
         taint-eviction-controller,node-ipam-controller",
        "--node-monitor-grace-period=5s",
        "--node-monitor-period=200ms",
        "--allocate-node-cidrs",
        "--cluster-cidr=10.244.0.0/16",
    ])
    .await;
    cluster.namespace("team").await;
    eventually("a place for leases", async || {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "alive"}, "spec": {}});
        let leases = LEASES.within("kube-node-lease");
        cluster
            .client
            .create::<_, Value>(&leases, &lease)
            .await
            .ok()
    })
    .await;
    for name in ["alive", "silent"] {
        cluster
            .make(&NODES, "", json!({"metadata": {"name": name}}))
            .await;
        ready(&cluster, name).await;
    }
    let pod = |node: &str| {
        json!({
            "metadata": {"name": format!("on-{node}")},
            "spec": {
                "nodeName": node,
                "containers": [{"name": "c", "image": "i"}],
                "tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 1}],
            },
        })
    };
    cluster.make(&PODS, "team", pod("alive")).await;
    cluster.make(&PODS, "team", pod("silent")).await;
    let watched = async {
        await_loss(&cluster).await;
        check_ranges(&cluster).await;
    };
    tokio::select! {
        () = watched => {}
        never = live(&cluster, "alive") => never,
    }
}
