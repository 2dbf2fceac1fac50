//! What is said about pods and those who make them.

use serde_json::json;

use super::*;

const TEMPLATE: &str = r#""template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}"#;

fn workload(more: &str) -> String {
    format!(r#"{{"spec": {{"selector": {{"matchLabels": {{"a": "b"}}}}, {TEMPLATE}{more}}}}}"#)
}

#[test]
fn pods() {
    case(
        "v1/pods",
        r#"{"spec": {"containers": [{"name": "c", "image": "x"}]}}"#,
    )
    .check(&[
        (
            "/spec/containers",
            json!([]),
            "spec.containers: Required value",
        ),
        (
            "/spec/containers/0/name",
            json!(""),
            "spec.containers[0].name: Required value",
        ),
        (
            "/spec/containers/0/image",
            Value::Null,
            "spec.containers[0].image: Required value",
        ),
        (
            "/spec/restartPolicy",
            json!("Often"),
            "spec.restartPolicy: Unsupported value: \"Often\"",
        ),
    ])
    .change(&[
        ("/spec/containers/0/image", json!("y"), ""),
        ("/spec/activeDeadlineSeconds", json!(5), ""),
        (
            "/spec/tolerations",
            json!([{"key": "a", "operator": "Exists"}]),
            "",
        ),
        (
            "/spec/containers/0/args",
            json!(["x"]),
            "spec: Forbidden: pod updates may not change fields other than",
        ),
        (
            "/spec/nodeName",
            json!("x"),
            "spec: Forbidden: pod updates may not change fields other than",
        ),
        (
            "/spec/initContainers",
            json!([{"name": "i", "image": "x"}]),
            "spec.initContainers: Forbidden: pod updates may not add or remove containers",
        ),
    ]);
}

#[test]
fn pods_change_by_other_paths_too() {
    let pod = find("", "v1", "pods").unwrap();
    let sizes = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let object = |cpu: &str, debug: Value| {
        born(
            pod,
            &json!({"metadata": {"name": "a"}, "spec": {"ephemeralContainers": debug,
            "containers": [{"name": "c", "image": "x", "resources": sizes(cpu)}]}}),
        )
    };
    let said = |part: &str, new: &Value, old: &Value| {
        let mut errors = ErrorList::default();
        change_rules(pod, part, new, old, &mut errors);
        errors.to_string()
    };
    let debug = |image: &str| json!([{"name": "d", "image": image}]);
    let (plain, debugged) = (object("1", json!([])), object("1", debug("y")));
    assert_eq!(said("ephemeralcontainers", &debugged, &plain), "[]");
    assert!(said("ephemeralcontainers", &plain, &debugged).ends_with("\"d\" may not be removed"));
    let changed = object("1", debug("z"));
    assert!(said("ephemeralcontainers", &changed, &debugged).ends_with("\"d\" may not be changed"));
    assert!(said("", &debugged, &plain).contains("ephemeralContainers: Forbidden"));
    assert_eq!(said("resize", &object("2", json!([])), &plain), "[]");
    assert!(said("", &object("2", json!([])), &plain).starts_with("spec: Forbidden: pod updates"));
    let mut other = plain.clone();
    set(&mut other, "/spec/containers/0/image", &json!("y"));
    assert_eq!(
        said("resize", &other, &plain),
        "spec: Forbidden: only cpu and memory resources are mutable"
    );
    set(
        &mut other,
        "/spec/containers/0",
        &json!({"name": "c", "image": "x"}),
    );
    assert!(said("resize", &other, &plain).contains("QOS Class may not change"));
}

#[test]
fn deployments_and_their_like() {
    case("apps/v1/deployments", &workload(""))
        .check(&[
            ("/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
            ("/spec/selector", Value::Null, "spec.selector: Required value"),
            ("/spec/selector", json!({}), "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
            ("/spec/selector/matchLabels", json!({"a": "c"}), "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"),
            ("/spec/template/spec/restartPolicy", json!("Never"), "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""),
            ("/spec/template/spec/containers/0/name", json!("A"), "spec.template.spec.containers[0].name: Invalid value: \"A\""),
            ("/spec/strategy", json!({"type": "x"}), "spec.strategy.type: Unsupported value: \"x\": supported values: \"Recreate\", \"RollingUpdate\""),
            ("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {}}), "spec.strategy.rollingUpdate: Forbidden: may not be specified when"),
            ("/spec/strategy", json!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}), "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"),
            ("/spec/strategy", json!({"rollingUpdate": {"maxSurge": "a"}}), "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"a\": a valid percent string"),
            ("/spec/progressDeadlineSeconds", json!(0), "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"),
        ])
        .change(&[
            ("/spec/selector/matchLabels", json!({"a": "b", "c": "d"}), "spec.selector: Invalid value"),
            ("/spec/replicas", json!(5), ""),
        ]);
    case("apps/v1/daemonsets", &workload("")).check(&[(
        "/spec/updateStrategy",
        json!({"type": "x"}),
        "spec.updateStrategy.type: Unsupported value: \"x\"",
    )]);
    case("apps/v1/replicasets", &workload("")).check(&[(
        "/spec/selector",
        Value::Null,
        "spec.selector: Required value",
    )]);
    case("apps/v1/statefulsets", &workload(r#", "serviceName": "s""#))
        .check(&[
            (
                "/spec/podManagementPolicy",
                json!("x"),
                "spec.podManagementPolicy: Unsupported value: \"x\"",
            ),
            (
                "/spec/updateStrategy",
                json!({"rollingUpdate": {"partition": -1}}),
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1",
            ),
        ])
        .change(&[
            (
                "/spec/serviceName",
                json!("t"),
                "spec: Forbidden: updates to statefulset spec for fields other than",
            ),
            ("/spec/replicas", json!(3), ""),
        ]);
    case(
        "v1/replicationcontrollers",
        &format!(r#"{{"spec": {{"selector": {{"a": "b"}}, {TEMPLATE}}}}}"#),
    )
    .check(&[(
        "/spec/selector",
        json!({"a": "c"}),
        "spec.template.metadata.labels: Invalid value",
    )]);
}

#[test]
fn jobs() {
    let once = TEMPLATE.replace(r#""spec": {"#, r#""spec": {"restartPolicy": "Never", "#);
    case("batch/v1/jobs", &format!(r#"{{"spec": {{{once}}}}}"#))
        .check(&[
            ("/spec/template/spec/restartPolicy", json!("Always"), "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""),
            ("/spec/parallelism", json!(-1), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
            ("/spec/completionMode", json!("x"), "spec.completionMode: Unsupported value: \"x\""),
        ])
        .change(&[
            ("/spec/completions", json!(4), "spec.completions: Invalid value: 4: field is immutable"),
            ("/spec/template/spec/nodeName", json!("x"), "spec.template: Invalid value"),
            ("/spec/parallelism", json!(4), ""),
        ]);
    case("batch/v1/cronjobs", &format!(r#"{{"spec": {{"schedule": "*/5 * * * *", "jobTemplate": {{"spec": {{{once}}}}}}}}}"#))
        .check(&[
            ("/spec/schedule", json!(""), "spec.schedule: Required value"),
            ("/spec/schedule", json!("* *"), "spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2"),
            ("/spec/concurrencyPolicy", json!("x"), "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\""),
            ("/metadata/name", json!("a".repeat(53)), "metadata.name: Invalid value: \"aaaa"),
        ]);
}
