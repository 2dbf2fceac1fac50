//! Restarts and their back-off.

use keelson_tests::node::{Node, container_status};
use keelson_tests::scenario::{LAST, pod, set};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

fn restarts(pod: &Value) -> u64 {
    container_status(pod, "main")["restartCount"]
        .as_u64()
        .unwrap_or(0)
}

#[test]
#[ignore = "needs root: make test"]
fn the_first_restart_is_at_once_and_the_second_waits() {
    let node = Node::start();
    node.apply("crashing", &pod("crashing", "exit 1"));
    let start = Instant::now();
    node.wait("crashing", 30, |pod| restarts(pod) == 1);
    let waiting = |pod: &Value| container_status(pod, "main")["state"]["waiting"].clone();
    let backing_off = node.wait("crashing", 20, |pod| {
        waiting(pod)["reason"] == "CrashLoopBackOff"
    });
    let message = waiting(&backing_off)["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(message.contains("back-off"), "{message}");
    node.wait("crashing", 30, |pod| restarts(pod) >= 2);
    assert!(
        start.elapsed() >= Duration::from_secs(9),
        "only {:?}",
        start.elapsed()
    );
}

#[test]
#[ignore = "needs root: make test"]
fn a_container_that_ends_comes_back_and_the_others_stay() {
    let node = Node::start();
    let killer = "sleep 2; exit 9";
    let mut one = pod("pair", killer);
    let other = keelson_tests::scenario::container("other", LAST);
    one["spec"]["containers"]
        .as_array_mut()
        .expect("containers")
        .push(other);
    node.apply("pair", &one);
    let id = |pod: &Value| container_status(pod, "other")["containerID"].clone();
    let before = node.wait("pair", 30, |pod| {
        container_status(pod, "other")["state"]["running"].is_object()
    });
    let after = node.wait("pair", 30, |pod| restarts(pod) >= 1);
    assert_eq!(id(&before), id(&after));
    assert_eq!(container_status(&after, "other")["restartCount"], 0);
}

#[test]
#[ignore = "needs root: make test"]
fn on_failure_means_on_failure() {
    let node = Node::start();
    let on_failure = |name: &str, script: &str| {
        set(
            pod(name, script),
            "/spec/restartPolicy",
            &json!("OnFailure"),
        )
    };
    node.apply("fails", &on_failure("fails", "exit 1"));
    node.apply("works", &on_failure("works", "exit 0"));
    node.wait("fails", 30, |pod| restarts(pod) >= 1);
    let done = node.wait("works", 30, |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(restarts(&done), 0);
}
