//! kill -9 of the kubelet and of containerd: pods live on and nothing is started twice.

use keelson_tests::node::{Node, condition, container_status, ip, is_ready};
use keelson_tests::scenario::{LAST, pod, serve, set};
use serde_json::{Value, json};

fn identity(pod: &Value) -> [Value; 4] {
    let main = container_status(pod, "main");
    [
        main["containerID"].clone(),
        main["restartCount"].clone(),
        main["state"]["running"]["startedAt"].clone(),
        pod["status"]["podIP"].clone(),
    ]
}

#[test]
#[ignore = "needs root: make test"]
fn a_new_kubelet_adopts_what_runs() {
    let node = Node::start();
    // Patient: whether the machine is busy must not show in the conditions.
    let probe = json!({
        "httpGet": { "port": 80 },
        "periodSeconds": 1,
        "timeoutSeconds": 60,
        "failureThreshold": 60,
    });
    let web = set(
        pod("web", &serve("on")),
        "/spec/containers/0/readinessProbe",
        &probe,
    );
    node.apply("web", &web);
    node.apply("gone", &pod("gone", LAST));
    let before = node.wait_ready("web");
    node.wait_ready("gone");
    // At once: that a pod is ready is not told before the next kubelet will know it.
    for _ in 0..3 {
        node.kill("kubelet");
        assert_eq!(node.answer_of(&format!("http://{}/", ip(&before))), "on");
        node.up();
        let after = node.wait("web", 20, |pod| {
            container_status(pod, "main")["state"]["running"].is_object()
        });
        assert_eq!(identity(&after), identity(&before));
        assert!(
            is_ready(&after),
            "readiness survives: {:#}",
            after["status"]
        );
        assert_eq!(
            condition(&after, "Ready").expect("Ready")["lastTransitionTime"],
            condition(&before, "Ready").expect("Ready")["lastTransitionTime"],
            "no blip"
        );
    }
    // A manifest that goes while nobody looks is seen by the next kubelet.
    node.kill("kubelet");
    node.delete("gone");
    node.up();
    node.wait_gone("gone");
    assert_eq!(identity(&node.wait_ready("web")), identity(&before));
}

#[test]
#[ignore = "needs root: make test"]
fn a_kubelet_killed_at_the_start_of_pods_leaves_one_of_each() {
    let node = Node::start();
    let names: Vec<_> = (0..6).map(|n| format!("p{n}")).collect();
    for name in &names {
        node.apply(name, &pod(name, LAST));
    }
    for _ in 0..4 {
        keelson_tests::assert_eventually!(20, !node.pods().is_empty(), "pods are seen");
        node.kill("kubelet");
        node.up();
    }
    for name in &names {
        let ready = node.wait_ready(name);
        assert_eq!(
            container_status(&ready, "main")["restartCount"],
            0,
            "{name}"
        );
    }
    let running = node.get("/runningpods/").expect("the runtime's pods");
    let running: Value = serde_json::from_slice(&running).expect("a pod list");
    assert_eq!(
        running["items"].as_array().map(Vec::len),
        Some(names.len()),
        "{running:#}"
    );
}

#[test]
#[ignore = "needs root: make test"]
fn pods_outlive_containerd_and_are_seen_again() {
    let node = Node::start();
    node.apply("web", &pod("web", &serve("still here")));
    let before = node.wait_ready("web");
    node.kill("containerd");
    let answer = node.answer_of(&format!("http://{}/", ip(&before)));
    assert_eq!(answer, "still here");
    assert!(node.pod("web").is_some(), "the kubelet still tells of it");
    node.up();
    let after = node.wait_ready("web");
    assert_eq!(identity(&after), identity(&before));
    // And the node works as before: a new pod starts, an old one goes.
    node.apply("new", &pod("new", LAST));
    node.wait_ready("new");
    node.delete("web");
    node.wait_gone("web");
}
