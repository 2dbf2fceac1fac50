//! Texts that decode, and what is said of those that do not.

use serde_json::{Value, json};

use super::{DecodeError, Finding, bad_request, conform, parse, strict_error};
use crate::resource_table::by_kind;
use crate::schema::Schema;

fn checked(
    group: &str,
    kind: &str,
    mut value: Value,
) -> (Value, Result<Vec<Finding>, DecodeError>) {
    let schema = Schema::builtin();
    let node = schema
        .named(&by_kind(group, "v1", kind).unwrap().type_name)
        .unwrap();
    let findings = conform(schema, node, &mut value);
    (value, findings)
}

#[test]
fn fields_given_twice_are_found_and_the_last_wins() {
    let text = r#"{"a":1,"b":{"c":[{"d":1,"d":2}],"c":[{"d":3,"d":4,"d":5}]},"a":2}"#;
    let parsed = parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.value, json!({"a": 2, "b": {"c": [{"d": 5}]}}));
    let names: Vec<_> = parsed.duplicates.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "duplicate field \"b.c[0].d\"",
            "duplicate field \"b.c\"",
            "duplicate field \"a\""
        ]
    );
}

#[test]
fn text_that_is_no_json_is_refused() {
    for text in ["", "{", "{}{}", "{\"a\":}", "[1,]"] {
        assert!(
            matches!(parse(text.as_bytes()), Err(DecodeError::Syntax(_))),
            "{text}"
        );
    }
}

#[test]
fn unknown_fields_are_dropped_and_named() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "wrong": 1,
        "metadata": {"name": "a", "labels": {"anything": "goes"}, "foo": {}},
        "spec": {"containers": [{"name": "a"}, {"name": "b", "imagee": "x"}]},
    });
    let (value, findings) = checked("", "Pod", pod);
    assert_eq!(
        strict_error(&findings.unwrap()),
        "strict decoding error: unknown field \"metadata.foo\", \
         unknown field \"spec.containers[1].imagee\", unknown field \"wrong\""
    );
    assert_eq!(value["spec"]["containers"][1], json!({"name": "b"}));
}

#[test]
fn values_come_out_in_their_one_form() {
    let pod = json!({
        "metadata": {"creationTimestamp": null, "labels": {}, "annotations": {"a": null},
                     "deletionTimestamp": "2026-01-02T03:04:05.678+01:00"},
        "spec": {
            "containers": [{"name": "a", "args": [], "resources": {
                "limits": {"cpu": 0.5, "memory": "1024Mi"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "nodeSelector": null,
        },
    });
    let (value, findings) = checked("", "Pod", pod);
    assert_eq!(findings, Ok(vec![]));
    assert_eq!(
        value,
        json!({
            "metadata": {"annotations": {"a": ""}, "deletionTimestamp": "2026-01-02T02:04:05Z"},
            "spec": {
                "containers": [{"name": "a", "resources": {
                    "limits": {"cpu": "500m", "memory": "1Gi"}}}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        })
    );
}

#[test]
fn what_does_not_fit_is_named_as_upstream_names_it() {
    let cases = [
        (
            "apps",
            "Deployment",
            json!({"spec": {"replicas": "3"}}),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "",
            "Pod",
            json!({"spec": {"containers": [{"ports": [{"name": 1}]}]}}),
            "json: cannot unmarshal number into Go struct field ContainerPort.spec.containers.ports.name of type string",
        ),
        (
            "",
            "ConfigMap",
            json!({"data": {"a": true}}),
            "json: cannot unmarshal bool into Go struct field ConfigMap.data.a of type string",
        ),
        (
            "",
            "Pod",
            json!([]),
            "json: cannot unmarshal array into Go value of type v1.Pod",
        ),
        (
            "",
            "Secret",
            json!({"data": {"a": "?"}}),
            "data.a: illegal base64 data",
        ),
        (
            "apps",
            "Deployment",
            json!({"spec": {"replicas": 1.5}}),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "",
            "Service",
            json!({"spec": []}),
            "json: cannot unmarshal array into Go struct field Service.spec of type v1.ServiceSpec",
        ),
    ];
    for (group, kind, value, expected) in cases {
        let error = checked(group, kind, value).1.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(
        bad_request("Pod", "v1", "x"),
        "Pod in version \"v1\" cannot be handled as a Pod: x"
    );
}
