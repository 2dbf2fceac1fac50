//! Objects as they come over the wire.

use serde_json::{Value, json};

use crate::intern::Word;
use crate::model::pod::{Otherwise, VolumeRef};
use crate::model::{Effect, Kind, Node, Pod};

fn pod(spec: Value) -> Pod {
    let object = json!({
        "metadata": {"namespace": "ns", "name": "p", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "1970-01-01T00:01:00Z", "labels": {"app": "a"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "rs", "controller": true}]},
        "spec": spec,
        "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "m"}]},
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_pod_is_decoded() {
    let pod = pod(json!({
        "schedulerName": "default-scheduler", "priority": 5,
        "containers": [
            {"name": "a", "image": "reg:5000/x", "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}},
             "ports": [{"containerPort": 80, "hostPort": 80}]},
            {"name": "b", "image": "y:1"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}}, {"name": "x", "emptyDir": {}}],
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "a"}}}],
        "schedulingGates": [{"name": "g"}],
    }));
    let class = &pod.class;
    assert_eq!((pod.created, pod.node.as_ref()), (60, None));
    assert_eq!(pod.refused.as_deref(), Some("m"));
    assert_eq!((class.requests.cpu, class.requests.memory), (1500, 1 << 30));
    assert_eq!(class.scored, (1600, (1 << 30) + 200 * 1024 * 1024));
    assert_eq!(
        class.images,
        [Word::of("reg:5000/x:latest"), Word::of("y:1")]
    );
    assert_eq!(class.ports[0].protocol, Word::of("TCP"));
    let volumes = [
        VolumeRef::Claim("c".into()),
        VolumeRef::Ephemeral("e".into()),
    ];
    assert_eq!(class.volumes, volumes);
    assert_eq!(class.tolerations[0].effect, Some(Effect::NoExecute));
    assert_eq!(class.spread[0].otherwise, Otherwise::Wait);
    assert!(class.spread[0].selector.matches(&class.labels) && class.spread[0].honour_affinity);
    assert_eq!(class.owner, Some(("ReplicaSet".into(), "rs".into())));
    assert_eq!(class.gates, [Word::of("g")]);
}

#[test]
fn requests_are_those_of_the_worst_moment() {
    let check = |spec: Value, cpu| assert_eq!(pod(spec.clone()).class.requests.cpu, cpu, "{spec}");
    let container = |cpu: &str| json!({"name": cpu, "resources": {"requests": {"cpu": cpu}}});
    let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}});
    check(
        json!({"containers": [container("100m"), container("200m")]}),
        300,
    );
    check(
        json!({"containers": [container("100m")], "initContainers": [container("1")]}),
        1000,
    );
    check(
        json!({"containers": [container("100m")], "initContainers": [sidecar, container("1")]}),
        1050,
    );
    check(
        json!({"containers": [container("100m")], "overhead": {"cpu": "10m"},
            "resources": {"requests": {"cpu": "2"}}}),
        2010,
    );
}

#[test]
fn affinity_is_decoded() {
    let pod = pod(json!({"containers": [], "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference":
                {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]},
        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": {}}]},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 9, "podAffinityTerm": {"topologyKey": "host", "matchLabelKeys": ["app"],
                "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}}}]},
    }}));
    let class = &pod.class;
    let terms = class.node_required.as_ref().unwrap();
    assert!(
        terms[0].matches(&"n".into(), &class.labels)
            && !terms[0].matches(&"m".into(), &class.labels)
    );
    assert_eq!(class.node_preferred[0].0, 3);
    assert!(class.near[0].namespaces.is_empty() && class.near[0].means(&pod, |_| None));
    let (weight, apart) = &class.apart_preferred[0];
    assert_eq!(
        (*weight, apart.namespaces.as_slice()),
        (9, &[Word::of("ns")][..])
    );
    assert!(apart.means(&pod, |_| None));
}

#[test]
fn a_node_is_decoded() {
    let object = json!({
        "metadata": {"name": "n", "resourceVersion": "3", "labels": {"topology.kubernetes.io/zone": "z"}},
        "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110", "example.com/gpu": "1"},
            "images": [{"names": ["a:1", "a@sha256:x"], "sizeBytes": 7}]},
    });
    let node: Node = serde_json::from_value(object).unwrap();
    assert_eq!((node.allocatable.cpu, node.pods), (2000, 110));
    assert_eq!(node.allocatable.amount(&Kind::of("example.com/gpu")), 1);
    assert_eq!(node.images, [("a:1".into(), 7), ("a@sha256:x".into(), 7)]);
    assert_eq!(node.zone().1, Some(&Word::of("z")));
    assert!(node.unschedulable && node.taints.len() == 1);
}
