//! `hostUsers: false`: each pod has ids of the host to itself, keeps them over a restart, and its
//! files look inside as if it had none.

use keelson_cri::{Client, Deadlines, Endpoint};
use keelson_tests::node::{Node, container_status};
use keelson_tests::requires;
use keelson_tests::scenario::{LAST, pod, set};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const LACKING: &str = "the runtime's default handler reports no user namespaces \
                       (runc >= 1.2 or crun >= 1.9 and idmapped mounts are needed)";
const UNUSED: &str = "the runtime's default handler can make user namespaces: nothing is refused";

/// Looks at everything that has an owner, then leaves last words and lasts.
const LOOK: &str = "cat /proc/self/uid_map && id -u && echo hi >/disk/f && echo hi >/memory/f && \
                    stat -c %u:%g /disk /disk/f /memory/f /host /etc/hosts /dev/termination-log && \
                    grep -c localhost /etc/hosts && echo seen >/dev/termination-log && echo done && ";

fn has_user_namespaces(node: &Node) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    runtime.block_on(async {
        let endpoint = Endpoint::from(node.layout.containerd_socket());
        let client = Client::new(&endpoint, Deadlines::default());
        let status = client.status().await.expect("the runtime's status");
        let mut handlers = status.handlers.iter();
        handlers.any(|handler| handler.name.is_empty() && handler.user_namespaces)
    })
}

fn own_users(name: &str, host: &str) -> Value {
    let script = format!("{LOOK}{LAST}");
    let pod = set(pod(name, &script), "/spec/hostUsers", &json!(false));
    let volumes = json!([
        { "name": "disk", "emptyDir": {} },
        { "name": "memory", "emptyDir": { "medium": "Memory" } },
        { "name": "host", "hostPath": { "path": host, "type": "DirectoryOrCreate" } },
    ]);
    let mounts = json!([
        { "name": "disk", "mountPath": "/disk" },
        { "name": "memory", "mountPath": "/memory" },
        { "name": "host", "mountPath": "/host" },
    ]);
    let pod = set(pod, "/spec/volumes", &volumes);
    set(pod, "/spec/containers/0/volumeMounts", &mounts)
}

fn file(node: &Node, pod: &Value, name: &str) -> PathBuf {
    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    node.layout.kubelet_root().join("pods").join(uid).join(name)
}

/// The first id of the host that a pod has, as its record says.
fn first_id(node: &Node, pod: &Value) -> u64 {
    let text = std::fs::read_to_string(file(node, pod, "userns")).expect("the pod's record");
    let record: Value = serde_json::from_str(&text).expect("a document");
    assert_eq!(record["uidMappings"], record["gidMappings"]);
    assert_eq!(record["uidMappings"][0]["length"], 65_536);
    record["uidMappings"][0]["hostId"].as_u64().expect("an id")
}

/// What the container printed, without time and stream.
fn words(node: &Node, pod: &Value) -> Vec<String> {
    let log = node.log(pod, "main");
    let words = log.lines().filter_map(|line| line.split_once(" F "));
    words.map(|(_, said)| said.trim().to_owned()).collect()
}

#[test]
#[ignore = "needs root: make test"]
fn a_pod_with_ids_of_its_own() {
    let node = Node::start();
    requires!(has_user_namespaces(&node), LACKING);
    let host = node.layout.lib.join("shared");
    let host = host.to_str().expect("a plain path");
    node.apply("one", &own_users("one", host));
    node.apply("two", &own_users("two", host));
    let (one, two) = (node.wait_ready("one"), node.wait_ready("two"));
    let ids = (first_id(&node, &one), first_id(&node, &two));
    assert!(
        ids.0 >= 65_536 && ids.1 >= 65_536 && ids.0.abs_diff(ids.1) >= 65_536,
        "{ids:?}"
    );
    keelson_tests::assert_eventually!(
        20,
        words(&node, &one).last().is_some_and(|word| word == "done"),
        "{:?}{}",
        words(&node, &one),
        node.logs()
    );
    let said = words(&node, &one);
    let mapped: Vec<_> = said[0].split_whitespace().collect();
    assert_eq!(mapped, ["0", &ids.0.to_string(), "65536"]);
    assert_eq!(said[1], "0", "it is root inside");
    assert!(said[2..8].iter().all(|owner| owner == "0:0"), "{said:?}");
    let written = file(&node, &one, "volumes/kubernetes.io~empty-dir/disk/f");
    let written = std::fs::metadata(written).expect("the file it wrote");
    assert_eq!(written.uid(), 0, "volumes keep their owners on disk");

    node.wait_saved();
    node.kill("kubelet");
    node.up();
    let after = node.wait_ready("one");
    assert_eq!(container_status(&after, "main")["restartCount"], 0);
    assert_eq!(first_id(&node, &after), ids.0);
    node.apply("three", &own_users("three", host));
    let three = node.wait_ready("three");
    let third = first_id(&node, &three);
    assert!(third != ids.0 && third != ids.1, "{third} of {ids:?}");
    node.delete("one");
    node.wait_gone("one");
    assert!(!file(&node, &one, "userns").exists());
}

#[test]
#[ignore = "needs root: make test"]
fn a_runtime_without_user_namespaces_is_named() {
    let node = Node::start();
    requires!(!has_user_namespaces(&node), UNUSED);
    let asks = set(pod("asks", LAST), "/spec/hostUsers", &json!(false));
    node.apply("asks", &asks);
    let told = || {
        let why = node.keelson(&["why", "asks"]);
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        why.contains("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
    };
    keelson_tests::assert_eventually!(30, told(), "the refusal is told{}", node.logs());
    let pod = node.pod("asks").expect("the pod");
    assert_eq!(pod["status"]["phase"], "Pending");
}
