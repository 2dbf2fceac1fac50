//! Each default once, and that nothing which is set is touched.

use serde_json::{Value, json};

use super::apply;
use crate::core::Pod;

/// The spec after defaulting, as JSON.
fn defaulted(spec: &Value) -> Value {
    let mut pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec,
    }))
    .unwrap();
    apply(&mut pod);
    let once = pod.clone();
    apply(&mut pod);
    assert_eq!(once, pod, "defaulting twice changed the pod");
    serde_json::to_value(pod).unwrap()["spec"].take()
}

fn container(fields: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i:1"});
    let object = container.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    defaulted(&json!({"containers": [container]}))["containers"][0].take()
}

#[test]
fn fills_a_minimal_spec() {
    let expected = json!({
        "containers": [{
            "name": "c", "image": "i", "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "enableServiceLinks": true,
        "schedulerName": "default-scheduler", "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    });
    assert_eq!(
        defaulted(&json!({"containers": [{"name": "c", "image": "i"}]})),
        expected
    );
}

#[test]
fn keeps_what_is_said() {
    let said = json!({
        "containers": [{
            "name": "c", "image": "i", "imagePullPolicy": "Never",
            "terminationMessagePath": "/x", "terminationMessagePolicy": "FallbackToLogsOnError",
        }],
        "dnsPolicy": "None", "restartPolicy": "Never", "enableServiceLinks": false,
        "schedulerName": "mine", "securityContext": {"runAsUser": 0},
        "terminationGracePeriodSeconds": 0,
    });
    assert_eq!(defaulted(&said), said);
}

#[test]
fn fills_probes_and_hooks() {
    let got = container(json!({
        "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0, "periodSeconds": 3},
        "readinessProbe": {"grpc": {"port": 1}},
        "lifecycle": {"preStop": {"httpGet": {"port": "web", "path": ""}}},
    }));
    let expected = json!({
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 3, "successThreshold": 1, "failureThreshold": 3,
    });
    assert_eq!(got["livenessProbe"], expected);
    assert_eq!(
        got["readinessProbe"]["grpc"],
        json!({"port": 1, "service": ""})
    );
    let hook = json!({"port": "web", "path": "/", "scheme": "HTTP"});
    assert_eq!(got["lifecycle"]["preStop"]["httpGet"], hook);
}

#[test]
fn fills_requests_from_limits_in_canonical_form() {
    let got = container(json!({"resources": {
        "limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": "0.0001"},
    }}));
    let expected = json!({
        "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m", "memory": "1Gi"},
    });
    assert_eq!(got["resources"], expected);
}

#[test]
fn fills_pod_level_requests() {
    let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "250m"}}});
    let got = defaulted(&json!({
        "containers": [container.clone(), container],
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
    }));
    let requests = json!({"cpu": "500m", "memory": "1Gi"});
    assert_eq!(got["resources"]["requests"], requests);
}

#[test]
fn gives_host_network_ports_to_the_host() {
    let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]);
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "ports": ports}]});
    let expected = json!([
        {"containerPort": 80, "hostPort": 80, "protocol": "TCP"},
        {"containerPort": 81, "hostPort": 81, "protocol": "TCP"},
    ]);
    assert_eq!(defaulted(&spec)["containers"][0]["ports"], expected);
}

#[test]
fn fills_volumes() {
    let cases = [
        (json!({}), "emptyDir", json!({})),
        (
            json!({"hostPath": {"path": "/x"}}),
            "hostPath",
            json!({"path": "/x", "type": ""}),
        ),
        (
            json!({"configMap": {"name": "m"}}),
            "configMap",
            json!({"name": "m", "defaultMode": 420}),
        ),
        (
            json!({"projected": {"sources": [
                {"serviceAccountToken": {"path": "t"}},
                {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            ]}}),
            "projected",
            json!({"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                {"downwardAPI": {"items": [
                    {"path": "n", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
                ]}},
            ]}),
        ),
        (
            json!({"image": {"reference": "a"}}),
            "image",
            json!({"reference": "a", "pullPolicy": "Always"}),
        ),
    ];
    for (source, name, expected) in cases {
        let mut volume = json!({"name": "v"});
        volume
            .as_object_mut()
            .unwrap()
            .extend(source.as_object().unwrap().clone());
        let got = defaulted(&json!({"containers": [], "volumes": [volume]}));
        assert_eq!(got["volumes"][0][name], expected);
    }
}

#[test]
fn mirrors_the_deprecated_service_account() {
    let got = defaulted(&json!({"containers": [], "serviceAccount": "a"}));
    assert_eq!(
        (&got["serviceAccountName"], &got["serviceAccount"]),
        (&json!("a"), &json!("a"))
    );
}
