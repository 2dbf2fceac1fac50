//! Each rule with one pod that breaks it.

use serde_json::{Value, json};

use super::validate;
use crate::core::Pod;
use crate::defaults;

/// A pod that is right, with `spec` laid over its spec and `container` over its only container.
fn pod(spec: &Value, container: &Value) -> Pod {
    let mut whole = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/x"}}],
        },
    });
    let lay = |base: &mut Value, over: &Value| {
        base.as_object_mut()
            .unwrap()
            .extend(over.as_object().unwrap().clone());
    };
    lay(&mut whole["spec"]["containers"][0], container);
    lay(&mut whole["spec"], spec);
    let mut pod: Pod = serde_json::from_value(whole).unwrap();
    defaults::pod::apply(&mut pod);
    pod
}

fn check(spec: &Value, container: &Value, path: &str, message: &str) {
    let errors = validate(&pod(spec, container));
    let found = errors
        .iter()
        .any(|e| e.path == path && e.body().contains(message));
    assert!(
        found,
        "{spec} {container}: expected {path}: {message}; got {errors}"
    );
}

#[test]
fn takes_a_right_pod() {
    let full = json!({
        "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080}],
        "env": [
            {"name": "A", "value": "x"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x.io/a']"}}},
        ],
        "volumeMounts": [{"name": "e", "mountPath": "/a", "subPath": "b/c"}, {"name": "h", "mountPath": "/b"}],
        "livenessProbe": {"httpGet": {"port": "http"}},
        "readinessProbe": {"exec": {"command": ["true"]}, "successThreshold": 3},
        "startupProbe": {"grpc": {"port": 1}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "stopSignal": "SIGRTMIN+3"},
        "resources": {"limits": {"cpu": "1", "memory": "1Gi", "hugepages-2Mi": "4Mi", "x.io/gpu": "1"}},
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
    });
    let spec = json!({
        "initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}],
        "tolerations": [{"operator": "Exists"}],
        "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a.b", "."]},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "1 2"}]},
    });
    assert_eq!(validate(&pod(&json!({}), &full)).to_string(), "[]");
    assert_eq!(validate(&pod(&spec, &json!({}))).to_string(), "[]");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refuses_wrong_containers() {
    let long = "a".repeat(64);
    let cases = [
        (json!({"name": ""}), "name", "Required value"),
        (json!({"name": "A"}), "name", "lowercase RFC 1123 label"),
        (json!({"name": long}), "name", "no more than 63 characters"),
        (json!({"image": ""}), "image", "Required value"),
        (
            json!({"image": " i"}),
            "image",
            "leading or trailing whitespace",
        ),
        (
            json!({"imagePullPolicy": "Sometimes"}),
            "imagePullPolicy",
            "\"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            json!({"terminationMessagePolicy": "x"}),
            "terminationMessagePolicy",
            "Unsupported value",
        ),
        (
            json!({"ports": [{"containerPort": 0}]}),
            "ports[0].containerPort",
            "Required value",
        ),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            "ports[0].containerPort",
            "between 1 and 65535",
        ),
        (
            json!({"ports": [{"containerPort": 1, "protocol": "x"}]}),
            "ports[0].protocol",
            "\"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            json!({"ports": [{"containerPort": 1, "name": "UP"}]}),
            "ports[0].name",
            "alpha-numeric",
        ),
        (
            json!({"ports": [{"containerPort": 1, "hostIP": "x"}]}),
            "ports[0].hostIP",
            "valid IP address",
        ),
        (
            json!({"ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 3, "hostPort": 2}]}),
            "ports[1].hostPort",
            "Duplicate value: 2",
        ),
        (
            json!({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 3, "name": "a"}]}),
            "ports[1].name",
            "Duplicate value",
        ),
        (
            json!({"volumeMounts": [{"name": "q", "mountPath": "/a"}]}),
            "volumeMounts[0].name",
            "Not found: \"q\"",
        ),
        (
            json!({"volumeMounts": [{"name": "e", "mountPath": ""}]}),
            "volumeMounts[0].mountPath",
            "Required",
        ),
        (
            json!({"volumeMounts": [{"name": "e", "mountPath": "/a"}, {"name": "h", "mountPath": "/a"}]}),
            "volumeMounts[1].mountPath",
            "must be unique",
        ),
        (
            json!({"volumeMounts": [{"name": "e", "mountPath": "/a", "subPath": "../x"}]}),
            "volumeMounts[0].subPath",
            "must not contain '..'",
        ),
        (
            json!({"volumeMounts": [{"name": "e", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}),
            "volumeMounts[0].mountPropagation",
            "privileged",
        ),
        (
            json!({"volumeMounts": [{"name": "e", "mountPath": "/a", "recursiveReadOnly": "Enabled"}]}),
            "volumeMounts[0].recursiveReadOnly",
            "readOnly is true",
        ),
        (
            json!({"volumeDevices": [{"name": "e", "devicePath": "/d"}]}),
            "volumeDevices[0].name",
            "block mode",
        ),
        (
            json!({"restartPolicyRules": [{"action": "Restart"}]}),
            "restartPolicyRules",
            "restartPolicy",
        ),
    ];
    for (container, field, message) in cases {
        check(
            &json!({}),
            &container,
            &format!("spec.containers[0].{field}"),
            message,
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refuses_wrong_variables_and_resources() {
    let from = |source: Value| json!({"env": [{"name": "A", "valueFrom": source}]});
    let cases = [
        (json!({"env": [{"name": ""}]}), "env[0].name", "Required"),
        (
            json!({"env": [{"name": "A=B"}]}),
            "env[0].name",
            "other than '='",
        ),
        (from(json!({})), "env[0].valueFrom", "must specify one of"),
        (
            from(json!({"fieldRef": {"fieldPath": "spec.x"}})),
            "env[0].valueFrom.fieldRef.fieldPath",
            "metadata.name",
        ),
        (
            from(json!({"fieldRef": {"fieldPath": "metadata.labels"}})),
            "env[0].valueFrom.fieldRef.fieldPath",
            "Unsupported",
        ),
        (
            from(json!({"fieldRef": {"fieldPath": "spec.x['a']"}})),
            "env[0].valueFrom.fieldRef.fieldPath",
            "subscript",
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.gpu"}})),
            "env[0].valueFrom.resourceFieldRef.resource",
            "limits.cpu",
        ),
        (
            from(json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "5m"}})),
            "env[0].valueFrom.resourceFieldRef.divisor",
            "1m and 1",
        ),
        (
            from(json!({"secretKeyRef": {"name": "s", "key": "a/b"}})),
            "env[0].valueFrom.secretKeyRef.key",
            "config key",
        ),
        (json!({"envFrom": [{}]}), "envFrom[0]", "configMapRef"),
        (
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            "resources.requests",
            "Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            json!({"resources": {"limits": {"cpu": "x"}}}),
            "resources.limits[cpu]",
            "regular expression",
        ),
        (
            json!({"resources": {"limits": {"cpu": "-1"}}}),
            "resources.limits[cpu]",
            "greater than or equal to 0",
        ),
        (
            json!({"resources": {"limits": {"disk": "1"}}}),
            "resources.limits[disk]",
            "standard resource",
        ),
        (
            json!({"resources": {"limits": {"x.io/gpu": "1500m"}}}),
            "resources.limits[x.io/gpu]",
            "must be an integer",
        ),
        (
            json!({"resources": {"requests": {"x.io/gpu": "1"}}}),
            "resources.limits",
            "non overcommitable",
        ),
        (
            json!({"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}),
            "resources",
            "require cpu or memory",
        ),
        (
            json!({"resources": {"claims": [{"name": "q"}]}}),
            "resources.claims[0].name",
            "Not found",
        ),
    ];
    for (container, field, message) in cases {
        check(
            &json!({}),
            &container,
            &format!("spec.containers[0].{field}"),
            message,
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refuses_wrong_probes_hooks_and_contexts() {
    let cases = [
        (
            json!({"livenessProbe": {}}),
            "livenessProbe",
            "must specify a handler type",
        ),
        (
            json!({"livenessProbe": {"exec": {"command": ["a"]}, "grpc": {"port": 1}}}),
            "livenessProbe",
            "more than 1 handler",
        ),
        (
            json!({"livenessProbe": {"exec": {}}}),
            "livenessProbe.exec.command",
            "Required",
        ),
        (
            json!({"livenessProbe": {"grpc": {"port": 1}, "successThreshold": 2}}),
            "livenessProbe.successThreshold",
            "must be 1",
        ),
        (
            json!({"startupProbe": {"grpc": {"port": 1}, "periodSeconds": -1}}),
            "startupProbe.periodSeconds",
            "greater than",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 0}}}),
            "readinessProbe.httpGet.port",
            "between 1 and 65535",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": "A"}}}),
            "readinessProbe.httpGet.port",
            "alpha-numeric",
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": 1, "scheme": "x"}}}),
            "readinessProbe.httpGet.scheme",
            "HTTPS",
        ),
        (
            json!({"readinessProbe": {"grpc": {"port": 1}, "terminationGracePeriodSeconds": 1}}),
            "readinessProbe.terminationGracePeriodSeconds",
            "readinessProbes",
        ),
        (
            json!({"lifecycle": {"preStop": {}}}),
            "lifecycle.preStop",
            "handler type",
        ),
        (
            json!({"lifecycle": {"stopSignal": "TERM"}}),
            "lifecycle.stopSignal",
            "SIGTERM",
        ),
        (
            json!({"securityContext": {"runAsUser": -1}}),
            "securityContext.runAsUser",
            "between 0",
        ),
        (
            json!({"securityContext": {"procMount": "Unmasked"}}),
            "securityContext.procMount",
            "hostUsers",
        ),
        (
            json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
            "securityContext",
            "allowPrivilegeEscalation",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            "securityContext.seccompProfile.localhostProfile",
            "must be set",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "x"}}}),
            "securityContext.appArmorProfile.type",
            "RuntimeDefault",
        ),
    ];
    for (container, field, message) in cases {
        check(
            &json!({}),
            &container,
            &format!("spec.containers[0].{field}"),
            message,
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refuses_wrong_specs() {
    let init = |more: Value| {
        let mut container = json!({"name": "i", "image": "i"});
        container
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"initContainers": [container]})
    };
    let cases = [
        (json!({"containers": []}), "containers", "Required value"),
        (
            json!({"restartPolicy": "x"}),
            "restartPolicy",
            "\"Always\", \"OnFailure\", \"Never\"",
        ),
        (json!({"dnsPolicy": "x"}), "dnsPolicy", "ClusterFirst"),
        (
            json!({"dnsPolicy": "None"}),
            "dnsConfig",
            "must provide `dnsConfig`",
        ),
        (
            json!({"dnsConfig": {"nameservers": ["a"]}}),
            "dnsConfig.nameservers[0]",
            "valid IP",
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            "activeDeadlineSeconds",
            "between 1 and",
        ),
        (
            json!({"terminationGracePeriodSeconds": -1}),
            "terminationGracePeriodSeconds",
            "greater",
        ),
        (json!({"hostname": "A"}), "hostname", "RFC 1123 label"),
        (
            json!({"hostAliases": [{"ip": "x"}]}),
            "hostAliases[0].ip",
            "valid IP",
        ),
        (
            json!({"nodeSelector": {"a": "b c"}}),
            "nodeSelector[a]",
            "valid label",
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "x"}]}),
            "tolerations[0].operator",
            "Equal",
        ),
        (
            json!({"tolerations": [{"value": "a"}]}),
            "tolerations[0].operator",
            "Exists",
        ),
        (
            json!({"hostPID": true, "shareProcessNamespace": true}),
            "shareProcessNamespace",
            "HostPID",
        ),
        (
            json!({"hostUsers": false, "hostIPC": true}),
            "hostIPC",
            "hostUsers",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "A", "value": ""}]}}),
            "securityContext.sysctls[0].name",
            "253",
        ),
        (
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.a", "value": ""}]}}),
            "securityContext.sysctls[0].name",
            "hostNetwork",
        ),
        (
            json!({"securityContext": {"fsGroup": -1}}),
            "securityContext.fsGroup",
            "between 0",
        ),
        (
            init(json!({"name": "c"})),
            "initContainers[0].name",
            "Duplicate value: \"c\"",
        ),
        (
            init(json!({"readinessProbe": {"grpc": {"port": 1}}})),
            "initContainers[0].readinessProbe",
            "restartPolicy=Always",
        ),
        (
            json!({"volumes": [{"name": "A"}]}),
            "volumes[0].name",
            "RFC 1123",
        ),
        (
            json!({"volumes": [{"name": "a"}, {"name": "a"}]}),
            "volumes[1].name",
            "Duplicate",
        ),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]}),
            "volumes[0].hostPath",
            "more than 1 volume type",
        ),
        (
            json!({"volumes": [{"name": "a", "hostPath": {"path": "/a/../b"}}]}),
            "volumes[0].hostPath.path",
            "'..'",
        ),
        (
            json!({"volumes": [{"name": "a", "hostPath": {"path": "/a", "type": "x"}}]}),
            "volumes[0].hostPath.type",
            "Socket",
        ),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {"medium": "x"}}]}),
            "volumes[0].emptyDir.medium",
            "Memory",
        ),
        (
            json!({"volumes": [{"name": "a", "configMap": {"name": "m", "defaultMode": 4096}}]}),
            "volumes[0].configMap.defaultMode",
            "0777",
        ),
        (
            json!({"volumes": [{"name": "a", "downwardAPI": {"items": [{"path": "p"}]}}]}),
            "volumes[0].downwardAPI.items[0]",
            "fieldRef",
        ),
        (
            json!({"resources": {"requests": {"cpu": "1"}}, "containers": [
                {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}},
            ]}),
            "resources.requests[cpu]",
            "aggregate container requests of 2",
        ),
        (
            json!({"ephemeralContainers": [{"name": "d", "image": "i", "targetContainerName": "q"}]}),
            "ephemeralContainers[0].targetContainerName",
            "Not found",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}]}),
            "topologySpreadConstraints[0].maxSkew",
            "greater than 0",
        ),
        (json!({"os": {"name": "plan9"}}), "os.name", "linux"),
    ];
    for (spec, field, message) in cases {
        check(&spec, &json!({}), &format!("spec.{field}"), message);
    }
}

#[test]
fn refuses_wrong_metadata() {
    let mut pod = pod(&json!({}), &json!({}));
    pod.metadata.name = Some("Bad_Name".to_owned());
    pod.metadata.namespace = None;
    pod.metadata.labels = Some([("-a".to_owned(), "b".to_owned())].into());
    let errors = validate(&pod);
    let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        ["metadata.name", "metadata.namespace", "metadata.labels"]
    );
}
