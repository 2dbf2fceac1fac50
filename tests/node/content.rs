//! What a container finds of ConfigMaps, Secrets, the downward API, emptyDirs and its own
//! specification: files with their modes and owners, variables, the process. One pod for each line
//! of the table, all in one cluster.

use keelson_tests::assert_eventually;
use keelson_tests::cluster::Cluster;
use keelson_tests::node::IMAGE;
use serde_json::{Value, json};

/// A pod, and the log that it must leave.
struct Case {
    name: &'static str,
    /// Fields of its specification.
    spec: Value,
    /// Fields of its container.
    container: Value,
    script: &'static str,
    expected: &'static str,
}

fn mounted(source: &Value) -> (Value, Value) {
    let mut volume = source.clone();
    volume["name"] = json!("v");
    (
        json!({ "volumes": [volume] }),
        json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }),
    )
}

fn files(name: &'static str, source: &Value, script: &'static str, expected: &'static str) -> Case {
    let (spec, container) = mounted(source);
    Case {
        name,
        spec,
        container,
        script,
        expected,
    }
}

fn as_user(mut case: Case, context: &Value) -> Case {
    case.spec["securityContext"] = context.clone();
    case
}

fn process(
    name: &'static str,
    container: Value,
    script: &'static str,
    expected: &'static str,
) -> Case {
    Case {
        name,
        spec: json!({}),
        container,
        script,
        expected,
    }
}

const ONE: &str = "stat -L -c '%a %u:%g' /v/one; cat /v/one";
const MAPPED: &str = "stat -L -c %a /v/path/to/two; cat /v/path/to/two";

/// One key in a folder of the volume, with a mode of its own.
fn deep() -> Value {
    json!([{ "key": "two", "path": "path/to/two", "mode": 0o400 }])
}

/// ConfigMaps and Secrets as volumes, alone and projected.
fn of_objects() -> Vec<Case> {
    let projected = of_projected_objects();
    of_single_objects().into_iter().chain(projected).collect()
}

fn of_single_objects() -> Vec<Case> {
    let map = |more: Value| {
        let mut source = more;
        source["name"] = json!("words");
        json!({ "configMap": source })
    };
    let secret = |more: Value| {
        let mut source = more;
        source["secretName"] = json!("hidden");
        json!({ "secret": source })
    };
    let items = deep();
    let user = json!({ "runAsUser": 1000, "fsGroup": 1001 });
    vec![
        files("map", &map(json!({})), ONE, "644 0:0\n1"),
        files(
            "map-mode",
            &map(json!({ "defaultMode": 0o400 })),
            ONE,
            "400 0:0\n1",
        ),
        files(
            "map-items",
            &map(json!({ "items": items })),
            MAPPED,
            "400\n2",
        ),
        files(
            "map-binary",
            &map(json!({})),
            "busybox od -An -tx1 /v/raw",
            " de ca fe\n",
        ),
        as_user(
            files("map-user", &map(json!({})), "id -u; cat /v/one", "1000\n1"),
            &user,
        ),
        files("secret", &secret(json!({})), ONE, "644 0:0\ns1"),
        files(
            "secret-mode",
            &secret(json!({ "defaultMode": 0o400 })),
            ONE,
            "400 0:0\ns1",
        ),
        files(
            "secret-items",
            &secret(json!({ "items": items })),
            MAPPED,
            "400\ns2",
        ),
        as_user(
            files(
                "secret-user",
                &secret(json!({ "defaultMode": 0o440 })),
                ONE,
                "440 0:1001\ns1",
            ),
            &user,
        ),
    ]
}

fn of_projected_objects() -> Vec<Case> {
    let items = deep();
    let projected = |source: &str, more: Value| {
        let mut inner = more;
        let mode = inner
            .as_object_mut()
            .and_then(|map| map.remove("defaultMode"));
        inner["name"] = json!(if source == "secret" {
            "hidden"
        } else {
            "words"
        });
        json!({ "projected": { "defaultMode": mode.unwrap_or(json!(0o644)), "sources": [{ source: inner }] } })
    };
    let user = json!({ "runAsUser": 1000, "fsGroup": 1001 });
    vec![
        files(
            "projected-map",
            &projected("configMap", json!({ "defaultMode": 0o400 })),
            ONE,
            "400 0:0\n1",
        ),
        files(
            "projected-map-items",
            &projected("configMap", json!({ "items": items })),
            MAPPED,
            "400\n2",
        ),
        as_user(
            files(
                "projected-map-user",
                &projected("configMap", json!({})),
                "id -u; cat /v/one",
                "1000\n1",
            ),
            &user,
        ),
        files(
            "projected-secret",
            &projected("secret", json!({ "defaultMode": 0o400 })),
            ONE,
            "400 0:0\ns1",
        ),
        files(
            "projected-secret-items",
            &projected("secret", json!({ "items": items })),
            MAPPED,
            "400\ns2",
        ),
        as_user(
            files(
                "projected-secret-user",
                &projected("secret", json!({ "defaultMode": 0o440 })),
                ONE,
                "440 0:1001\ns1",
            ),
            &user,
        ),
    ]
}

/// The downward API as files, alone and among others.
fn of_the_pod() -> Vec<Case> {
    let field = |path: &str, of: &str| json!({ "path": path, "fieldRef": { "fieldPath": of } });
    let resource = |path: &str, of: &str| {
        json!({ "path": path,
        "resourceFieldRef": { "containerName": "main", "resource": of } })
    };
    let mut name = field("name", "metadata.name");
    name["mode"] = json!(0o400);
    let items = json!([
        name,
        field("labels", "metadata.labels"),
        resource("lc", "limits.cpu"),
        resource("lm", "limits.memory"),
        resource("rc", "requests.cpu"),
        resource("rm", "requests.memory")
    ]);
    let script =
        "cd /v; stat -L -c %a name labels; for f in name labels lc lm rc rm; do cat $f; echo; done";
    let expected = "400\n640\nNAME\napp=\"NAME\"\n2\n67108864\n1\n33554432\n";
    let sized = |mut case: Case| {
        case.container["resources"] = json!({
            "limits": { "cpu": "1250m", "memory": "64Mi" },
            "requests": { "cpu": "100m", "memory": "32Mi" } });
        case
    };
    let alone = json!({ "downwardAPI": { "defaultMode": 0o640, "items": items } });
    let among = json!({ "projected": { "defaultMode": 0o640, "sources": [
        { "configMap": { "name": "words" } }, { "secret": { "name": "hidden", "items": [{ "key": "two", "path": "s2" }] } },
        { "downwardAPI": { "items": items } } ] } });
    let unlimited = json!({ "downwardAPI": { "items": [
        resource("lc", "limits.cpu"), resource("lm", "limits.memory")] } });
    let some = "test $(cat /v/lc) -gt 0 && test $(cat /v/lm) -gt 1000000 && echo the node has some";
    vec![
        sized(files("downward", &alone, script, expected)),
        sized(files(
            "projected-all",
            &among,
            "cat /v/one /v/s2 /v/name",
            "1s2NAME",
        )),
        files("downward-node", &unlimited, some, "the node has some\n"),
        files(
            "projected-downward-node",
            &json!({ "projected": { "sources": [unlimited] } }),
            some,
            "the node has some\n",
        ),
    ]
}

fn of_empty_dirs() -> Vec<Case> {
    let script = "stat -c %a /v; umask 0; for m in 644 666 777; do echo x > /v/$m; chmod $m /v/$m; \
        stat -c %a /v/$m; cat /v/$m; done; grep -c ' /v tmpfs' /proc/mounts || true";
    let disk = "777\n644\nx\n666\nx\n777\nx\n0\n";
    let memory = "777\n644\nx\n666\nx\n777\nx\n1\n";
    let user = json!({ "runAsUser": 1001 });
    let of = |name, source: Value, expected| {
        files(name, &json!({ "emptyDir": source }), script, expected)
    };
    vec![
        of("empty", json!({}), disk),
        of("empty-memory", json!({ "medium": "Memory" }), memory),
        as_user(of("empty-user", json!({}), disk), &user),
        as_user(
            of("empty-memory-user", json!({ "medium": "Memory" }), memory),
            &user,
        ),
    ]
}

/// Parts of volumes, by fixed names and by names from variables.
fn of_sub_paths() -> Vec<Case> {
    let part = |name, source: Value, sub: &str, expected| {
        let mut case = files(name, &source, "cat /v/part", expected);
        case.container["volumeMounts"] =
            json!([{ "name": "v", "mountPath": "/v/part", "subPath": sub }]);
        case
    };
    let map = json!({ "configMap": { "name": "words" } });
    let mut existing = part("sub-existing", map.clone(), "one", "1");
    existing.container["volumeMounts"][0]["mountPath"] = json!("/etc/group");
    existing.script = "cat /etc/group";
    let mut expanded = files(
        "sub-expanded",
        &json!({ "emptyDir": {} }),
        "echo kept > /v/file; ls /all",
        "NAME\n",
    );
    expanded.container = json!({
        "env": [{ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
        "volumeMounts": [{ "name": "v", "mountPath": "/v", "subPathExpr": "$(POD)" },
            { "name": "v", "mountPath": "/all" }],
    });
    vec![
        part("sub-map", map.clone(), "one", "1"),
        part(
            "sub-secret",
            json!({ "secret": { "secretName": "hidden" } }),
            "one",
            "s1",
        ),
        part(
            "sub-downward",
            json!({ "downwardAPI": { "items": [{ "path": "n",
            "fieldRef": { "fieldPath": "metadata.name" } }] } }),
            "n",
            "NAME",
        ),
        part(
            "sub-projected",
            json!({ "projected": { "sources": [map] } }),
            "two",
            "2",
        ),
        existing,
        expanded,
    ]
}

fn of_variables_and_processes() -> Vec<Case> {
    let key = |kind: &str, name: &str| json!({ "name": "KEY", "valueFrom": { kind: { "name": name, "key": "one" } } });
    let shown = "echo $KEY $c_one $s_two $one $IP; test \"$HOST\" = \"$HOSTS\" && echo same; \
        test \"$LIMIT\" -gt 0 && echo limited; echo $UID_OF_POD | wc -c";
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let env = json!({
        "envFrom": [{ "prefix": "c_", "configMapRef": { "name": "words" } },
            { "prefix": "s_", "secretRef": { "name": "hidden" } }, { "configMapRef": { "name": "words" } }],
        "env": [key("secretKeyRef", "hidden"), field("HOST", "status.hostIP"), field("HOSTS", "status.hostIPs"),
            field("UID_OF_POD", "metadata.uid"),
            { "name": "LIMIT", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } }],
    });
    let context = |value: Value| json!({ "securityContext": value });
    vec![
        process("variables", env, shown, "s1 1 s2 1\nsame\nlimited\n37\n"),
        process(
            "map-key",
            json!({ "env": [key("configMapKeyRef", "words")] }),
            "echo $KEY",
            "1\n",
        ),
        process(
            "user",
            context(json!({ "runAsUser": 65534, "runAsGroup": 2002 })),
            "id -u; id -g",
            "65534\n2002\n",
        ),
        as_user(
            process("pod-user", json!({}), "id -u; id -g", "1001\n2002\n"),
            &json!({ "runAsUser": 1001, "runAsGroup": 2002 }),
        ),
        process(
            "unprivileged",
            context(json!({ "privileged": false })),
            "ip link add dummy1 type dummy 2>/dev/null || echo no",
            "no\n",
        ),
        process(
            "no-escalation",
            context(json!({ "allowPrivilegeEscalation": false, "runAsUser": 1000 })),
            "grep NoNewPrivs /proc/self/status | busybox tr -d '\\t'",
            "NoNewPrivs:1\n",
        ),
        process(
            "writable",
            context(json!({ "readOnlyRootFilesystem": false })),
            "echo x > /file && cat /file",
            "x\n",
        ),
        process(
            "read-only",
            context(json!({ "readOnlyRootFilesystem": true })),
            "echo x 2>/dev/null > /file || echo no",
            "no\n",
        ),
        process(
            "arguments",
            json!({ "env": [{ "name": "WORD", "value": "hello" }], "command": ["echo", "$(WORD)"], "args": ["$(WORD)", "$$(WORD)"] }),
            "",
            "hello hello $(WORD)\n",
        ),
    ]
}

fn pod(case: &Case) -> Value {
    let mut container =
        json!({ "name": "main", "image": IMAGE, "command": ["sh", "-c", case.script] });
    let fields = case.container.as_object().expect("fields").clone();
    container.as_object_mut().expect("fields").extend(fields);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": case.name, "namespace": "default", "labels": { "app": case.name } },
        "spec": {
            "restartPolicy": "Never", "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1, "containers": [container],
        },
    });
    let fields = case.spec.as_object().expect("fields").clone();
    pod["spec"].as_object_mut().expect("fields").extend(fields);
    pod
}

#[test]
#[ignore = "needs root: make test"]
fn containers_find_what_their_pods_ask_for() {
    let cluster = Cluster::start();
    let account = || cluster.try_kubectl(&["get", "serviceaccount", "default"]);
    assert_eventually!(60, account().is_ok(), "{:?}", account());
    let object = |kind: &str, name: &str, namespace: &str, fields: Value| {
        let mut object = fields;
        object["apiVersion"] = json!("v1");
        object["kind"] = json!(kind);
        object["metadata"] = json!({ "name": name, "namespace": namespace });
        object
    };
    let mut all = vec![
        object(
            "ConfigMap",
            "words",
            "default",
            json!({ "data": { "one": "1", "two": "2" }, "binaryData": { "raw": "3sr+" } }),
        ),
        object(
            "Secret",
            "hidden",
            "default",
            json!({ "stringData": { "one": "s1", "two": "s2" } }),
        ),
        // One of the same name elsewhere is another one.
        object(
            "Secret",
            "hidden",
            "kube-public",
            json!({ "stringData": { "one": "other" } }),
        ),
    ];
    let tables = [
        of_objects(),
        of_the_pod(),
        of_empty_dirs(),
        of_sub_paths(),
        of_variables_and_processes(),
    ];
    let cases: Vec<Case> = tables.into_iter().flatten().collect();
    all.extend(cases.iter().map(pod));
    let texts: Vec<_> = all.iter().map(Value::to_string).collect();
    let applied = cluster.kubectl_with(&["apply", "-f", "-"], &texts.join("\n---\n"));
    assert!(applied.is_ok(), "{applied:?}");
    for case in &cases {
        let expected = case.expected.replace("NAME", case.name);
        let log = || cluster.try_kubectl(&["logs", case.name]);
        let ended = || {
            let pod = cluster.object(&["pod", case.name]);
            pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
        };
        assert_eventually!(
            120,
            ended(),
            "{} ends: {:#}",
            case.name,
            cluster.object(&["pod", case.name])["status"]
        );
        assert_eventually!(
            30,
            log().as_deref() == Ok(expected.as_str()),
            "{}: {:?}, not {expected:?}",
            case.name,
            log()
        );
    }
    for kind in ["configmap/words", "secret/hidden"] {
        cluster.kubectl(&["patch", kind, "--type=merge", "-p", r#"{"immutable":true}"#]);
        let refused = cluster.try_kubectl(&[
            "patch",
            kind,
            "--type=merge",
            "-p",
            r#"{"data":{"one":"eA=="}}"#,
        ]);
        assert!(
            refused
                .as_ref()
                .is_err_and(|said| said.contains("immutable")),
            "{refused:?}"
        );
    }
}
