//! Logs, commands and figures through the kubelet's HTTP API.

use keelson_tests::node::Node;
use keelson_tests::scenario::{LAST, pod};
use serde_json::Value;

const API: &str = "https://127.0.0.1:10250";

fn name_of(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().expect("a name")
}

#[test]
#[ignore = "needs root: make test"]
fn logs_come_whole_in_part_and_with_times() {
    let node = Node::start();
    let script = format!("for n in 1 2 3 4 5; do echo line $n; done; {LAST}");
    node.apply("talks", &pod("talks", &script));
    let ready = node.wait_ready("talks");
    let logs = |query: &str| {
        node.curl(&[&format!(
            "{API}/containerLogs/default/{}/main{query}",
            name_of(&ready)
        )])
        .expect("the log")
    };
    keelson_tests::assert_eventually!(
        10,
        logs("").lines().count() == 5,
        "five lines: {}",
        logs("")
    );
    assert_eq!(logs("?tailLines=2"), "line 4\nline 5\n");
    assert_eq!(logs("?limitBytes=6"), "line 1");
    let stamped = logs("?timestamps=true&tailLines=1");
    let (time, line) = stamped
        .trim_end()
        .split_once(' ')
        .expect("a time and a line");
    assert!(time.contains('T') && line == "line 5", "{stamped}");
    let missing = node.curl(&[&format!("{API}/containerLogs/default/nobody/main")]);
    assert!(missing.expect_err("no such pod").contains("nobody"));
}

#[test]
#[ignore = "needs root: make test"]
fn a_command_runs_in_the_container() {
    let node = Node::start();
    node.apply("box", &pod("box", LAST));
    let ready = node.wait_ready("box");
    let url = format!(
        "{API}/run/default/{}/main?cmd=cat%20/proc/1/comm",
        name_of(&ready)
    );
    let answer = node.curl(&["-X", "POST", &url]).expect("an answer");
    assert_eq!(answer.trim(), "sh");
}

#[test]
#[ignore = "needs root: make test"]
fn health_pods_and_figures_are_served() {
    let node = Node::start();
    node.apply("box", &pod("box", LAST));
    let ready = node.wait_ready("box");
    assert_eq!(
        node.curl(&["http://127.0.0.1:10248/healthz"])
            .expect("health")
            .trim(),
        "ok"
    );
    let get = |path: &str| node.curl(&[&format!("{API}{path}")]).expect(path);
    let list: Value = serde_json::from_str(&get("/pods")).expect("a pod list");
    assert_eq!(
        list["items"][0]["metadata"]["name"],
        ready["metadata"]["name"]
    );
    assert!(get("/metrics").contains("kubelet_running_pods 1"));
    assert!(get("/metrics/resource").contains("container_cpu_usage_seconds_total{"));
    let summary: Value = serde_json::from_str(&get("/stats/summary")).expect("a summary");
    assert_eq!(
        summary["pods"].as_array().map(Vec::len),
        Some(1),
        "{summary:#}"
    );
    let config: Value = serde_json::from_str(&get("/configz")).expect("the configuration");
    assert!(
        config["kubeletconfig"]["cgroupRoot"].is_string(),
        "{config:#}"
    );
}

#[test]
#[ignore = "needs root: make test"]
fn strangers_get_nothing_but_health() {
    let node =
        Node::with(&serde_json::json!({ "authentication": { "anonymous": { "enabled": false } } }));
    let refused = node
        .curl(&[&format!("{API}/pods")])
        .expect_err("no credentials");
    assert!(refused.contains("401"), "{refused}");
    assert_eq!(
        node.curl(&["http://127.0.0.1:10248/healthz"])
            .expect("health")
            .trim(),
        "ok"
    );
}
