//! Each reason with one pod that meets it, and who makes room for whom.

use std::collections::BTreeMap;

use keelson_api::core::Pod;
use keelson_api::quantity::Quantity;
use keelson_api::resources::Amounts;
use serde_json::{Value, json};

use super::{NodeFacts, Verdict, admit};

fn node() -> NodeFacts {
    let amounts = [
        ("cpu", "2"),
        ("memory", "2Gi"),
        ("ephemeral-storage", "10Gi"),
        ("pods", "4"),
    ];
    let allocatable: Amounts = amounts
        .iter()
        .map(|(name, amount)| ((*name).to_owned(), Quantity::parse(amount).unwrap()))
        .collect();
    NodeFacts {
        name: "n1".to_owned(),
        allocatable,
        labels: BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]),
        allowed_unsafe_sysctls: vec!["kernel.msg*".to_owned(), "net.core.somaxconn".to_owned()],
        ..NodeFacts::default()
    }
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut whole = json!({"containers": [{"name": "c"}]});
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "d"}, "spec": whole,
    }))
    .unwrap()
}

fn made_static(mut pod: Pod) -> Pod {
    let annotation = ("kubernetes.io/config.source".to_owned(), "file".to_owned());
    pod.metadata.annotations = Some([annotation].into());
    pod
}

fn asking(name: &str, requests: Value) -> Pod {
    pod(
        name,
        json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}),
    )
}

fn with_port(name: &str, port: Value) -> Pod {
    pod(
        name,
        json!({"containers": [{"name": "c", "ports": [port]}]}),
    )
}

fn reason(pod: &Pod, node: &NodeFacts, admitted: &[&Pod]) -> (String, String) {
    match admit(pod, node, admitted) {
        Verdict::Admit => ("Admit".to_owned(), String::new()),
        Verdict::Reject { reason, message } => (reason, message),
        other => (format!("{other:?}"), String::new()),
    }
}

#[test]
fn refuses_in_upstreams_words() {
    let small = asking("small", json!({"cpu": "1500m", "memory": "1Gi"}));
    let cases = [
        (asking("a", json!({"cpu": "500m"})), "Admit", ""),
        (
            asking("a", json!({"cpu": "600m"})),
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000",
        ),
        (
            asking("a", json!({"memory": "1500Mi"})),
            "OutOfmemory",
            "requested: 1572864000, used: 1073741824, capacity: 2147483648",
        ),
        (
            asking("a", json!({"ephemeral-storage": "11Gi"})),
            "OutOfephemeral-storage",
            "ephemeral-storage",
        ),
        (
            asking("a", json!({"x.io/gpu": "1"})),
            "OutOfx.io/gpu",
            "capacity: 0",
        ),
        (
            pod("a", json!({"os": {"name": "windows"}})),
            "PodOSNotSupported",
            "windows",
        ),
        (
            pod(
                "a",
                json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
            ),
            "PodOSSelectorNodeLabelDoesNotMatch",
            "label",
        ),
        (
            pod("a", json!({"nodeSelector": {"zone": "1"}})),
            "NodeAffinity",
            "selector",
        ),
        (
            pod(
                "a",
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}],
                }}}}),
            ),
            "NodeAffinity",
            "affinity",
        ),
        (
            pod(
                "a",
                json!({"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}),
            ),
            "AppArmor",
            "not enabled",
        ),
        (
            pod(
                "a",
                json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            ),
            "Admit",
            "",
        ),
    ];
    for (pod, expected, message) in cases {
        let (got, text) = reason(&pod, &node(), &[&small]);
        assert!(
            got == expected && text.contains(message),
            "expected {expected}, got {got}: {text}"
        );
    }
}

#[test]
fn heeds_the_number_of_pods() {
    let others: Vec<_> = (0..4).map(|i| pod(&format!("p{i}"), json!({}))).collect();
    let admitted: Vec<_> = others.iter().collect();
    let (got, message) = reason(&pod("a", json!({})), &node(), &admitted);
    assert_eq!(got, "OutOfpods");
    assert_eq!(
        message,
        "Node didn't have enough resource: pods, requested: 1, used: 4, capacity: 4"
    );
    assert_eq!(
        reason(&pod("a", json!({})), &node(), &admitted[..3]).0,
        "Admit"
    );
}

#[test]
fn heeds_host_ports_by_protocol_and_address() {
    let held = with_port(
        "held",
        json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}),
    );
    let cases = [
        (json!({"containerPort": 1, "hostPort": 80}), "NodePorts"),
        (
            json!({"containerPort": 1, "hostPort": 80, "hostIP": "0.0.0.0"}),
            "NodePorts",
        ),
        (
            json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}),
            "NodePorts",
        ),
        (
            json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.2"}),
            "Admit",
        ),
        (
            json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}),
            "Admit",
        ),
        (json!({"containerPort": 80}), "Admit"),
    ];
    for (port, expected) in cases {
        // A static pod is refused as well: no one can be ended for a port.
        let (got, message) = reason(
            &made_static(with_port("a", port.clone())),
            &node(),
            &[&held],
        );
        assert_eq!(got, expected, "{port}");
        assert!(
            expected == "Admit" || message.contains("TCP 80 is held by pod d/held"),
            "{message}"
        );
    }
}

#[test]
fn heeds_sysctls() {
    let with = |name: &str, more: Value| {
        let mut spec = json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        reason(&pod("a", spec), &node(), &[])
    };
    let cases = [
        ("net.ipv4.tcp_syncookies", json!({}), "Admit"),
        ("net/ipv4/tcp_syncookies", json!({}), "Admit"),
        ("kernel.msgmax", json!({}), "Admit"),
        ("net.core.somaxconn", json!({}), "Admit"),
        ("net.ipv4.ip_forward", json!({}), "SysctlForbidden"),
        ("vm.swappiness", json!({}), "SysctlForbidden"),
        (
            "net.ipv4.tcp_syncookies",
            json!({"hostNetwork": true}),
            "SysctlForbidden",
        ),
        ("kernel.msgmax", json!({"hostIPC": true}), "SysctlForbidden"),
    ];
    for (name, more, expected) in cases {
        let (got, message) = with(name, more);
        assert_eq!(got, expected, "{name}");
        let told = message.contains(&name.replace('/', "."));
        assert!(expected == "Admit" || told, "{message}");
    }
}

#[test]
fn heeds_taints_except_for_static_pods() {
    let taint = json!([{"key": "k", "value": "v", "effect": "NoExecute"}]);
    let node = NodeFacts {
        taints: serde_json::from_value(taint).unwrap(),
        ..node()
    };
    assert_eq!(
        reason(&pod("a", json!({})), &node, &[]).0,
        "TaintToleration"
    );
    assert_eq!(
        reason(&made_static(pod("a", json!({}))), &node, &[]).0,
        "Admit"
    );
    let tolerant = pod(
        "a",
        json!({"tolerations": [{"key": "k", "operator": "Exists"}]}),
    );
    assert_eq!(reason(&tolerant, &node, &[]).0, "Admit");
}

#[test]
fn waits_for_what_is_expected() {
    let node = NodeFacts {
        awaited: BTreeMap::from([(
            "x.io/gpu".to_owned(),
            "the device plugin of x.io".to_owned(),
        )]),
        ..node()
    };
    let verdict = admit(&asking("a", json!({"x.io/gpu": "1"})), &node, &[]);
    assert!(
        matches!(&verdict, Verdict::NotYet { message } if message.contains("device plugin")),
        "{verdict:?}"
    );
}

#[test]
fn ends_the_least_of_others_for_critical_pods() {
    let limited = |name: &str, cpu: &str| {
        let amounts = json!({"cpu": cpu, "memory": "100Mi"});
        pod(
            name,
            json!({"containers": [{"name": "c", "resources": {"requests": amounts, "limits": amounts}}]}),
        )
    };
    let (burst, big, guaranteed) = (
        asking("b", json!({"cpu": "500m"})),
        asking("big", json!({"cpu": "800m"})),
        limited("g", "700m"),
    );
    let critical = made_static(asking("s", json!({"cpu": "700m"})));
    let victims = |admitted: &[&Pod]| match admit(&critical, &node(), admitted) {
        Verdict::Preempt { victims } => victims,
        other => panic!("{other:?}"),
    };
    // 2000m in all: one of the burstable pods is enough, the guaranteed one stays.
    assert_eq!(victims(&[&guaranteed, &burst, &big]), [2]);
    assert_eq!(victims(&[&big, &guaranteed, &burst]), [0]);
    // Other static pods are never ended.
    let held = made_static(asking("h", json!({"cpu": "2"})));
    let (reason, message) = reason(&critical, &node(), &[&held]);
    assert_eq!(reason, "UnexpectedAdmissionError");
    assert!(
        message.contains("cpu, requested: 700, used: 2000, capacity: 2000"),
        "{message}"
    );
}

#[test]
fn ends_by_number_where_there_are_too_many_pods() {
    let others: Vec<_> = (0..4)
        .map(|i| asking(&format!("p{i}"), json!({"cpu": "100m"})))
        .collect();
    let best_effort = pod("be", json!({}));
    let admitted: Vec<_> = others.iter().take(3).chain([&best_effort]).collect();
    let verdict = admit(&made_static(pod("s", json!({}))), &node(), &admitted);
    assert_eq!(verdict, Verdict::Preempt { victims: vec![3] });
}
