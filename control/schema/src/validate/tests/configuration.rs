//! What is said about configuration, nodes, events, limits and roles.

use serde_json::json;

use super::*;

#[test]
fn configuration() {
    case(
        "v1/configmaps",
        r#"{"data": {"a": "b"}, "immutable": true}"#,
    )
    .check(&[
        (
            "/data",
            json!({"a/b": ""}),
            "data[a/b]: Invalid value: \"a/b\": a valid config key must",
        ),
        (
            "/binaryData",
            json!({"a": "eA=="}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        (
            "/data",
            json!({"a": "x".repeat(1_048_577)}),
            ": Too long: may not be more than 1048576 bytes",
        ),
    ])
    .change(&[
        (
            "/data/a",
            json!("c"),
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "/immutable",
            json!(false),
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ),
    ]);
    case("v1/secrets", r#"{"data": {"a": "eA=="}}"#)
        .check(&[
            (
                "/type",
                json!("kubernetes.io/tls"),
                "data[tls.crt]: Required value",
            ),
            (
                "/type",
                json!("kubernetes.io/dockerconfigjson"),
                "data[.dockerconfigjson]: Required value",
            ),
            (
                "/type",
                json!("kubernetes.io/service-account-token"),
                "metadata.annotations[kubernetes.io/service-account.name]: Required value",
            ),
        ])
        .change(&[(
            "/type",
            json!("x"),
            "type: Invalid value: \"x\": field is immutable",
        )]);
}

#[test]
fn nodes_events_and_limits() {
    case("v1/nodes", "{}").check(&[(
        "/spec/taints",
        json!([{"key": "a", "effect": "x"}]),
        "spec.taints[0].effect: Unsupported value: \"x\"",
    )]);
    case("v1/events", r#"{"involvedObject": {"namespace": "n"}}"#).check(&[(
        "/involvedObject/namespace",
        json!("m"),
        "involvedObject.namespace: Invalid value: \"m\": does not match event.namespace",
    )]);
    case(
        "coordination.k8s.io/v1/leases",
        r#"{"spec": {"holderIdentity": "a", "leaseDurationSeconds": 1}}"#,
    )
    .check(&[(
        "/spec/leaseDurationSeconds",
        json!(0),
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than zero",
    )]);
    case("v1/resourcequotas", r#"{"spec": {"hard": {"pods": "3"}}}"#)
        .check(&[(
            "/spec/hard/pods",
            json!("-1"),
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
        )])
        .change(&[(
            "/spec/scopes",
            json!(["BestEffort"]),
            "spec.scopes: Invalid value",
        )]);
    case("v1/limitranges", r#"{"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]}}"#).check(&[
        ("/spec/limits/0/min/cpu", json!("3"), "spec.limits[0].min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2"),
        ("/spec/limits", json!([{"type": "Pod"}, {"type": "Pod"}]), "spec.limits[1].type: Duplicate value: \"Pod\""),
    ]);
    case("scheduling.k8s.io/v1/priorityclasses", r#"{"value": 5}"#)
        .check(&[
            (
                "/metadata/name",
                json!("system-x"),
                "metadata.name: Forbidden: priority class names with 'system-' prefix",
            ),
            (
                "/value",
                json!(1_000_000_001),
                "value: Forbidden: maximum allowed value",
            ),
        ])
        .change(&[(
            "/value",
            json!(6),
            "value: Invalid value: 6: field is immutable",
        )]);
}

#[test]
fn roles() {
    case("rbac.authorization.k8s.io/v1/roles", r#"{"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}"#).check(&[
        ("/rules/0/verbs", json!([]), "rules[0].verbs: Required value: verbs must contain at least one value"),
        ("/rules/0/apiGroups", json!([]), "rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
        ("/rules/0/nonResourceURLs", json!(["/"]), "rules[0].nonResourceURLs: Invalid value: [\"/\"]: namespaced rules cannot apply to non-resource URLs"),
    ]);
    case("rbac.authorization.k8s.io/v1/rolebindings", r#"{"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}"#)
        .check(&[
            ("/roleRef/kind", json!("x"), "roleRef.kind: Unsupported value: \"x\": supported values: \"ClusterRole\", \"Role\""),
            ("/roleRef/name", json!(""), "roleRef.name: Required value"),
            ("/subjects/0", json!({"kind": "ServiceAccount", "name": "s"}), "subjects[0].namespace: Required value"),
            ("/subjects/0", json!({"kind": "x", "name": "s"}), "subjects[0].kind: Unsupported value: \"x\""),
        ])
        .change(&[("/roleRef/name", json!("q"), "roleRef: Invalid value")]);
}

#[test]
fn quotas_and_ranges() {
    case("v1/resourcequotas", r#"{"spec": {"hard": {"pods": "3", "count/widgets.example.org": "1", "requests.a.b/gpu": "1"}}}"#)
        .check(&[
            ("/spec/hard/widgets", json!("1"), "spec.hard[widgets]: Invalid value: \"widgets\": must be a standard resource for quotas"),
            ("/spec/hard/pods", json!("1500m"), "spec.hard[pods]: Invalid value: \"1500m\": must be an integer"),
            ("/spec/scopes", json!(["x"]), "spec.scopes: Invalid value: [\"x\"]: unsupported scope"),
            ("/spec/scopes", json!(["BestEffort", "NotBestEffort"]), "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"),
            ("/spec/scopes", json!(["BestEffort"]), "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"),
            ("/spec/scopeSelector", json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}),
                "spec.scopeSelector.matchExpressions[0].values: Required value"),
            ("/spec/scopeSelector", json!({"matchExpressions": [{"scopeName": "Terminating", "operator": "In", "values": ["a"]}]}),
                "spec.scopeSelector.matchExpressions[0].operator: Invalid value: \"In\": must be 'Exist'"),
        ]);
    statuses(
        "v1/resourcequotas",
        &json!({}),
        &[
            (json!({"hard": {"pods": "1"}, "used": {"pods": "0"}}), ""),
            (
                json!({"used": {"pods": "-1"}}),
                "status.used[pods]: Invalid value: \"-1\"",
            ),
        ],
    );
    case(
        "v1/limitranges",
        r#"{"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}}"#,
    )
    .check(&[
        (
            "/spec/limits/0/default",
            json!({"cpu": "1"}),
            "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
        ),
        (
            "/spec/limits/0/type",
            json!("PersistentVolumeClaim"),
            "spec.limits[0]: Required value: either minimum or maximum storage value is required",
        ),
    ]);
}

#[test]
fn requests_for_certificates() {
    let pem = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0t";
    let fine =
        json!({"spec": {"request": pem, "usages": ["client auth"], "signerName": "example.org/a"}});
    case(
        "certificates.k8s.io/v1/certificatesigningrequests",
        &fine.to_string(),
    )
    .check(&[
        (
            "/spec/request",
            json!("eA=="),
            "spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        (
            "/spec/usages",
            json!(["x"]),
            "spec.usages[0]: Unsupported value: \"x\"",
        ),
        (
            "/spec/signerName",
            json!("a"),
            "spec.signerName: Invalid value: \"a\": must be a fully qualified",
        ),
        (
            "/spec/expirationSeconds",
            json!(1),
            "spec.expirationSeconds: Invalid value: 1",
        ),
    ])
    .change(&[(
        "/spec/signerName",
        json!("example.org/b"),
        "spec: Invalid value",
    )]);
    let approved = json!([{"type": "Approved", "status": "True"}]);
    let status = json!({"conditions": approved, "certificate": "eA=="});
    statuses(
        "certificates.k8s.io/v1/certificatesigningrequests",
        &json!({"status": status}),
        &[
            (status.clone(), ""),
            (
                json!({"conditions": approved, "certificate": "eQ=="}),
                "status.certificate: Forbidden: updates may not modify existing",
            ),
            (
                json!({"certificate": "eA=="}),
                "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
            ),
            (
                json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "True"}]}),
                "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            ),
            (
                json!({"conditions": [{"type": "Approved", "status": "False"}]}),
                "status.conditions[0].status: Unsupported value: \"False\"",
            ),
        ],
    );
    let row = find("certificates.k8s.io", "v1", "certificatesigningrequests").unwrap();
    let decide = |new: Value| {
        let mut errors = ErrorList::default();
        change_rules(
            row,
            "approval",
            &json!({"status": new}),
            &json!({"status": {}}),
            &mut errors,
        );
        errors.to_string()
    };
    assert_eq!(decide(json!({"conditions": approved})), "[]");
    assert!(
        decide(json!({"certificate": "eA=="}))
            .contains("status.certificate: Forbidden: updates may not set certificate content")
    );
}

#[test]
fn events_of_both_groups() {
    let new = r#"{"regarding": {"namespace": "n"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "r",
        "action": "a", "reportingController": "c", "reportingInstance": "i"}"#;
    case("events.k8s.io/v1/events", new)
        .check(&[
            ("/eventTime", Value::Null, "eventTime: Required value"),
            (
                "/type",
                json!("x"),
                "type: Invalid value: \"\": has invalid value: x",
            ),
            ("/action", json!(""), "action: Required value"),
            (
                "/reportingController",
                json!(""),
                "reportingController: Required value",
            ),
            (
                "/note",
                json!("x".repeat(1025)),
                "message: Invalid value: \"\": can have at most 1024 characters",
            ),
            (
                "/deprecatedCount",
                json!(1),
                "count: Invalid value: \"\": needs to be unset",
            ),
            (
                "/series",
                json!({"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}),
                "series.count: Invalid value: \"\": should be at least 2",
            ),
        ])
        .change(&[
            (
                "/reason",
                json!("s"),
                "reason: Invalid value: \"s\": field is immutable",
            ),
            (
                "/note",
                json!("s"),
                "message: Invalid value: \"s\": field is immutable",
            ),
            (
                "/series",
                json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}),
                "",
            ),
        ]);
}
