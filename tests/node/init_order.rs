//! Init containers one after the other, sidecars before and after the rest.

use keelson_tests::node::{Node, container_status};
use keelson_tests::scenario::{LAST, container, pod_of, set};
use serde_json::{Value, json};

fn noting(name: &str, script: &str) -> Value {
    let mount = json!([{ "name": "notes", "mountPath": "/notes" }]);
    set(container(name, script), "/volumeMounts", &mount)
}

fn with_notes(node: &Node, pod: Value) -> (Value, std::path::PathBuf) {
    let notes = node.layout.demo().join("notes");
    std::fs::create_dir_all(&notes).expect("a folder for notes");
    let volume = json!([{ "name": "notes", "hostPath": { "path": notes } }]);
    (set(pod, "/spec/volumes", &volume), notes.join("log"))
}

#[test]
#[ignore = "needs root: make test"]
fn everything_starts_in_order_and_sidecars_end_last() {
    let node = Node::start();
    let first = noting("first", "sleep 1; echo first >> /notes/log");
    let sidecar = set(
        noting(
            "sidecar",
            "echo sidecar >> /notes/log; trap 'echo sidecar-ends >> /notes/log; exit 0' TERM; \
             while :; do sleep 0.1; done",
        ),
        "/restartPolicy",
        &json!("Always"),
    );
    let second = noting("second", "echo second >> /notes/log");
    let main = noting(
        "main",
        "echo main >> /notes/log; trap 'sleep 1; echo main-ends >> /notes/log; exit 0' TERM; \
         while :; do sleep 0.1; done",
    );
    let mut one = pod_of("ordered", &[main]);
    one = set(
        one,
        "/spec/initContainers",
        &json!([first, sidecar, second]),
    );
    one = set(one, "/spec/terminationGracePeriodSeconds", &json!(20));
    let (one, log) = with_notes(&node, one);
    node.apply("ordered", &one);
    let ready = node.wait_ready("ordered");
    assert_eq!(
        container_status(&ready, "first")["state"]["terminated"]["exitCode"],
        0
    );
    assert_eq!(container_status(&ready, "sidecar")["started"], true);
    node.delete("ordered");
    node.wait_gone("ordered");
    let notes = std::fs::read_to_string(log).expect("notes");
    assert_eq!(
        notes.lines().collect::<Vec<_>>(),
        [
            "first",
            "sidecar",
            "second",
            "main",
            "main-ends",
            "sidecar-ends"
        ]
    );
}

#[test]
#[ignore = "needs root: make test"]
fn a_failed_init_container_holds_the_pod_and_is_tried_again() {
    let node = Node::start();
    let script = "test -e /notes/tried || { touch /notes/tried; exit 1; }";
    let mut one = pod_of("stubborn", &[container("main", LAST)]);
    one = set(
        one,
        "/spec/initContainers",
        &json!([noting("init", script)]),
    );
    let (one, _) = with_notes(&node, one);
    node.apply("stubborn", &one);
    let ready = node.wait_ready("stubborn");
    assert_eq!(container_status(&ready, "init")["restartCount"], 1);
}

#[test]
#[ignore = "needs root: make test"]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let node = Node::start();
    let mut one = pod_of("once", &[container("main", LAST)]);
    one = set(
        one,
        "/spec/initContainers",
        &json!([container("init", "exit 4")]),
    );
    one = set(one, "/spec/restartPolicy", &json!("Never"));
    node.apply("once", &one);
    let failed = node.wait("once", 30, |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(
        container_status(&failed, "init")["state"]["terminated"]["exitCode"],
        4
    );
    assert!(container_status(&failed, "main")["state"]["running"].is_null());
}
