//! Probes of every kind, seen from outside.

use keelson_tests::node::{Node, container_status, is_ready};
use keelson_tests::scenario::{LAST, pod, serve, set};
use serde_json::{Value, json};

fn probed(name: &str, script: &str, kind: &str, probe: &Value) -> Value {
    set(
        pod(name, script),
        &format!("/spec/containers/0/{kind}"),
        probe,
    )
}

fn restarts(pod: &Value) -> u64 {
    container_status(pod, "main")["restartCount"]
        .as_u64()
        .unwrap_or(0)
}

#[test]
#[ignore = "needs root: make test"]
fn readiness_follows_a_file_an_answer_and_a_port() {
    let node = Node::start();
    let quick =
        |kind: &str, what: Value| json!({ kind: what, "periodSeconds": 1, "failureThreshold": 1 });
    let exec = quick("exec", json!({ "command": ["test", "-e", "/tmp/ready"] }));
    let http = quick("httpGet", json!({ "path": "/index.html", "port": 80 }));
    let tcp = quick("tcpSocket", json!({ "port": 80 }));
    let late = |script: &str| format!("sleep 2; {script}");
    let by_file = format!("touch /tmp/ready; sleep 4; rm /tmp/ready; {LAST}");
    node.apply(
        "by-exec",
        &probed("by-exec", &late(&by_file), "readinessProbe", &exec),
    );
    node.apply(
        "by-http",
        &probed("by-http", &late(&serve("x")), "readinessProbe", &http),
    );
    node.apply(
        "by-tcp",
        &probed("by-tcp", &late(&serve("x")), "readinessProbe", &tcp),
    );
    for name in ["by-exec", "by-http", "by-tcp"] {
        node.wait(name, 30, |pod| {
            pod["status"]["phase"] == "Running" && !is_ready(pod)
        });
    }
    for name in ["by-exec", "by-http", "by-tcp"] {
        node.wait_ready(name);
    }
    node.wait("by-exec", 20, |pod| !is_ready(pod));
    assert_eq!(restarts(&node.pod("by-exec").expect("it runs on")), 0);
}

#[test]
#[ignore = "needs root: make test"]
fn a_failed_liveness_probe_restarts_the_container() {
    let node = Node::start();
    let probe = json!({
        "exec": { "command": ["test", "!", "-e", "/tmp/sick"] },
        "periodSeconds": 1,
        "failureThreshold": 2,
    });
    let script = format!("sleep 2; touch /tmp/sick; {LAST}");
    node.apply("sick", &probed("sick", &script, "livenessProbe", &probe));
    let again = node.wait("sick", 40, |pod| restarts(pod) >= 1);
    let ended = &container_status(&again, "main")["lastState"]["terminated"];
    assert!(ended["exitCode"].is_number(), "{ended}");
}

#[test]
#[ignore = "needs root: make test"]
fn a_startup_probe_holds_the_others_back() {
    let node = Node::start();
    let startup = json!({
        "exec": { "command": ["test", "-e", "/tmp/up"] },
        "periodSeconds": 1,
        "failureThreshold": 30,
    });
    let liveness = json!({
        "exec": { "command": ["test", "-e", "/tmp/up"] },
        "periodSeconds": 1,
        "failureThreshold": 1,
    });
    let one = probed(
        "slow",
        &format!("sleep 4; touch /tmp/up; {LAST}"),
        "startupProbe",
        &startup,
    );
    node.apply(
        "slow",
        &set(one, "/spec/containers/0/livenessProbe", &liveness),
    );
    let up = node.wait_ready("slow");
    assert_eq!(restarts(&up), 0, "liveness waits for startup");
    assert_eq!(container_status(&up, "main")["started"], true);
}

#[test]
#[ignore = "needs root: make test"]
fn a_probe_that_hangs_fails_by_its_deadline() {
    let node = Node::start();
    let probe = json!({
        "exec": { "command": ["sleep", "600"] },
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 1,
    });
    node.apply("hangs", &probed("hangs", LAST, "livenessProbe", &probe));
    node.wait("hangs", 40, |pod| restarts(pod) >= 1);
}
