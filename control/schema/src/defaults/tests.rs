//! Objects as they come, and what is filled in.

use serde_json::{Value, json};

use crate::decode::conform;
use crate::resource_table::{builtin, by_kind};
use crate::schema::Schema;

/// Fills in an object and answers the value at each pointer.
fn check(group: &str, version: &str, kind: &str, mut object: Value, expected: &[(&str, Value)]) {
    let row = by_kind(group, version, kind).unwrap();
    (row.strategy.defaults)(&mut object);
    for (pointer, value) in expected {
        assert_eq!(
            object.pointer(pointer).unwrap_or(&Value::Null),
            value,
            "{kind} {pointer}"
        );
    }
    let once = object.clone();
    (row.strategy.defaults)(&mut object);
    assert_eq!(object, once, "{kind}: filling in twice changes nothing");
    let schema = Schema::builtin();
    let findings = conform(schema, schema.named(&row.type_name).unwrap(), &mut object);
    assert_eq!(findings, Ok(vec![]), "{kind}: defaults fit the type");
}

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
}

#[test]
fn workloads() {
    check(
        "apps",
        "v1",
        "Deployment",
        json!({"spec": {"template": template()}}),
        &[
            ("/spec/replicas", json!(1)),
            (
                "/spec/strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {
            "maxSurge": "25%", "maxUnavailable": "25%"}}),
            ),
            ("/spec/revisionHistoryLimit", json!(10)),
            ("/spec/progressDeadlineSeconds", json!(600)),
            ("/spec/template/spec/restartPolicy", json!("Always")),
            ("/spec/template/spec/containers/0/resources", json!({})),
        ],
    );
    check(
        "apps",
        "v1",
        "Deployment",
        json!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}, "template": template()}}),
        &[
            ("/spec/replicas", json!(0)),
            ("/spec/strategy", json!({"type": "Recreate"})),
        ],
    );
    check(
        "apps",
        "v1",
        "DaemonSet",
        json!({"spec": {"template": template()}}),
        &[(
            "/spec/updateStrategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}),
        )],
    );
    check(
        "apps",
        "v1",
        "StatefulSet",
        json!({"spec": {"template": template(), "volumeClaimTemplates": [{"spec": {}}]}}),
        &[
            ("/spec/podManagementPolicy", json!("OrderedReady")),
            ("/spec/updateStrategy/rollingUpdate/partition", json!(0)),
            (
                "/spec/persistentVolumeClaimRetentionPolicy/whenScaled",
                json!("Retain"),
            ),
            (
                "/spec/volumeClaimTemplates/0/spec/volumeMode",
                json!("Filesystem"),
            ),
            (
                "/spec/volumeClaimTemplates/0/kind",
                json!("PersistentVolumeClaim"),
            ),
        ],
    );
    check(
        "apps",
        "v1",
        "ReplicaSet",
        json!({"spec": {}}),
        &[("/spec/replicas", json!(1))],
    );
}

#[test]
fn jobs() {
    check(
        "batch",
        "v1",
        "Job",
        json!({"metadata": {}, "spec": {"template": template()}}),
        &[
            ("/spec/completions", json!(1)),
            ("/spec/parallelism", json!(1)),
            ("/spec/backoffLimit", json!(6)),
            ("/spec/completionMode", json!("NonIndexed")),
            ("/spec/podReplacementPolicy", json!("TerminatingOrFailed")),
            ("/metadata/labels", json!({"a": "b"})),
        ],
    );
    check(
        "batch",
        "v1",
        "Job",
        json!({"spec": {"parallelism": 3, "backoffLimitPerIndex": 1}}),
        &[
            ("/spec/completions", Value::Null),
            ("/spec/parallelism", json!(3)),
            ("/spec/backoffLimit", json!(i32::MAX)),
        ],
    );
    check(
        "batch",
        "v1",
        "CronJob",
        json!({"spec": {"jobTemplate": {"spec": {"template": template()}}}}),
        &[
            ("/spec/concurrencyPolicy", json!("Allow")),
            ("/spec/successfulJobsHistoryLimit", json!(3)),
            ("/spec/failedJobsHistoryLimit", json!(1)),
            (
                "/spec/jobTemplate/spec/template/spec/dnsPolicy",
                json!("ClusterFirst"),
            ),
        ],
    );
}

#[test]
fn services() {
    let ports = json!([{"port": 80}, {"port": 81, "targetPort": "web", "protocol": "UDP"}]);
    check(
        "",
        "v1",
        "Service",
        json!({"spec": {"ports": ports}}),
        &[
            ("/spec/type", json!("ClusterIP")),
            ("/spec/sessionAffinity", json!("None")),
            (
                "/spec/ports/0",
                json!({"port": 80, "targetPort": 80, "protocol": "TCP"}),
            ),
            ("/spec/ports/1/targetPort", json!("web")),
            ("/spec/internalTrafficPolicy", json!("Cluster")),
            ("/spec/externalTrafficPolicy", Value::Null),
        ],
    );
    check(
        "",
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}}),
        &[
            ("/spec/allocateLoadBalancerNodePorts", json!(true)),
            ("/spec/externalTrafficPolicy", json!("Cluster")),
            (
                "/spec/sessionAffinityConfig/clientIP/timeoutSeconds",
                json!(10_800),
            ),
        ],
    );
    check(
        "",
        "v1",
        "Service",
        json!({"spec": {"type": "ExternalName"}}),
        &[("/spec/internalTrafficPolicy", Value::Null)],
    );
}

#[test]
fn the_core_group() {
    check(
        "",
        "v1",
        "Pod",
        json!({"spec": {"containers": [{"name": "a", "image": "x:1"}]}}),
        &[
            ("/spec/terminationGracePeriodSeconds", json!(30)),
            ("/spec/containers/0/imagePullPolicy", json!("IfNotPresent")),
            ("/spec/schedulerName", json!("default-scheduler")),
        ],
    );
    check(
        "",
        "v1",
        "Namespace",
        json!({"metadata": {"name": "a"}}),
        &[
            ("/spec/finalizers", json!(["kubernetes"])),
            (
                "/metadata/labels",
                json!({"kubernetes.io/metadata.name": "a"}),
            ),
            ("/status/phase", json!("Active")),
        ],
    );
    check(
        "",
        "v1",
        "Node",
        json!({"status": {"capacity": {"cpu": "2", "pods": "9"}, "allocatable": {"pods": "8"}}}),
        &[("/status/allocatable", json!({"cpu": "2", "pods": "8"}))],
    );
    check("", "v1", "Secret", json!({}), &[("/type", json!("Opaque"))]);
    check(
        "",
        "v1",
        "PersistentVolume",
        json!({"spec": {"hostPath": {"path": "/a"}}}),
        &[
            ("/spec/persistentVolumeReclaimPolicy", json!("Retain")),
            ("/spec/hostPath/type", json!("")),
            ("/spec/rbd", Value::Null),
        ],
    );
    check(
        "",
        "v1",
        "LimitRange",
        json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}, {"type": "Pod", "max": {"cpu": "2"}},
        ]}}),
        &[
            ("/spec/limits/0/default", json!({"cpu": "2"})),
            (
                "/spec/limits/0/defaultRequest",
                json!({"cpu": "2", "memory": "1Mi"}),
            ),
            ("/spec/limits/1/default", Value::Null),
        ],
    );
    check(
        "",
        "v1",
        "ReplicationController",
        json!({"metadata": {}, "spec": {"template": template()}}),
        &[
            ("/spec/selector", json!({"a": "b"})),
            ("/metadata/labels", json!({"a": "b"})),
        ],
    );
}

#[test]
fn plain_text_of_secrets_becomes_data() {
    check(
        "",
        "v1",
        "Secret",
        json!({"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "eA=="}}),
        &[
            ("/data", json!({"a": "Yg==", "c": "eA=="})),
            ("/stringData", Value::Null),
        ],
    );
}

#[test]
fn the_rest() {
    check(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        json!({"spec": {"behavior": {}}}),
        &[
            ("/spec/minReplicas", json!(1)),
            (
                "/spec/metrics/0/resource/target/averageUtilization",
                json!(80),
            ),
            ("/spec/behavior/scaleUp/policies/0/value", json!(4)),
            ("/spec/behavior/scaleDown/selectPolicy", json!("Max")),
        ],
    );
    check(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        json!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}),
        &[
            ("/spec/policyTypes", json!(["Ingress", "Egress"])),
            ("/spec/egress/0/ports/0/protocol", json!("TCP")),
        ],
    );
    check(
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        json!({"roleRef": {}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}),
        &[
            ("/roleRef/apiGroup", json!("rbac.authorization.k8s.io")),
            ("/subjects/0/apiGroup", json!("rbac.authorization.k8s.io")),
            ("/subjects/1/apiGroup", Value::Null),
        ],
    );
    check(
        "storage.k8s.io",
        "v1",
        "CSIDriver",
        json!({"spec": {}}),
        &[
            ("/spec/attachRequired", json!(true)),
            ("/spec/volumeLifecycleModes", json!(["Persistent"])),
        ],
    );
    check(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        json!({"spec": {
        "names": {"kind": "Widget"}, "versions": [{"name": "v1", "storage": true}]}}),
        &[
            (
                "/spec/names",
                json!({"kind": "Widget", "singular": "widget", "listKind": "WidgetList"}),
            ),
            ("/spec/conversion/strategy", json!("None")),
            ("/status/storedVersions", json!(["v1"])),
        ],
    );
    check(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        json!({"webhooks": [{"clientConfig": {"service": {}}}]}),
        &[
            ("/webhooks/0/timeoutSeconds", json!(10)),
            ("/webhooks/0/reinvocationPolicy", json!("Never")),
            ("/webhooks/0/clientConfig/service/port", json!(443)),
        ],
    );
    check(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        json!({"value": 1}),
        &[("/preemptionPolicy", json!("PreemptLowerPriority"))],
    );
}

#[test]
fn anything_can_be_filled_in_without_a_panic() {
    for row in builtin() {
        for object in [
            json!({}),
            json!([]),
            json!({"spec": 1}),
            json!({"spec": [], "metadata": null, "status": ""}),
            json!({"webhooks": {}, "ports": 3, "spec": {"template": {"spec": 3}, "ports": {}, "limits": [1]}}),
        ] {
            let mut object = object;
            (row.strategy.defaults)(&mut object);
        }
    }
}
