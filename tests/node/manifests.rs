//! The folder of manifests: edits, slips and what is not a manifest.

use keelson_tests::assert_eventually;
use keelson_tests::node::{Node, container_status, is_ready};
use keelson_tests::scenario::{LAST, pod, set};
use serde_json::{Value, json};

fn echo(name: &str, word: &str) -> Value {
    pod(name, &format!("echo {word}; {LAST}"))
}

#[test]
#[ignore = "needs root: make test"]
fn an_edit_replaces_the_pod_and_a_burst_of_them_ends_with_the_last() {
    let node = Node::start();
    node.apply("one", &echo("one", "first"));
    let first = node.wait_ready("one");
    for word in ["second", "third", "last"] {
        node.apply("one", &echo("one", word));
    }
    let uid = |pod: &Value| pod["metadata"]["uid"].clone();
    let last = node.wait("one", 60, |pod| uid(pod) != uid(&first) && is_ready(pod));
    assert_eventually!(
        10,
        node.log(&last, "main").contains("last"),
        "{}",
        node.log(&last, "main")
    );
    assert_eq!(node.pods().len(), 1);
}

#[test]
#[ignore = "needs root: make test"]
fn a_slip_is_told_with_its_file_and_leaves_the_pod_alone() {
    let node = Node::start();
    node.apply("one", &echo("one", "first"));
    let before = node.wait_ready("one");
    for (text, place) in [
        ("kind: Pod\nspec: [", "one.yaml"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: one}\nspec: {containers: [{name: a, imag: x}]}",
            "imag",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: one}\nspec: {containers: []}",
            "containers",
        ),
    ] {
        node.write_manifest("one.yaml", text);
        let told = || std::fs::read_to_string(node.layout.log_of("kubelet")).unwrap_or_default();
        assert_eventually!(
            10,
            told().contains(place),
            "{place:?} in the log:\n{}",
            told()
        );
    }
    let after = node.pod("one").expect("it is still there");
    let id = |pod: &Value| container_status(pod, "main")["containerID"].clone();
    assert_eq!(id(&before), id(&after));
    node.apply("one", &echo("one", "mended"));
    node.wait("one", 60, |pod| id(pod) != id(&before) && is_ready(pod));
}

#[test]
#[ignore = "needs root: make test"]
fn backups_and_hidden_files_are_no_manifests() {
    let node = Node::start();
    let text = echo("ghost", "boo").to_string();
    for file in [
        ".ghost.yaml",
        "ghost.yaml~",
        "#ghost.yaml#",
        "ghost.yaml.swp",
    ] {
        node.write_manifest(file, &text);
    }
    node.write_manifest("real.json", &echo("real", "json").to_string());
    let many = format!("{}\n---\n{}\n", echo("a", "1"), echo("b", "2"));
    node.write_manifest("many.yaml", &many);
    for name in ["real", "a", "b"] {
        node.wait_ready(name);
    }
    assert!(node.pod("ghost").is_none());
}

#[test]
#[ignore = "needs root: make test"]
fn two_pods_cannot_have_one_host_port() {
    let node = Node::start();
    let ports = json!([{ "containerPort": 80, "hostPort": 8077 }]);
    let with_port = |name: &str| set(pod(name, LAST), "/spec/containers/0/ports", &ports);
    node.apply("first", &with_port("first"));
    node.wait_ready("first");
    node.apply("second", &with_port("second"));
    let refused = node.wait("second", 30, |pod| pod["status"]["phase"] == "Failed");
    let said = refused["status"].to_string();
    assert!(
        said.contains("8077") || said.contains("NodePorts"),
        "{said}"
    );
    assert!(is_ready(&node.pod("first").expect("the first one stays")));
}
