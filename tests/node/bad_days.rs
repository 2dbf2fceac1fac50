//! What goes wrong on real machines: each is told with its name and its cure.

use keelson_tests::node::{Node, container_status};
use keelson_tests::requires;
use keelson_tests::scenario::{LAST, pod, set};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn waiting(pod: &Value) -> Value {
    container_status(pod, "main")["state"]["waiting"].clone()
}

#[test]
#[ignore = "needs root: make test"]
fn an_image_that_no_registry_has() {
    let node = Node::start();
    let image = json!("registry.invalid/none:1");
    node.apply(
        "absent",
        &set(pod("absent", LAST), "/spec/containers/0/image", &image),
    );
    let never = set(pod("never", LAST), "/spec/containers/0/image", &image);
    node.apply(
        "never",
        &set(never, "/spec/containers/0/imagePullPolicy", &json!("Never")),
    );
    let told = node.wait("absent", 60, |pod| {
        ["ErrImagePull", "ImagePullBackOff"]
            .iter()
            .any(|reason| waiting(pod)["reason"] == *reason)
    });
    assert!(
        waiting(&told)["message"]
            .to_string()
            .contains("registry.invalid/none:1"),
        "{told:#}"
    );
    node.wait("never", 30, |pod| {
        waiting(pod)["reason"] == "ErrImageNeverPull"
    });
    let why = node.keelson(&["why", "absent"]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("registry.invalid"), "{why}");
}

#[test]
#[ignore = "needs root: make test"]
fn a_pod_that_is_too_large_for_the_node() {
    let node = Node::start();
    let resources = json!({ "requests": { "memory": "100Ti" } });
    node.apply(
        "large",
        &set(
            pod("large", LAST),
            "/spec/containers/0/resources",
            &resources,
        ),
    );
    let refused = node.wait("large", 30, |pod| pod["status"]["phase"] == "Failed");
    // A static pod is critical: the node looked for pods to put aside for it, and found none.
    assert_eq!(refused["status"]["reason"], "UnexpectedAdmissionError");
    let message = refused["status"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("memory"), "{message}");
}

#[test]
#[ignore = "needs root: make test"]
fn a_second_kubelet_on_the_same_state() {
    let node = Node::start();
    let mut second = Command::new(requires::keelson());
    second.args(keelson_bootstrap::configuration::kubelet_args(
        &node.layout,
        None,
    ));
    let output = node.within(second);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("another kubelet") && said.contains("--state-dir"),
        "{said}"
    );
    node.apply("one", &pod("one", LAST));
    node.wait_ready("one");
}

#[test]
#[ignore = "needs root: make test"]
fn a_containerd_that_is_too_old_is_refused_by_name() {
    let node = Node::prepare();
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("containerd");
    std::fs::write(
        &old,
        "#!/bin/sh\necho containerd github.com/containerd/containerd 1.6.20 x\n",
    )
    .expect("a program");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let path = folder.path().to_str().expect("a plain path");
    let output = node.keelson(&["up", "--standalone", "--containerd", path]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("containerd >= 2") && said.contains(path),
        "{said}"
    );
}

#[test]
#[ignore = "needs root: make test"]
fn a_containerd_that_is_gone_is_told_and_waited_for() {
    let node = Node::start();
    node.kill("containerd");
    node.apply("late", &pod("late", LAST));
    let told = || {
        let log = std::fs::read_to_string(node.layout.log_of("kubelet")).unwrap_or_default();
        log.contains("containerd.sock")
    };
    keelson_tests::assert_eventually!(30, told(), "the socket is named{}", node.logs());
    node.up();
    node.wait_ready("late");
}

#[test]
#[ignore = "needs root: make test"]
fn status_and_why_without_a_kubelet_say_how_to_start_one() {
    let node = Node::prepare();
    for args in [&["status"][..], &["why", "web"][..]] {
        let output = node.keelson(args);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("keelson up"), "{said}");
    }
}

#[test]
#[ignore = "needs root: make test"]
fn a_node_under_pressure_tells_and_keeps_its_static_pods() {
    let thresholds = json!({ "memory.available": "99.9%" });
    let node = Node::with(&json!({ "evictionHard": thresholds }));
    node.apply("stays", &pod("stays", LAST));
    node.wait_ready("stays");
    let told = || {
        let log = std::fs::read_to_string(node.layout.log_of("kubelet")).unwrap_or_default();
        let says = |words: &str| log.lines().any(|line| line.contains(words));
        says("Attempting to reclaim memory") && says("no pod may be ended")
    };
    keelson_tests::assert_eventually!(40, told(), "the pressure is told{}", node.logs());
    let pod = node.pod("stays").expect("the pod");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(container_status(&pod, "main")["restartCount"], 0);
}
