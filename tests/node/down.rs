//! `keelson down` leaves nothing, whatever state the node was in.

use keelson_tests::node::Node;
use keelson_tests::scenario::{LAST, pod, serve, set};
use serde_json::json;

fn with_pods() -> Node {
    let node = Node::start();
    let ports = json!([{ "containerPort": 80, "hostPort": 8066 }]);
    node.apply(
        "web",
        &set(pod("web", &serve("x")), "/spec/containers/0/ports", &ports),
    );
    let volume = json!([{ "name": "m", "emptyDir": { "medium": "Memory" } }]);
    node.apply("mem", &set(pod("mem", LAST), "/spec/volumes", &volume));
    node.wait_ready("web");
    node.wait_ready("mem");
    node
}

fn check_nothing_is_left(node: &Node) {
    node.down();
    let left = node.leftovers();
    assert!(left.is_empty(), "{left:#?}");
    for folder in node.layout.folders() {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

#[test]
#[ignore = "needs root: make test"]
fn a_running_node_goes_without_a_trace() {
    let node = with_pods();
    assert!(
        !node.leftovers().is_empty(),
        "the comparison sees a running node"
    );
    check_nothing_is_left(&node);
    // Down of what is down is no error.
    node.down();
}

#[test]
#[ignore = "needs root: make test"]
fn so_does_one_whose_containerd_died() {
    let node = with_pods();
    node.kill("kubelet");
    node.kill("containerd");
    check_nothing_is_left(&node);
}

#[test]
#[ignore = "needs root: make test"]
fn up_is_idempotent_and_comes_back_after_down() {
    let node = with_pods();
    let pid = node.pid_of("kubelet");
    let said = node.up();
    assert_eq!(
        node.pid_of("kubelet"),
        pid,
        "the kubelet was left alone:\n{said}"
    );
    assert!(said.contains("was there"), "{said}");
    let output = node.keelson(&["down"]);
    assert!(output.status.success());
    assert!(node.pid_of("kubelet").is_none());
    node.up();
    node.wait_ready("web");
}
