//! What is said about statuses.

use serde_json::json;

use super::*;

#[test]
fn statuses_of_workloads() {
    let replicas = "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas";
    let collided = json!({"status": {"collisionCount": 3}});
    statuses(
        "apps/v1/deployments",
        &collided,
        &[
            (
                json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1, "collisionCount": 3}),
                "",
            ),
            (
                json!({"replicas": 1, "readyReplicas": 2, "collisionCount": 3}),
                replicas,
            ),
            (
                json!({"replicas": 2, "readyReplicas": 1, "availableReplicas": 2, "collisionCount": 4}),
                "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
            ),
            (
                json!({"collisionCount": 2}),
                "status.collisionCount: Invalid value: 2: cannot be decremented",
            ),
            (
                json!({"replicas": -1, "collisionCount": 3}),
                "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
        ],
    );
    for path in [
        "apps/v1/replicasets",
        "apps/v1/statefulsets",
        "v1/replicationcontrollers",
    ] {
        statuses(
            path,
            &json!({}),
            &[
                (json!({"replicas": 2, "readyReplicas": 2}), ""),
                (json!({"replicas": 1, "readyReplicas": 2}), replicas),
            ],
        );
    }
    let negative = [
        (
            json!({"numberReady": -1}),
            "status.numberReady: Invalid value: -1",
        ),
        (json!({"numberReady": 1}), ""),
    ];
    statuses("apps/v1/daemonsets", &json!({}), &negative);
    statuses(
        "batch/v1/jobs",
        &json!({}),
        &[(json!({"active": -1}), "status.active: Invalid value: -1")],
    );
    statuses(
        "policy/v1/poddisruptionbudgets",
        &json!({}),
        &[
            (
                json!({"currentHealthy": -1}),
                "status.currentHealthy: Invalid value: -1",
            ),
            (json!({"expectedPods": 3}), ""),
        ],
    );
    statuses(
        "autoscaling/v2/horizontalpodautoscalers",
        &json!({}),
        &[(
            json!({"desiredReplicas": -1}),
            "status.desiredReplicas: Invalid value: -1",
        )],
    );
}

#[test]
fn statuses_of_pods() {
    let ended = json!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "a"}, {"name": "b"}]},
        "status": {"qosClass": "Burstable", "containerStatuses": [
            {"name": "a", "state": {"terminated": {"exitCode": 0}}},
            {"name": "b", "state": {"terminated": {"exitCode": 1}}}]}});
    let state = |a: Value, b: Value| json!({"qosClass": "Burstable", "containerStatuses": [{"name": "a", "state": a}, {"name": "b", "state": b}]});
    let over = json!({"terminated": {"exitCode": 0}});
    statuses(
        "v1/pods",
        &ended,
        &[
            (state(over.clone(), json!({"running": {}})), ""),
            (
                state(json!({"running": {}}), over.clone()),
                "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
            ),
            (
                json!({"qosClass": "Guaranteed"}),
                "status.qosClass: Invalid value: \"Guaranteed\": field is immutable",
            ),
        ],
    );
    statuses(
        "v1/pods",
        &json!({}),
        &[
            (
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "hostIPs": [{"ip": "10.0.0.2"}]}),
                "",
            ),
            (
                json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
                "status.podIPs: Invalid value: ",
            ),
            (
                json!({"podIPs": [{"ip": "no"}]}),
                "status.podIPs[0]: Invalid value: \"no\"",
            ),
            (
                json!({"hostIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}),
                "status.hostIPs[1]: Duplicate value: ",
            ),
            (
                json!({"nominatedNodeName": "A b"}),
                "status.nominatedNodeName: Invalid value: \"A b\"",
            ),
            (
                json!({"conditions": [{"type": "/x"}]}),
                "status.conditions[0].type: Invalid value: ",
            ),
        ],
    );
}

#[test]
fn statuses_of_services_nodes_and_namespaces() {
    let balanced = json!({"spec": {"type": "LoadBalancer"}});
    let point = |point: Value| json!({"loadBalancer": {"ingress": [point]}});
    statuses(
        "v1/services",
        &balanced,
        &[
            (point(json!({"ip": "10.0.0.1", "ipMode": "VIP"})), ""),
            (
                point(json!({"ip": "10.0.0"})),
                "status.loadBalancer.ingress[0].ip: Invalid value: ",
            ),
            (
                point(json!({"hostname": "10.0.0.1"})),
                "status.loadBalancer.ingress[0].hostname: Invalid value: \"10.0.0.1\": must be a DNS name",
            ),
            (
                point(json!({"hostname": "a.b", "ipMode": "VIP"})),
                "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified",
            ),
        ],
    );
    statuses(
        "v1/services",
        &json!({"spec": {"type": "ClusterIP"}}),
        &[(
            point(json!({"ip": "10.0.0.1"})),
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is LoadBalancer",
        )],
    );
    statuses(
        "networking.k8s.io/v1/ingresses",
        &json!({}),
        &[(
            point(json!({"hostname": "_"})),
            "status.loadBalancer.ingress[0].hostname: Invalid value: ",
        )],
    );
    let address = json!({"type": "InternalIP", "address": "10.0.0.1"});
    statuses(
        "v1/nodes",
        &json!({}),
        &[
            (json!({"addresses": [address]}), ""),
            (
                json!({"addresses": [address, address]}),
                "status.addresses[1]: Duplicate value: ",
            ),
        ],
    );
    statuses(
        "v1/namespaces",
        &json!({}),
        &[
            (json!({"phase": "Active"}), ""),
            (
                json!({"phase": "Terminating"}),
                "status.Phase: Invalid value: \"Terminating\": may only be 'Active'",
            ),
        ],
    );
    let going = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    statuses(
        "v1/namespaces",
        &going,
        &[
            (json!({"phase": "Terminating"}), ""),
            (
                json!({"phase": "Active"}),
                "status.Phase: Invalid value: \"Active\": may only be 'Terminating'",
            ),
        ],
    );
}
