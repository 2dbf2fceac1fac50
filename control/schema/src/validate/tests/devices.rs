//! What is said about devices.

use serde_json::json;

use super::*;

const CLAIM: &str = r#"{"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}},
    {"name": "s", "firstAvailable": [{"name": "t", "deviceClassName": "c"}]}],
    "constraints": [{"requests": ["s/t"], "matchAttribute": "a.b/c"}]}}}"#;

#[test]
fn claims() {
    let requests = "spec.devices.requests";
    let names = "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim";
    case("resource.k8s.io/v1/resourceclaims", CLAIM)
        .check(&[
            (
                "/spec/devices/requests/0/name",
                json!(""),
                &format!("{requests}[0].name: Required value"),
            ),
            (
                "/spec/devices/requests/0/name",
                json!("s"),
                &format!("{requests}[1].name: Duplicate value: \"s\""),
            ),
            (
                "/spec/devices/requests/0/exactly",
                Value::Null,
                &format!("{requests}[0]: Required value: exactly one of"),
            ),
            (
                "/spec/devices/requests/1/exactly",
                json!({}),
                &format!("{requests}[1]: Invalid value: null: exactly one of"),
            ),
            (
                "/spec/devices/requests/0/exactly/deviceClassName",
                json!(""),
                &format!("{requests}[0].exactly.deviceClassName: Required value"),
            ),
            (
                "/spec/devices/requests/0/exactly/allocationMode",
                json!("x"),
                &format!("{requests}[0].exactly.allocationMode: Unsupported value: \"x\""),
            ),
            (
                "/spec/devices/requests/0/exactly/count",
                json!(-1),
                &format!(
                    "{requests}[0].exactly.count: Invalid value: -1: must be greater than zero"
                ),
            ),
            (
                "/spec/devices/requests/0/exactly/selectors",
                json!([{}]),
                &format!("{requests}[0].exactly.selectors[0].cel: Required value"),
            ),
            (
                "/spec/devices/requests/1/firstAvailable/0/deviceClassName",
                json!("C"),
                &format!("{requests}[1].firstAvailable[0].deviceClassName: Invalid value"),
            ),
            ("/spec/devices/constraints/0/requests", json!(["x"]), names),
            (
                "/spec/devices/constraints/0/matchAttribute",
                Value::Null,
                "spec.devices.constraints[0]: Required value: exactly one of",
            ),
            (
                "/spec/devices/config",
                json!([{"requests": ["r"]}]),
                "spec.devices.config[0].opaque: Required value",
            ),
        ])
        .change(&[(
            "/spec/devices/requests/0/name",
            json!("z"),
            "spec: Invalid value",
        )]);
    let template = format!(r#"{{"spec": {CLAIM}}}"#);
    case("resource.k8s.io/v1/resourceclaimtemplates", &template).check(&[(
        "/spec/spec/devices/requests/0/name",
        json!(""),
        "spec.spec.devices.requests[0].name: Required value",
    )]);
}

#[test]
fn what_claims_are_given() {
    let spec = json!({"devices": {"requests": [{"name": "r"}]}});
    let given = |request: &str| {
        json!({"devices": {"results": [
        {"request": request, "driver": "d.io", "pool": "p", "device": "dev"}]}})
    };
    let user = json!([{"resource": "pods", "name": "p", "uid": "u"}]);
    let claim = "resource.k8s.io/v1/resourceclaims";
    statuses(
        claim,
        &json!({"spec": spec}),
        &[
            (json!({"allocation": given("r"), "reservedFor": user}), ""),
            (
                json!({"reservedFor": user}),
                "status.reservedFor: Forbidden: may not be specified when",
            ),
            (
                json!({"allocation": given("r"), "reservedFor": [{"uid": "u"}]}),
                "status.reservedFor[0].resource: Required value",
            ),
            (
                json!({"allocation": given("x")}),
                "status.allocation.devices.results[0].request: Invalid value: \"x\"",
            ),
        ],
    );
    statuses(
        claim,
        &json!({"spec": spec, "status": {"allocation": given("r")}}),
        &[
            (json!({"allocation": given("r")}), ""),
            (json!({}), ""),
            (
                json!({"allocation": given("y")}),
                "status.allocation: Invalid value",
            ),
        ],
    );
}

#[test]
fn classes_and_slices() {
    case("resource.k8s.io/v1/deviceclasses", r#"{"spec": {"extendedResourceName": "a.b/gpu", "selectors": [{"cel": {"expression": "true"}}]}}"#).check(&[
        ("/spec/selectors/0/cel", Value::Null, "spec.selectors[0].cel: Required value"),
        ("/spec/extendedResourceName", json!("gpu"), "spec.extendedResourceName: Invalid value: \"gpu\": must be a valid extended resource name"),
        ("/spec/config", json!([{"opaque": {"driver": ""}}]), "spec.config[0].opaque.driver: Required value"),
    ]);
    let slice = r#"{"spec": {"driver": "d.io", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n",
        "devices": [{"name": "a", "attributes": {"model": {"string": "x"}, "a.b/v": {"version": "1.0.0-rc.1"}}}]}}"#;
    case("resource.k8s.io/v1/resourceslices", slice)
        .check(&[
            ("/spec/driver", json!(""), "spec.driver: Required value"),
            ("/spec/pool/name", json!("a//b"), "spec.pool.name: Invalid value"),
            ("/spec/pool/resourceSliceCount", json!(0), "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"),
            ("/spec/nodeName", Value::Null, "spec: Required value: exactly one of `nodeName`"),
            ("/spec/allNodes", json!(true), "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of"),
            ("/spec/devices/0/name", json!("A"), "spec.devices[0].name: Invalid value"),
            ("/spec/devices/0/attributes/model", json!({}), "spec.devices[0].attributes[model]: Invalid value"),
            ("/spec/devices/0/attributes", json!({"a.b/v": {"version": "1.0"}}), "spec.devices[0].attributes[a.b/v].version: Invalid value: \"1.0\": must be a string compatible with semver"),
            ("/spec/devices/0/nodeName", json!("n"), "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes`"),
            ("/spec/devices/0/taints", json!([{"key": "k", "effect": "x"}]), "spec.devices[0].taints[0].effect: Unsupported value: \"x\""),
        ])
        .change(&[
            ("/spec/driver", json!("e.io"), "spec.driver: Invalid value: \"e.io\": field is immutable"),
            ("/spec/devices", json!([]), ""),
        ]);
}
