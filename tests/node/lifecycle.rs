//! The course of a pod's life: it starts, is reached, does its work, ends.

use keelson_tests::node::{Node, condition, container_status, ip};
use keelson_tests::scenario::{LAST, container, pod, pod_of, serve, set};
use serde_json::{Value, json};

#[test]
#[ignore = "needs root: make test"]
fn a_manifest_becomes_a_pod_that_answers_and_goes_with_it() {
    let node = Node::start();
    let ports = json!([{ "containerPort": 80, "hostPort": 8088 }]);
    let web = set(
        pod("web", &serve("hello")),
        "/spec/containers/0/ports",
        &ports,
    );
    node.apply("web", &web);
    let running = node.wait_ready("web");
    assert_eq!(running["status"]["phase"], "Running");
    for kind in [
        "PodScheduled",
        "Initialized",
        "ContainersReady",
        "PodReadyToStartContainers",
    ] {
        assert_eq!(
            condition(&running, kind).expect(kind)["status"],
            "True",
            "{kind}"
        );
    }
    let by_port = "http://127.0.0.1:8088/";
    assert_eq!(
        node.answer_of(&format!("http://{}/", ip(&running))),
        "hello"
    );
    assert_eq!(node.answer_of(by_port), "hello");

    node.delete("web");
    node.wait_gone("web");
    assert!(
        node.curl(&[by_port]).is_err(),
        "the host's port is free again"
    );
}

#[test]
#[ignore = "needs root: make test"]
fn pods_reach_each_other_and_themselves() {
    let node = Node::start();
    node.apply("web", &pod("web", &serve("across")));
    let web = node.wait_ready("web");
    let call = format!(
        "until wget -q -O - http://{}/; do sleep 0.2; done",
        ip(&web)
    );
    node.apply(
        "caller",
        &set(pod("caller", &call), "/spec/restartPolicy", &json!("Never")),
    );
    let caller = node.wait("caller", 30, |pod| pod["status"]["phase"] == "Succeeded");
    assert!(node.log(&caller, "main").contains("across"));
}

#[test]
#[ignore = "needs root: make test"]
fn the_environment_is_as_the_manifest_says() {
    let node = Node::start();
    let script = "echo \"$GREETING from $WHO at $IP with $CPUS\"; hostname; grep friend /etc/hosts";
    let env = json!([
        { "name": "NAME", "value": "keelson" },
        { "name": "GREETING", "value": "hello $(NAME) $(UNKNOWN) $$(NAME)" },
        { "name": "WHO", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } },
        { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
        { "name": "CPUS", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu", "divisor": "1m" } } },
    ]);
    let mut one = set(pod("env", script), "/spec/containers/0/env", &env);
    one = set(
        one,
        "/spec/containers/0/resources",
        &json!({ "limits": { "cpu": "300m" } }),
    );
    one = set(one, "/spec/hostname", &json!("box"));
    one = set(
        one,
        "/spec/hostAliases",
        &json!([{ "ip": "10.9.8.7", "hostnames": ["friend"] }]),
    );
    one = set(one, "/spec/restartPolicy", &json!("Never"));
    node.apply("env", &one);
    let done = node.wait("env", 30, |pod| pod["status"]["phase"] == "Succeeded");
    let log = node.log(&done, "main");
    let expected = format!(
        "hello keelson $(UNKNOWN) $(NAME) from default at {} with 300",
        ip(&done)
    );
    assert!(log.contains(&expected), "{log}");
    assert!(log.contains(" box\n"), "the host's name: {log}");
    assert!(log.contains("10.9.8.7"), "the alias: {log}");
}

#[test]
#[ignore = "needs root: make test"]
fn phases_follow_exit_codes_and_the_last_words_are_kept() {
    let node = Node::start();
    let check = |name: &str, script: &str, phase: &str, code: i64, message: &str| {
        node.apply(
            name,
            &set(pod(name, script), "/spec/restartPolicy", &json!("Never")),
        );
        let done = node.wait(name, 30, |pod| pod["status"]["phase"] == phase);
        let ended = &container_status(&done, "main")["state"]["terminated"];
        assert_eq!(ended["exitCode"], code, "{name}: {ended}");
        assert_eq!(
            ended["message"].as_str().unwrap_or_default().trim(),
            message,
            "{name}"
        );
    };
    check(
        "good",
        "echo bye > /dev/termination-log",
        "Succeeded",
        0,
        "bye",
    );
    check("bad", "exit 3", "Failed", 3, "");
    check("killed", "sh -c 'kill -9 $$$$'; exit $?", "Failed", 137, "");
}

#[test]
#[ignore = "needs root: make test"]
fn containers_of_a_pod_share_volumes_and_their_memory_is_bounded() {
    let node = Node::start();
    let mount = json!([{ "name": "shared", "mountPath": "/shared" }]);
    let writer = set(
        container(
            "writer",
            &format!("echo from-writer > /shared/note; {LAST}"),
        ),
        "/volumeMounts",
        &mount,
    );
    let reader = set(
        container(
            "reader",
            &format!("until cat /shared/note; do sleep 0.1; done; {LAST}"),
        ),
        "/volumeMounts",
        &mount,
    );
    let hog = set(
        container(
            "hog",
            "head -c 64M /dev/zero | tail -c 64M | sleep 1; exit 0",
        ),
        "/resources",
        &json!({ "limits": { "memory": "16Mi" } }),
    );
    let hog = set(
        hog,
        "/command",
        &json!(["busybox", "sh", "-c", "busybox tail -c 60000000 /dev/zero"]),
    );
    let mut both = pod_of("sharing", &[writer, reader]);
    both = set(
        both,
        "/spec/volumes",
        &json!([{ "name": "shared", "emptyDir": { "medium": "Memory" } }]),
    );
    node.apply("sharing", &both);
    let ready = node.wait_ready("sharing");
    keelson_tests::assert_eventually!(
        10,
        node.log(&ready, "reader").contains("from-writer"),
        "the reader sees the note: {}",
        node.log(&ready, "reader")
    );
    node.apply(
        "hog",
        &set(
            pod_of("hog", &[hog]),
            "/spec/restartPolicy",
            &json!("Never"),
        ),
    );
    let killed = node.wait("hog", 30, |pod| pod["status"]["phase"] == "Failed");
    let ended = &container_status(&killed, "hog")["state"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled", "{ended}");
}

#[test]
#[ignore = "needs root: make test"]
fn hooks_run_and_the_grace_is_honoured() {
    let node = Node::start();
    let notes = node.layout.demo().join("notes");
    std::fs::create_dir_all(&notes).expect("a folder for notes");
    let hook = |word: &str| json!({ "exec": { "command": ["sh", "-c", format!("echo {word} >> /notes/log")] } });
    let script = "trap 'echo term >> /notes/log; exit 0' TERM; while :; do sleep 0.1; done";
    let main = set(
        set(
            container("main", script),
            "/lifecycle",
            &json!({ "postStart": hook("post-start"), "preStop": hook("pre-stop") }),
        ),
        "/volumeMounts",
        &json!([{ "name": "notes", "mountPath": "/notes" }]),
    );
    let mut one = pod_of("hooked", &[main]);
    one = set(
        one,
        "/spec/volumes",
        &json!([{ "name": "notes", "hostPath": { "path": notes } }]),
    );
    one = set(one, "/spec/terminationGracePeriodSeconds", &json!(20));
    node.apply("hooked", &one);
    node.wait_ready("hooked");
    node.delete("hooked");
    node.wait_gone("hooked");
    let log = std::fs::read_to_string(notes.join("log")).expect("notes");
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        ["post-start", "pre-stop", "term"]
    );
}

#[test]
#[ignore = "needs root: make test"]
fn a_pod_on_the_hosts_network_has_the_hosts_addresses() {
    let node = Node::start();
    let script = serve("host").replace("-p 80", "-p 8099");
    node.apply(
        "host",
        &set(pod("host", &script), "/spec/hostNetwork", &json!(true)),
    );
    node.wait_ready("host");
    assert_eq!(node.answer_of("http://127.0.0.1:8099/"), "host");
}

#[test]
#[ignore = "needs root: make test"]
fn a_deadline_ends_the_pod() {
    let node = Node::start();
    node.apply(
        "late",
        &set(pod("late", LAST), "/spec/activeDeadlineSeconds", &json!(2)),
    );
    let failed = node.wait("late", 30, |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(failed["status"]["reason"], "DeadlineExceeded");
}

#[test]
#[ignore = "needs root: make test"]
fn the_security_context_reaches_the_process() {
    let node = Node::start();
    let script = "id -u; id -g; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; \
                  touch /x 2>/dev/null || echo read-only";
    let context = json!({
        "runAsUser": 1234,
        "runAsGroup": 2345,
        "runAsNonRoot": true,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
    });
    let mut one = set(
        pod("tight", script),
        "/spec/containers/0/securityContext",
        &context,
    );
    one = set(one, "/spec/restartPolicy", &json!("Never"));
    node.apply("tight", &one);
    let done = node.wait("tight", 30, |pod| pod["status"]["phase"] == "Succeeded");
    let log = node.log(&done, "main");
    for expected in [
        " 1234\n",
        " 2345\n",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "read-only",
    ] {
        assert!(log.contains(expected), "{expected:?} in {log}");
    }
    let root = set(
        pod("refused", LAST),
        "/spec/securityContext",
        &json!({ "runAsNonRoot": true }),
    );
    node.apply("refused", &root);
    let waiting = |pod: &Value| container_status(pod, "main")["state"]["waiting"]["reason"].clone();
    node.wait("refused", 20, |pod| {
        waiting(pod) == "CreateContainerConfigError"
    });
}
