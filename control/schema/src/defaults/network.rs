//! Defaults of networking and RBAC.

use serde_json::{Value, json};

use super::fill::Default::{AbsentText, Text};
use super::fill::{apply_rules, at, items, text};

/// Fills in the ports of an endpoint slice.
pub fn endpoint_slice(slice: &mut Value) {
    let rules = [
        ("ports[].name", AbsentText("")),
        ("ports[].protocol", AbsentText("TCP")),
    ];
    apply_rules(slice, &rules);
}

/// Fills in a network policy: it is about what comes in, and about what goes out if it says so.
pub fn network_policy(policy: &mut Value) {
    for direction in ["ingress", "egress"] {
        for rule in items(policy, &["spec", direction]) {
            apply_rules(rule, &[("ports[].protocol", AbsentText("TCP"))]);
        }
    }
    let Some(spec) = at(policy, &["spec"]) else {
        return;
    };
    let full = |value: Option<&Value>| {
        value
            .and_then(Value::as_array)
            .is_some_and(|v| !v.is_empty())
    };
    if full(spec.get("policyTypes")) {
        return;
    }
    let types = if full(spec.get("egress")) {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    };
    spec.insert("policyTypes".to_owned(), types);
}

/// Fills in an ingress class.
pub fn ingress_class(class: &mut Value) {
    apply_rules(class, &[("spec?.parameters?.scope", AbsentText("Cluster"))]);
}

/// The API group of roles.
const RBAC: &str = "rbac.authorization.k8s.io";

/// Fills in a binding of a role or of a cluster role.
pub fn role_binding(binding: &mut Value) {
    apply_rules(binding, &[("roleRef?.apiGroup", Text(RBAC))]);
    for subject in items(binding, &["subjects"]) {
        if matches!(text(subject, "/kind"), "User" | "Group") {
            apply_rules(subject, &[("apiGroup", Text(RBAC))]);
        }
    }
}
