//! What a user of kubectl sees of a kubelet that is part of a cluster: logs, commands, forwarded
//! ports, copies, content that changes in running pods, and events.

use std::time::Duration;

use keelson_tests::assert_eventually;
use keelson_tests::cluster::{Cluster, Lan};
use keelson_tests::node::{IMAGE, Node};
use keelson_tests::scenario::serve;
use serde_json::{Value, json};
use tokio::time::Instant;

fn pod(name: &str, script: &str, extra: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
        "spec": {
            "nodeName": "machine-1",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": IMAGE, "command": ["sh", "-c", script] }],
        },
    });
    let extra = extra.as_object().expect("fields of a spec").clone();
    pod["spec"].as_object_mut().expect("a spec").extend(extra);
    pod
}

fn mounting(name: &str, script: &str, volume: &Value) -> Value {
    let mut volume = volume.clone();
    volume["name"] = json!("content");
    let mut pod = pod(name, script, &json!({ "volumes": [volume] }));
    let mounts = json!([{ "name": "content", "mountPath": "/content" }]);
    pod["spec"]["containers"][0]["volumeMounts"] = mounts;
    pod
}

/// A cluster whose kubelet asks the API server who may come in.
fn start() -> Cluster {
    let lan = Lan::new();
    let first = Node::prepare_for(&["--node-name", "machine-1"]);
    lan.plug(first.namespace(), 1);
    first.configure(&json!({
        "authentication": { "anonymous": { "enabled": false }, "webhook": { "enabled": true } },
        "authorization": { "mode": "Webhook" },
    }));
    first.start_prepared();
    let cluster = Cluster {
        machines: vec![first],
        lan,
    };
    let account = || cluster.try_kubectl(&["get", "serviceaccount", "default"]);
    assert_eventually!(60, account().is_ok(), "{:?}", account());
    cluster
}

fn run(cluster: &Cluster, pod: &Value) {
    cluster.apply(pod);
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let pod = format!("pod/{name}");
    cluster.kubectl(&["wait", &pod, "--for=condition=Ready", "--timeout=90s"]);
}

/// The file of a pod as its processes see it.
fn content(cluster: &Cluster, pod: &str, file: &str) -> String {
    let path = format!("/content/{file}");
    let said = cluster.try_kubectl(&["exec", pod, "--", "cat", &path]);
    said.unwrap_or_default()
}

const FOREVER: &str = "trap 'exit 0' TERM; sleep 100000 & wait";

#[test]
#[ignore = "needs root: make test"]
fn kubectl_reaches_into_pods() {
    let cluster = start();
    let script =
        format!("busybox ln -s busybox /bin/tar; for n in 1 2 3; do echo line $n; done; {FOREVER}");
    run(&cluster, &pod("box", &script, &json!({})));
    assert_eventually!(
        30,
        cluster.try_kubectl(&["logs", "box"]) == Ok("line 1\nline 2\nline 3\n".to_owned()),
        "{:?}",
        cluster.try_kubectl(&["logs", "box"])
    );
    assert_eq!(cluster.kubectl(&["logs", "box", "--tail=1"]), "line 3\n");
    let echoed = cluster.kubectl_with(&["exec", "-i", "box", "--", "cat"], "through stdin");
    assert_eq!(echoed, Ok("through stdin".to_owned()));
    let failed = cluster.try_kubectl(&["exec", "box", "--", "sh", "-c", "exit 7"]);
    assert!(failed.expect_err("its exit code").contains('7'));

    let folder = tempfile::tempdir().expect("a folder");
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    std::fs::write(&there, "copied").expect("a file");
    let target = "box:/tmp/copy";
    cluster.kubectl(&["cp", &there.display().to_string(), target]);
    cluster.kubectl(&["cp", target, &back.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&back).expect("the copy"), "copied");
    follows_attaches_and_forwards(&cluster);
    only_who_may_comes_in(&cluster);
    an_ephemeral_container_looks_in(&cluster);
    drains(&cluster);
}

fn follows_attaches_and_forwards(cluster: &Cluster) {
    let script = "for n in 1 2 3; do sleep 1; echo line $n; done";
    cluster.apply(&pod("steps", script, &json!({ "restartPolicy": "Never" })));
    let wait = [
        "wait",
        "pod/steps",
        "--for=jsonpath={.status.phase}=Running",
        "--timeout=60s",
    ];
    // It may have ended by the time that anybody looks.
    let _ = cluster.try_kubectl(&wait);
    let followed = cluster.kubectl(&["logs", "-f", "steps"]);
    assert_eq!(followed, "line 1\nline 2\nline 3\n");

    let words = [
        "run",
        "ask",
        "-i",
        "--rm",
        "--quiet",
        "--restart=Never",
        "--image",
        IMAGE,
        "--image-pull-policy=IfNotPresent",
        "--command",
        "--",
        "sh",
        "-c",
        "read word; echo you said $word",
    ];
    let said = cluster
        .kubectl_with(&words, "hello\n")
        .unwrap_or_else(|said| panic!("kubectl run -i: {said}"));
    assert!(said.contains("you said hello"), "{said}");

    run(cluster, &pod("web", &serve("through a tunnel"), &json!({})));
    let mut command = std::process::Command::new(keelson_tests::requires::kubectl());
    command
        .args(["port-forward", "pod/web", "18080:80"])
        .env("KUBECONFIG", cluster.first().layout.kubeconfig("admin"))
        .stdout(std::process::Stdio::null());
    let mut tunnel = cluster
        .first()
        .namespace()
        .run(move || command.spawn().expect("kubectl runs"));
    let answer =
        keelson_tests::eventually::succeeds(|| cluster.first().curl(&["http://127.0.0.1:18080/"]));
    // Ended before anything is judged.
    tunnel.kill().expect("the tunnel");
    tunnel.wait().expect("the tunnel");
    assert_eq!(answer, Ok("through a tunnel\n".to_owned()));
}

/// Eviction takes the pods away that no one else needs here; static ones stay.
fn drains(cluster: &Cluster) {
    cluster.kubectl(&[
        "drain",
        "machine-1",
        "--force",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=90s",
    ]);
    let left = cluster.kubectl(&["get", "pods", "-o", "name"]);
    assert!(left.is_empty(), "{left}");
    let nodes = cluster.kubectl(&["get", "nodes"]);
    assert!(nodes.contains("SchedulingDisabled"), "{nodes}");
    cluster.kubectl(&["uncordon", "machine-1"]);
}

/// Straight to the kubelet, by tokens of service accounts.
fn only_who_may_comes_in(cluster: &Cluster) {
    cluster.kubectl(&["create", "serviceaccount", "reader"]);
    cluster.kubectl(&[
        "create",
        "clusterrole",
        "reader",
        "--verb=get",
        "--resource=nodes/metrics",
    ]);
    let account = "--serviceaccount=default:reader";
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "reader",
        "--clusterrole=reader",
        account,
    ]);
    let code = |path: &str, token: &str| {
        let (url, header) = (
            format!("https://127.0.0.1:10250{path}"),
            format!("Authorization: Bearer {token}"),
        );
        let words = ["-o", "/dev/null", "-w", "%{http_code}", "-H", &header, &url];
        let answer = cluster.first().curl(&words).unwrap_or_else(|said| said);
        answer.chars().take(3).collect::<String>()
    };
    let token = cluster.kubectl(&["create", "token", "reader"]);
    let token = token.trim();
    assert_eq!(code("/metrics/resource", token), "200");
    assert_eq!(code("/pods", token), "403");
    assert_eq!(code("/pods", "nonsense"), "401");
}

#[test]
#[ignore = "needs root: make test"]
fn what_volumes_show_follows_the_api() {
    let cluster = start();
    cluster.kubectl(&["create", "configmap", "live", "--from-literal=key=one"]);
    cluster.kubectl(&[
        "create",
        "secret",
        "generic",
        "hidden",
        "--from-literal=key=one",
    ]);
    let sources = json!({ "projected": { "sources": [
        { "configMap": { "name": "live", "items": [{ "key": "key", "path": "map" }] } },
        { "secret": { "name": "hidden", "items": [{ "key": "key", "path": "secret" }] } },
        { "configMap": { "name": "later", "optional": true } },
        { "downwardAPI": { "items": [
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } },
    ] } });
    run(&cluster, &mounting("shows", FOREVER, &sources));
    let shown = |file: &str| content(&cluster, "shows", file);
    assert_eq!(
        (shown("map"), shown("secret")),
        ("one".to_owned(), "one".to_owned())
    );
    assert_eq!(shown("token").split('.').count(), 3, "a token");

    let patched = |kind: &str, name: &str, patch: &str| {
        cluster.kubectl(&["patch", kind, name, "--type=merge", "-p", patch]);
        Instant::now()
    };
    let since = patched("configmap", "live", r#"{"data":{"key":"two"}}"#);
    assert_eventually!(30, shown("map") == "two", "{:?}", shown("map"));
    println!("ConfigMap to file: {:?}", since.elapsed());
    patched("secret", "hidden", r#"{"stringData":{"key":"two"}}"#);
    assert_eventually!(30, shown("secret") == "two", "{:?}", shown("secret"));
    cluster.kubectl(&["create", "configmap", "later", "--from-literal=new=here"]);
    assert_eventually!(
        30,
        shown("new") == "here",
        "an optional object that comes later"
    );
    cluster.kubectl(&["label", "pod", "shows", "mark=set"]);
    let marked = || shown("labels").contains("mark=\"set\"");
    assert_eventually!(30, marked(), "{}", shown("labels"));
    containers_know_services(&cluster);
}

fn containers_know_services(cluster: &Cluster) {
    cluster.kubectl(&["create", "service", "clusterip", "my-web", "--tcp=80:8080"]);
    let ip = cluster.object(&["service", "my-web"])["spec"]["clusterIP"].clone();
    let ip = ip.as_str().expect("an address").to_owned();
    // The kubelet hears of it by a watch.
    let knows = || {
        let _ = cluster.try_kubectl(&["delete", "pod", "knows", "--now"]);
        run(cluster, &pod("knows", FOREVER, &json!({})));
        cluster.kubectl(&["exec", "knows", "--", "env"])
    };
    let told = format!("MY_WEB_SERVICE_HOST={ip}");
    let mut env = knows();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !env.contains(&told) && Instant::now() < deadline {
        env = knows();
    }
    assert!(env.contains(&told), "{env}");
    assert!(env.contains("KUBERNETES_SERVICE_PORT=443"), "{env}");

    let reasons = |of: &str| {
        let fields = format!("--field-selector=involvedObject.name={of}");
        let all = cluster.object(&["events", "-A", &fields]);
        let all = all["items"].as_array().cloned().unwrap_or_default();
        let reason = |event: &Value| event["reason"].as_str().unwrap_or_default().to_owned();
        all.iter().map(reason).collect::<Vec<_>>()
    };
    for (of, expected) in [
        ("knows", &["Pulled", "Created", "Started"][..]),
        ("machine-1", &["Starting", "NodeHasSufficientMemory"]),
    ] {
        let all = || {
            expected
                .iter()
                .all(|reason| reasons(of).iter().any(|r| r == reason))
        };
        assert_eventually!(30, all(), "{of}: {:?}", reasons(of));
    }
    let needs = json!({ "configMap": { "name": "absent" } });
    cluster.apply(&mounting("waits", FOREVER, &needs));
    let failed = || {
        reasons("waits")
            .iter()
            .any(|reason| reason == "FailedMount")
    };
    assert_eventually!(30, failed(), "{:?}", reasons("waits"));
    cluster.kubectl(&["create", "configmap", "absent", "--from-literal=a=b"]);
    cluster.kubectl(&[
        "wait",
        "pod/waits",
        "--for=condition=Ready",
        "--timeout=90s",
    ]);
}

fn an_ephemeral_container_looks_in(cluster: &Cluster) {
    run(cluster, &pod("seen", FOREVER, &json!({})));
    cluster.kubectl(&[
        "debug",
        "seen",
        "--image",
        IMAGE,
        "--image-pull-policy=IfNotPresent",
        "--container=look",
        "--target=main",
        "--profile=general",
        "--",
        "sh",
        "-c",
        "echo I see; ps | grep -c sleep",
    ]);
    let said = || cluster.try_kubectl(&["logs", "seen", "-c", "look"]);
    let saw = || said().is_ok_and(|text| text.starts_with("I see\n"));
    assert_eventually!(60, saw(), "{:?}", said());
    let ended = || {
        let pod = cluster.object(&["pod", "seen"]);
        let status = &pod["status"]["ephemeralContainerStatuses"][0];
        status["state"]["terminated"]["exitCode"] == 0
    };
    assert_eventually!(
        60,
        ended(),
        "{:#}",
        cluster.object(&["pod", "seen"])["status"]
    );
}
