//! What the cells of a table say for objects of each kind.

use serde_json::{Value, json};

use crate::resource_table::{builtin, by_kind};

/// The cells of an object, by heading.
fn check(group: &str, kind: &str, mut object: Value, expected: &[(&str, Value)]) {
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let row = by_kind(group, "v1", kind).unwrap();
    for (name, value) in expected {
        let column = row.columns.iter().find(|c| c.name == *name).unwrap();
        assert_eq!(column.cell(&object, now), *value, "{kind} {name}");
    }
}

fn pod(status: Value) -> Value {
    json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]},
        "status": status,
    })
}

#[test]
fn pods() {
    let running = |name: &str| json!({"name": name, "ready": true, "restartCount": 0, "state": {"running": {}}});
    let init_done = json!([{"name": "i", "state": {"terminated": {"exitCode": 0}}, "restartCount": 1},
        {"name": "s", "started": true, "ready": true, "state": {"running": {}}, "restartCount": 0}]);
    check(
        "",
        "Pod",
        pod(json!({"phase": "Pending"})),
        &[
            ("Ready", json!("0/3")),
            ("Status", json!("Pending")),
            ("Restarts", json!("0")),
            ("Age", json!("60m")),
            ("IP", json!("<none>")),
        ],
    );
    check(
        "",
        "Pod",
        pod(
            json!({"phase": "Running", "initContainerStatuses": init_done,
        "containerStatuses": [running("a"), running("b")], "podIP": "10.0.0.1"}),
        ),
        &[
            ("Ready", json!("3/3")),
            ("Status", json!("Running")),
            ("Restarts", json!("0")),
            ("IP", json!("10.0.0.1")),
        ],
    );
    let crashed = json!({"name": "b", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:58:30Z"}}});
    check(
        "",
        "Pod",
        pod(json!({"phase": "Running", "containerStatuses": [running("a"), crashed]})),
        &[
            ("Ready", json!("1/3")),
            ("Status", json!("CrashLoopBackOff")),
            ("Restarts", json!("4 (90s ago)")),
        ],
    );
}

#[test]
fn pods_on_their_way_in_and_out() {
    let init = |state: Value| {
        pod(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": state}]}))
    };
    for (state, status) in [
        (json!({"running": {}}), "Init:0/2"),
        (
            json!({"waiting": {"reason": "PodInitializing"}}),
            "Init:0/2",
        ),
        (
            json!({"waiting": {"reason": "ErrImagePull"}}),
            "Init:ErrImagePull",
        ),
        (json!({"terminated": {"exitCode": 3}}), "Init:ExitCode:3"),
        (
            json!({"terminated": {"exitCode": 3, "reason": "Error"}}),
            "Init:Error",
        ),
        (
            json!({"terminated": {"exitCode": 137, "signal": 9}}),
            "Init:Signal:9",
        ),
    ] {
        check("", "Pod", init(state), &[("Status", json!(status))]);
    }
    let done =
        json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
    check(
        "",
        "Pod",
        pod(json!({"phase": "Succeeded", "containerStatuses": [done]})),
        &[("Status", json!("Completed"))],
    );
    let mut going = pod(json!({"phase": "Running"}));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check("", "Pod", going, &[("Status", json!("Terminating"))]);
    check(
        "",
        "Pod",
        pod(json!({"phase": "Failed", "reason": "Evicted"})),
        &[("Status", json!("Evicted"))],
    );
}

#[test]
fn nodes_and_namespaces() {
    check(
        "",
        "Node",
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}},
        }),
        &[
            ("Status", json!("Ready,SchedulingDisabled")),
            ("Roles", json!("control-plane,worker")),
            ("Version", json!("v1.36.0")),
            ("Internal-IP", json!("10.1.1.1")),
            ("External-IP", json!("<none>")),
        ],
    );
    check(
        "",
        "Node",
        json!({}),
        &[("Status", json!("Unknown")), ("Roles", json!("<none>"))],
    );
    check(
        "",
        "Namespace",
        json!({"status": {"phase": "Active"}}),
        &[("Status", json!("Active"))],
    );
}

#[test]
fn services() {
    let service = |spec: Value| json!({"spec": spec});
    check(
        "",
        "Service",
        service(
            json!({"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
        ),
        &[
            ("Cluster-IP", json!("10.0.0.1")),
            ("External-IP", json!("<none>")),
            ("Port(s)", json!("80:30080/TCP,53/UDP")),
            ("Selector", json!("a=b")),
        ],
    );
    check(
        "",
        "Service",
        service(json!({"type": "LoadBalancer"})),
        &[("External-IP", json!("<pending>"))],
    );
    check(
        "",
        "Service",
        service(json!({"type": "ExternalName", "externalName": "x.y"})),
        &[
            ("External-IP", json!("x.y")),
            ("Cluster-IP", json!("<none>")),
        ],
    );
    check(
        "",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}],
        "ports": [{"port": 1}, {"port": 2}]}]}),
        &[(
            "Endpoints",
            json!("1.1.1.1:1,1.1.1.1:2,[::1]:1 + 1 more..."),
        )],
    );
}

#[test]
fn workloads() {
    let spec = json!({"replicas": 3, "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "k", "operator": "In", "values": ["x", "y"]}]},
        "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}}});
    check(
        "apps",
        "Deployment",
        json!({"spec": spec, "status": {"readyReplicas": 2, "updatedReplicas": 3}}),
        &[
            ("Ready", json!("2/3")),
            ("Up-to-date", json!(3)),
            ("Available", json!(0)),
            ("Containers", json!("c,d")),
            ("Images", json!("i:1,j")),
            ("Selector", json!("a=b,k in (x,y)")),
        ],
    );
    check(
        "batch",
        "Job",
        json!({"spec": {"completions": 2}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:59:00Z"}}),
        &[
            ("Status", json!("Running")),
            ("Completions", json!("1/2")),
            ("Duration", json!("60s")),
        ],
    );
    check(
        "batch",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "suspend": false}, "status": {"active": [{}]}}),
        &[
            ("Schedule", json!("* * * * *")),
            ("Timezone", json!("<none>")),
            ("Suspend", json!("False")),
            ("Active", json!(1)),
            ("Last Schedule", json!("<none>")),
        ],
    );
    check(
        "autoscaling",
        "HorizontalPodAutoscaler",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "maxReplicas": 5, "targetCPUUtilizationPercentage": 50}}),
        &[
            ("Reference", json!("Deployment/d")),
            ("Targets", json!("cpu: <unknown>/50%")),
        ],
    );
}

#[test]
fn storage_and_the_rest() {
    check(
        "",
        "PersistentVolumeClaim",
        json!({"spec": {"volumeName": "v", "volumeMode": "Filesystem"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}),
        &[
            ("Status", json!("Bound")),
            ("Capacity", json!("1Gi")),
            ("Access Modes", json!("RWO,RWX")),
            ("VolumeAttributesClass", json!("<unset>")),
        ],
    );
    check(
        "storage.k8s.io",
        "StorageClass",
        json!({"metadata": {"name": "s", "annotations": {
        "storageclass.kubernetes.io/is-default-class": "true"}}}),
        &[
            ("Name", json!("s (default)")),
            ("ReclaimPolicy", json!("Delete")),
        ],
    );
    check(
        "",
        "Event",
        json!({"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "Started",
        "message": " m\n", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 3}),
        &[
            ("Last Seen", json!("60s")),
            ("Object", json!("pod/p")),
            ("Message", json!("m")),
            ("Count", json!("3")),
        ],
    );
    check(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        json!({"status": {"certificate": "x",
        "conditions": [{"type": "Approved"}]}}),
        &[("Condition", json!("Approved,Issued"))],
    );
    check(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "s"}, {"kind": "User", "name": "u"}]}),
        &[
            ("Role", json!("Role/r")),
            ("ServiceAccounts", json!("n/s")),
            ("Users", json!("u")),
        ],
    );
}

#[test]
fn any_object_can_be_shown() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let odd = [
        json!({}),
        json!([]),
        json!({"spec": [1], "status": 3, "metadata": {"labels": []}}),
        json!({"status": {"conditions": {}, "containerStatuses": [3]}, "spec": {"metrics": [{}], "ports": [null]}}),
    ];
    for row in builtin() {
        assert!(!row.columns.is_empty());
        for object in &odd {
            for column in row.columns.iter() {
                let _ = column.cell(object, now);
            }
        }
    }
}
