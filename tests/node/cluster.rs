//! `keelson up` makes a machine a cluster: its API server, its node, pods through kubectl; and
//! `keelson down` takes all of it away.

use keelson_tests::assert_eventually;
use keelson_tests::cluster::Cluster;
use keelson_tests::node::IMAGE;
use keelson_tests::requires;
use serde_json::{Value, json};

/// A pod of this node that needs no controller.
fn pod(name: &str, node: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": IMAGE, "command": ["sh", "-c", script] }],
        },
    })
}

/// A cluster whose namespace `default` lets pods in.
fn with_account() -> Cluster {
    let cluster = Cluster::start();
    assert_eventually!(
        60,
        cluster
            .try_kubectl(&["get", "serviceaccount", "default"])
            .is_ok(),
        "the service account comes"
    );
    cluster
}

#[test]
#[ignore = "needs root: make test"]
fn a_machine_becomes_a_cluster_and_goes_without_a_trace() {
    let cluster = with_account();
    let node = cluster.first();
    let nodes = cluster.kubectl(&["get", "nodes", "--no-headers"]);
    assert!(
        nodes.contains("machine-1") && nodes.contains(" Ready"),
        "{nodes}"
    );
    let parts = || cluster.kubectl(&["get", "pods", "-n", "kube-system", "--no-headers"]);
    for part in ["apiserver", "controller-manager", "proxy"] {
        let part = format!("kube-{part}-machine-1");
        assert_eventually!(
            60,
            parts().contains(&part),
            "{part} has a picture in the API:\n{}",
            parts()
        );
    }
    cluster.apply(&pod("talker", "machine-1", "echo hello; exec sleep 3600"));
    cluster.kubectl(&[
        "wait",
        "pod/talker",
        "--for=condition=Ready",
        "--timeout=60s",
    ]);
    assert_eventually!(
        30,
        cluster.try_kubectl(&["logs", "talker"]) == Ok("hello\n".to_owned()),
        "{:?}",
        cluster.try_kubectl(&["logs", "talker"])
    );
    let said = cluster.kubectl(&["exec", "talker", "--", "cat", "/etc/hostname"]);
    assert_eq!(said.trim(), "talker");

    let again = node.up();
    let changed = again
        .lines()
        .filter(|line| line.contains("] ") && !line.ends_with("was there"));
    let changed: Vec<_> = changed
        .filter(|line| !line.contains("looking at"))
        .collect();
    assert!(changed.is_empty(), "a second up changes nothing:\n{again}");
    let status = node.keelson(&["status"]);
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("1 of 1 nodes ready"), "{status}");

    let told = node.keelson(&["up", "--standalone"]);
    assert!(
        !told.status.success(),
        "a cluster is not made a node alone by a slip"
    );
    node.down();
    let left = node.leftovers();
    assert!(left.is_empty(), "{left:#?}");
    for folder in node.layout.folders() {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

#[test]
#[ignore = "needs root: make test"]
fn objects_outlive_the_api_server_and_everything_else_that_is_killed() {
    let cluster = with_account();
    let node = cluster.first();
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=a=b"]);
    cluster.apply(&pod("lasting", "machine-1", "exec sleep 3600"));
    cluster.kubectl(&[
        "wait",
        "pod/lasting",
        "--for=condition=Ready",
        "--timeout=60s",
    ]);
    let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    let before = id(&cluster.object(&["pod", "lasting"]));
    node.kill("kubelet");
    node.kill("containerd");
    node.up();
    assert_eq!(
        cluster.kubectl(&["get", "configmap", "kept", "-o", "jsonpath={.data.a}"]),
        "b"
    );
    assert_eq!(id(&cluster.object(&["pod", "lasting"])), before);
}

#[test]
#[ignore = "needs root: make test"]
fn the_demo_is_reached_by_name_and_heals() {
    let cluster = with_account();
    let node = cluster.first();
    let containerd = requires::containerd();
    let containerd = containerd.to_str().expect("a plain path");
    let output = node.keelson(&["up", "--demo", "--containerd", containerd]);
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{failed}{}", node.logs());
    assert!(said.contains("3 are ready again"), "{said}");
    cluster.apply(&pod("asking", "machine-1", "exec sleep 3600"));
    cluster.kubectl(&[
        "wait",
        "pod/asking",
        "--for=condition=Ready",
        "--timeout=60s",
    ]);
    let ask = [
        "exec",
        "asking",
        "--",
        "wget",
        "-q",
        "-O",
        "-",
        "http://web/",
    ];
    let hello = |answer: Result<String, String>| answer.is_ok_and(|page| page.contains("Hello"));
    assert_eventually!(
        60,
        hello(cluster.try_kubectl(&ask)),
        "{:?}",
        cluster.try_kubectl(&ask)
    );
}
