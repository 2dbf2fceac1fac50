//! `keelson join`: a second machine by a token, certificates that are signed for it and renewed,
//! pods of both that reach each other, and what is told to who comes with something else.

use keelson_tests::assert_eventually;
use keelson_tests::cluster::{Cluster, address};
use keelson_tests::node::{IMAGE, Node};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

/// A Deployment that spreads over the nodes; each pod answers with the name of its node.
fn spread() -> Value {
    let script = "mkdir -p /www && echo $NODE > /www/index.html && exec httpd -f -p 80 -h /www";
    let node =
        json!({ "name": "NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "spread", "namespace": "default" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "spread" } },
            "template": {
                "metadata": { "labels": { "app": "spread" } },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": { "matchLabels": { "app": "spread" } },
                    }],
                    "containers": [{
                        "name": "main",
                        "image": IMAGE,
                        "command": ["sh", "-c", script],
                        "env": [node],
                        "ports": [{ "containerPort": 80 }],
                        "readinessProbe": { "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    })
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

/// The invitation with the word after `flag` (or the first word, the server) replaced.
fn with(invitation: &[String], flag: &str, value: &str) -> Vec<String> {
    let mut words = invitation.to_vec();
    let at = words.iter().position(|word| word == flag).expect("a flag");
    words[at + 1] = value.to_owned();
    words
}

/// Nothing of the machine is changed by an invitation to somewhere else.
fn refused(machine: &Node, invitation: &[String], expected: &str) {
    let output = machine.join(invitation);
    let told = said(&output);
    assert!(
        !output.status.success() && told.contains(expected),
        "{told}"
    );
    assert!(
        !machine.layout.cluster().exists(),
        "nothing was written: {told}"
    );
}

fn refuses_what_is_wrong(cluster: &Cluster, machine: &Node, invitation: &[String]) {
    let other = format!("sha256:{}", "0".repeat(64));
    let words = with(invitation, "--ca-hash", &other);
    refused(
        machine,
        &words,
        "is not the control plane that --ca-hash means",
    );
    let words = with(invitation, "--token", "abcdef.0123456789abcdef");
    refused(
        machine,
        &words,
        "does not know the token abcdef, or it has expired",
    );
    let nobody = format!("{}:6444", address(1));
    let words = with(invitation, "join", &nobody);
    refused(machine, &words, "cannot connect to 192.0.2.1:6444");
    let deleted = cluster.invitation();
    let at = deleted
        .iter()
        .position(|word| word == "--token")
        .expect("a token");
    let listed = || said(&cluster.first().keelson(&["token", "list"]));
    assert!(listed().contains(&deleted[at + 1]), "{}", listed());
    let output = cluster
        .first()
        .keelson(&["token", "delete", &deleted[at + 1]]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!listed().contains(&deleted[at + 1]), "{}", listed());
    let gone = || {
        let told = said(&machine.join(&deleted));
        told.contains("does not know the token")
    };
    assert_eventually!(30, gone(), "a deleted token lets nobody in");
}

/// Certificates of two minutes from now on: the next one is due within 80 s.
fn sign_for_minutes(cluster: &Cluster) {
    let path = cluster
        .first()
        .layout
        .manifests()
        .join("kube-controller-manager.yaml");
    let text = fs::read_to_string(&path).expect("the manifest");
    let mut pod: Value = serde_json::from_str(&text).expect("the manifest");
    let command = &mut pod["spec"]["containers"][0]["command"];
    let command = command.as_array_mut().expect("a command");
    command.push(json!("--cluster-signing-duration=2m"));
    cluster
        .first()
        .write_manifest("kube-controller-manager.yaml", &pod.to_string());
    let runs = || {
        let pod = cluster.object(&[
            "pod",
            "-n",
            "kube-system",
            "kube-controller-manager-machine-1",
        ]);
        pod.to_string().contains("signing-duration=2m") && keelson_tests::node::is_ready(&pod)
    };
    assert_eventually!(
        90,
        runs(),
        "the signer starts anew{}",
        cluster.first().logs()
    );
}

fn reached_from_everywhere(cluster: &Cluster) {
    cluster.apply(&spread());
    cluster.kubectl(&["rollout", "status", "deployment/spread", "--timeout=120s"]);
    cluster.kubectl(&["expose", "deployment", "spread", "--port=80"]);
    let pods = cluster.object(&["pods", "-l", "app=spread"]);
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let text = |pod: &Value, pointer: &str| {
        pod.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut nodes: Vec<_> = pods.iter().map(|pod| text(pod, "/spec/nodeName")).collect();
    nodes.sort();
    assert_eq!(nodes, ["machine-1", "machine-2"]);
    let service = cluster.object(&["service", "spread"]);
    let service = text(&service, "/spec/clusterIP");
    for asking in &pods {
        let name = text(asking, "/metadata/name");
        let get = |ip: &str| {
            let url = format!("http://{ip}/");
            cluster.try_kubectl(&[
                "exec", &name, "--", "timeout", "5", "wget", "-q", "-O", "-", &url,
            ])
        };
        for asked in &pods {
            let (ip, node) = (text(asked, "/status/podIP"), text(asked, "/spec/nodeName"));
            assert_eventually!(
                60,
                get(&ip) == Ok(format!("{node}\n")),
                "{name} asks {node}: {:?}",
                get(&ip)
            );
        }
        let answers = || get(&service).is_ok_and(|said| said.starts_with("machine-"));
        assert_eventually!(
            60,
            answers(),
            "{name} asks the service: {:?}",
            get(&service)
        );
    }
    for machine in &cluster.machines {
        let answer = machine.answer_of(&format!("http://{service}/"));
        assert!(answer.starts_with("machine-"), "{answer}");
    }
}

#[test]
#[ignore = "needs root: make test"]
fn a_machine_joins_by_a_token_and_goes_without_a_trace() {
    let mut cluster = Cluster::start();
    sign_for_minutes(&cluster);
    let machine = cluster.plug_next();
    let invitation = cluster.invitation();
    refuses_what_is_wrong(&cluster, &machine, &invitation);
    cluster.admit(machine);
    let machine = &cluster.machines[1];
    assert!(
        !machine.layout.bootstrap_kubeconfig().exists(),
        "the token is forgotten"
    );
    let current = || fs::read_link(machine.layout.kubelet_client()).unwrap_or_default();
    let first = current();
    let ranges = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.podCIDR}"]);
    assert_eq!(ranges, "10.244.0.0/24 10.244.1.0/24");
    let requests = cluster.kubectl(&["get", "csr", "--no-headers"]);
    assert!(requests.contains("Approved,Issued"), "{requests}");

    reached_from_everywhere(&cluster);

    // A short certificate is renewed before it ends.
    assert_eventually!(180, current() != first, "it is renewed{}", machine.logs());
    let good = machine.keelson(&["certs", "check"]);
    assert!(good.status.success(), "{}", said(&good));
    let node = cluster.object(&["node", "machine-2"]);
    assert_eq!(
        node["status"]["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["type"] == "Ready"))
            .map(|one| &one["status"]),
        Some(&json!("True")),
        "{node:#}"
    );
    let hello = cluster.kubectl(&["exec", "deployment/spread", "--", "echo", "hello"]);
    assert_eq!(hello, "hello\n");

    renewed_where_it_was_issued(&cluster);
    let goodbye = machine.down();
    assert!(
        goodbye.contains("kubectl delete node machine-2"),
        "{goodbye}"
    );
    let left = machine.leftovers();
    assert!(left.is_empty(), "{left:#?}");
    for folder in machine.layout.folders() {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

/// `certs` on the machine that issues them.
fn renewed_where_it_was_issued(cluster: &Cluster) {
    let first = cluster.first();
    let check = || said(&first.keelson(&["certs", "check"]));
    let line = |name: &str| {
        let all = check();
        all.lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    for name in ["ca ", "apiserver ", "admin ", "scheduler "] {
        assert!(line(name).contains(" d "), "{}", check());
    }
    let file = first.layout.kubeconfig("admin");
    let before = fs::read(&file).expect("a kubeconfig");
    let output = first.keelson(&["certs", "renew", "admin"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_ne!(fs::read(&file).expect("a kubeconfig"), before);
    assert!(cluster.kubectl(&["get", "nodes"]).contains("machine-1"));
    let told = said(&first.keelson(&["certs", "renew", "nobody"]));
    assert!(told.contains("certs check"), "{told}");
}
