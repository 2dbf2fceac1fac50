//! Probes of every kind, seen from outside.

use keelson_tests::node::{Node, container_status, is_ready};
use keelson_tests::scenario::{LAST, pod, serve, set};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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

/// A folder of the host that the pod sees as `/signs`, so that a case says when what happens.
fn with_signs(pod: Value, signs: &Path) -> Value {
    let volume = json!([{ "name": "signs", "hostPath": { "path": signs } }]);
    let mount = json!([{ "name": "signs", "mountPath": "/signs" }]);
    let pod = set(pod, "/spec/volumes", &volume);
    set(pod, "/spec/containers/0/volumeMounts", &mount)
}

fn folder_for_signs(node: &Node) -> PathBuf {
    let signs = node.layout.lib.join("signs");
    std::fs::create_dir_all(&signs).expect("a folder");
    signs
}

/// A script that waits for a sign.
fn after(sign: &str, script: &str) -> String {
    format!("until [ -e /signs/{sign} ]; do sleep 0.1; done; {script}")
}

fn give(signs: &Path, sign: &str) {
    std::fs::write(signs.join(sign), "").expect("a sign");
}

#[test]
#[ignore = "needs root: make test"]
fn readiness_follows_a_file_an_answer_and_a_port() {
    let node = Node::start();
    let signs = folder_for_signs(&node);
    let quick = |kind: &str, what: Value| json!({ kind: what, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 60 });
    let exec = quick("exec", json!({ "command": ["test", "-e", "/tmp/ready"] }));
    let http = quick("httpGet", json!({ "path": "/index.html", "port": 80 }));
    let tcp = quick("tcpSocket", json!({ "port": 80 }));
    let by_file = format!("touch /tmp/ready; {}", after("end", "rm /tmp/ready"));
    for (name, script, probe) in [
        ("by-exec", format!("{by_file}; {LAST}"), exec),
        ("by-http", serve("x"), http),
        ("by-tcp", serve("x"), tcp),
    ] {
        let pod = probed(name, &after("begin", &script), "readinessProbe", &probe);
        node.apply(name, &with_signs(pod, &signs));
    }
    for name in ["by-exec", "by-http", "by-tcp"] {
        node.wait(name, 30, |pod| {
            pod["status"]["phase"] == "Running" && !is_ready(pod)
        });
    }
    give(&signs, "begin");
    for name in ["by-exec", "by-http", "by-tcp"] {
        node.wait_ready(name);
    }
    give(&signs, "end");
    node.wait("by-exec", 60, |pod| !is_ready(pod));
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
    let script = format!("touch /tmp/sick; {LAST}");
    node.apply("sick", &probed("sick", &script, "livenessProbe", &probe));
    let again = node.wait("sick", 40, |pod| restarts(pod) >= 1);
    let ended = &container_status(&again, "main")["lastState"]["terminated"];
    assert!(ended["exitCode"].is_number(), "{ended}");
}

#[test]
#[ignore = "needs root: make test"]
fn a_startup_probe_holds_the_others_back() {
    let node = Node::start();
    let noted = "echo asked >>/signs/asked; test -e /tmp/up";
    let startup = json!({
        "exec": { "command": ["sh", "-c", noted] },
        "periodSeconds": 1,
        "timeoutSeconds": 60,
        "failureThreshold": 300,
    });
    let liveness = json!({
        "exec": { "command": ["test", "-e", "/tmp/up"] },
        "periodSeconds": 1,
        "timeoutSeconds": 60,
        "failureThreshold": 1,
    });
    let signs = folder_for_signs(&node);
    let script = after("begin", &format!("touch /tmp/up; {LAST}"));
    let one = probed("slow", &script, "startupProbe", &startup);
    let one = set(one, "/spec/containers/0/livenessProbe", &liveness);
    node.apply("slow", &with_signs(one, &signs));
    let asked = || std::fs::read_to_string(signs.join("asked")).unwrap_or_default();
    keelson_tests::assert_eventually!(60, asked().lines().count() >= 3, "it is asked: {}", asked());
    let waiting = node.pod("slow").expect("the pod");
    assert_eq!(container_status(&waiting, "main")["started"], false);
    give(&signs, "begin");
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
