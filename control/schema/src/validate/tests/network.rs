//! What is said about services, their addresses, ingresses and policies.

use serde_json::json;

use super::*;

#[test]
fn services() {
    case("v1/services", r#"{"spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"name": "a", "port": 80}]}}"#)
        .check(&[
            ("/spec/ports", json!([]), "spec.ports: Required value"),
            ("/spec/ports/0/port", json!(0), "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
            ("/spec/ports", json!([{"port": 1}, {"name": "b", "port": 2}]), "spec.ports[0].name: Required value"),
            ("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]), "spec.ports[1].name: Duplicate value: \"a\""),
            ("/spec/ports", json!([{"name": "a", "port": 1}, {"name": "b", "port": 1}]), "spec.ports[1]: Duplicate value"),
            ("/spec/ports/0/nodePort", json!(30_000), "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
            ("/spec/type", json!("x"), "spec.type: Unsupported value: \"x\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""),
            ("/spec/sessionAffinity", json!("x"), "spec.sessionAffinity: Unsupported value: \"x\""),
            ("/spec/externalTrafficPolicy", json!("Local"), "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"),
            ("/spec/externalIPs", json!(["127.0.0.1"]), "spec.externalIPs[0]: Invalid value: \"127.0.0.1\""),
            ("/spec/clusterIPs", json!(["10.0.0.2"]), "spec.clusterIPs: Invalid value: [\"10.0.0.2\"]: first value must match `clusterIP`"),
        ])
        .change(&[
            ("/spec/clusterIP", json!("10.0.0.2"), "spec.clusterIP: Invalid value: \"10.0.0.2\": field is immutable"),
            ("/spec/selector", json!({"a": "b"}), ""),
        ]);
    case(
        "v1/services",
        r#"{"spec": {"type": "ExternalName", "externalName": "a.b"}}"#,
    )
    .check(&[
        (
            "/spec/externalName",
            json!(""),
            "spec.externalName: Required value",
        ),
        (
            "/spec/clusterIP",
            json!("10.0.0.1"),
            "spec.clusterIP: Forbidden: may not be set for ExternalName services",
        ),
    ]);
    case("v1/endpoints", r#"{"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}"#).check(&[
        ("/subsets/0/addresses", json!([]), "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
        ("/subsets/0/addresses", json!([{"ip": "127.0.0.1"}]), "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range"),
        ("/subsets/0/addresses", json!([{"ip": "x"}]), "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address"),
    ]);
    case(
        "discovery.k8s.io/v1/endpointslices",
        r#"{"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}"#,
    )
    .check(&[
        ("/addressType", json!(""), "addressType: Required value"),
        (
            "/endpoints/0/addresses",
            json!(["::1"]),
            "endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address",
        ),
        (
            "/endpoints/0/addresses",
            json!([]),
            "endpoints[0].addresses: Required value: must contain at least 1 address",
        ),
    ])
    .change(&[(
        "/addressType",
        json!("IPv6"),
        "addressType: Invalid value: \"IPv6\": field is immutable",
    )]);
}

#[test]
fn networking() {
    let rules = r#"{"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}"#;
    case("networking.k8s.io/v1/ingresses", rules).check(&[
        ("/spec/rules", json!([]), "spec: Invalid value: {\"rules\":[]}: either `defaultBackend` or `rules` must be specified"),
        ("/spec/rules/0/host", json!("1.2.3.4"), "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"),
        ("/spec/rules/0/http/paths/0/pathType", Value::Null, "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"),
        ("/spec/rules/0/http/paths/0/path", json!("a"), "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path"),
        ("/spec/rules/0/http/paths/0/backend", json!({}), "spec.rules[0].http.paths[0].backend: Required value"),
    ]);
    case("networking.k8s.io/v1/networkpolicies", r#"{"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 80}]}]}}"#).check(&[
        ("/spec/ingress/0/from/0", json!({}), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        ("/spec/ingress/0/from/0/ipBlock/cidr", json!("x"), "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value"),
        ("/spec/ingress/0/ports/0/port", json!(0), "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535"),
        ("/spec/ingress/0/ports/0/endPort", json!(70), "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`"),
        ("/spec/policyTypes", json!(["x"]), "spec.policyTypes[0]: Unsupported value: \"x\""),
        ("/spec/podSelector", json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "spec.podSelector.matchExpressions[0].values: Required value: must be specified when"),
        ("/spec/podSelector", json!({"matchExpressions": [{"key": "a", "operator": "x"}]}), "spec.podSelector.matchExpressions[0].operator: Invalid value: \"x\": not a valid selector operator"),
    ]);
    case(
        "networking.k8s.io/v1/ingressclasses",
        r#"{"spec": {"controller": "a.b/c"}}"#,
    )
    .check(&[(
        "/spec/controller",
        json!("x"),
        "spec.controller: Invalid value: \"x\": must be a domain-prefixed path",
    )])
    .change(&[(
        "/spec/controller",
        json!("d.e/f"),
        "spec.controller: Invalid value: \"d.e/f\": field is immutable",
    )]);
    case(
        "networking.k8s.io/v1/servicecidrs",
        r#"{"spec": {"cidrs": ["10.0.0.0/16"]}}"#,
    )
    .change(&[(
        "/spec/cidrs",
        json!(["10.1.0.0/16"]),
        "spec.cidrs[0]: Invalid value",
    )]);
    case(
        "policy/v1/poddisruptionbudgets",
        r#"{"spec": {"minAvailable": "50%"}}"#,
    )
    .check(&[
        ("/spec/maxUnavailable", json!(1), "spec: Invalid value"),
        (
            "/spec/minAvailable",
            json!("101%"),
            "spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
    ]);
    case(
        "autoscaling/v2/horizontalpodautoscalers",
        r#"{"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}}"#,
    )
    .check(&[
        (
            "/spec/maxReplicas",
            json!(0),
            "spec.maxReplicas: Invalid value: 0: must be greater than 0",
        ),
        (
            "/spec/minReplicas",
            json!(4),
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
        ),
        (
            "/spec/scaleTargetRef/name",
            json!(""),
            "spec.scaleTargetRef.name: Required value",
        ),
        (
            "/spec/metrics",
            json!([{"type": "Pods"}]),
            "spec.metrics[0].pods: Required value: must populate information",
        ),
    ]);
}

#[test]
fn ranges_of_services_take_a_second_family() {
    case(
        "networking.k8s.io/v1/servicecidrs",
        r#"{"spec": {"cidrs": ["10.0.0.0/24"]}}"#,
    )
    .check(&[
        (
            "/spec/cidrs",
            json!([]),
            "spec.cidrs: Required value: at least one CIDR required",
        ),
        (
            "/spec/cidrs",
            json!(["10.0.0.0/24", "10.1.0.0/24"]),
            "spec.cidrs: Invalid value",
        ),
        (
            "/spec/cidrs",
            json!(["x"]),
            "spec.cidrs[0]: Invalid value: \"x\"",
        ),
    ])
    .change(&[
        ("/spec/cidrs", json!(["10.0.0.0/24", "fd00::/112"]), ""),
        (
            "/spec/cidrs",
            json!(["10.1.0.0/24"]),
            "spec.cidrs[0]: Invalid value: \"10.1.0.0/24\": field is immutable",
        ),
        (
            "/spec/cidrs",
            json!(["fd00::/112", "10.0.0.0/24"]),
            "spec.cidrs[0]: Invalid value",
        ),
    ]);
}
