//! Defaults of the API's own kinds: webhooks, policies, custom resources, flow control.

use serde_json::{Value, json};

use super::fill::Default::{AbsentText, Number, Object, Text};
use super::fill::{Rule, apply_rules, at, enter, items, text};

const WEBHOOK: &[Rule] = &[
    ("failurePolicy", AbsentText("Fail")),
    ("matchPolicy", AbsentText("Equivalent")),
    ("namespaceSelector", Object),
    ("objectSelector", Object),
    ("timeoutSeconds", Number(10)),
    ("rules[].scope", AbsentText("*")),
    ("clientConfig?.service?.port", Number(443)),
];

/// Fills in validating webhooks.
pub fn validating_webhooks(configuration: &mut Value) {
    for webhook in items(configuration, &["webhooks"]) {
        apply_rules(webhook, WEBHOOK);
    }
}

/// Fills in mutating webhooks.
pub fn mutating_webhooks(configuration: &mut Value) {
    validating_webhooks(configuration);
    for webhook in items(configuration, &["webhooks"]) {
        apply_rules(webhook, &[("reinvocationPolicy", AbsentText("Never"))]);
    }
}

const MATCH: &[Rule] = &[
    ("matchPolicy", AbsentText("Equivalent")),
    ("namespaceSelector", Object),
    ("objectSelector", Object),
    ("resourceRules[].scope", AbsentText("*")),
    ("excludeResourceRules[].scope", AbsentText("*")),
];

/// Fills in an admission policy.
pub fn admission_policy(policy: &mut Value) {
    apply_rules(policy, &[("spec.failurePolicy", AbsentText("Fail"))]);
    matching(policy, "matchConstraints");
}

/// Fills in the binding of an admission policy.
pub fn admission_policy_binding(binding: &mut Value) {
    matching(binding, "matchResources");
}

fn matching(object: &mut Value, field: &str) {
    if let Some(rules) = at(object, &["spec"]).and_then(|spec| spec.get_mut(field)) {
        apply_rules(rules, MATCH);
    }
}

/// Fills in a custom resource's definition: names that follow from its kind, and its conversion.
pub fn custom_resource_definition(definition: &mut Value) {
    let rules = [
        ("spec.conversion.strategy", Text("None")),
        (
            "spec.conversion.webhook?.clientConfig?.service?.port",
            Number(443),
        ),
    ];
    apply_rules(definition, &rules);
    let kind = text(definition, "/spec/names/kind").to_owned();
    if let Some(names) = at(definition, &["spec", "names"]) {
        let derived = [
            ("singular", kind.to_lowercase()),
            ("listKind", format!("{kind}List")),
        ];
        for (field, value) in derived {
            let slot = names.entry(field).or_insert(Value::Null);
            if !kind.is_empty() && slot.as_str().unwrap_or_default().is_empty() {
                *slot = json!(value);
            }
        }
    }
    stored_versions(definition);
}

/// The version that objects are stored in is one of those that have been.
pub(crate) fn stored_versions(definition: &mut Value) {
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let stored = versions
        .into_iter()
        .flatten()
        .find(|v| v["storage"] == true);
    let Some(name) = stored.and_then(|v| v.get("name")).cloned() else {
        return;
    };
    let Some(object) = definition.as_object_mut() else {
        return;
    };
    let Some(status) = enter(object, "status").as_object_mut() else {
        return;
    };
    let list = status.entry("storedVersions").or_insert(Value::Null);
    match list {
        Value::Array(names) if names.contains(&name) => {}
        Value::Array(names) => names.push(name),
        other => *other = json!([name]),
    }
}

/// Fills in the registration of another server's API.
pub fn api_service(service: &mut Value) {
    apply_rules(service, &[("spec?.service?.port", Number(443))]);
}

/// Fills in a flow schema.
pub fn flow_schema(schema: &mut Value) {
    apply_rules(schema, &[("spec.matchingPrecedence", Number(1_000))]);
}

const LIMITED: &[Rule] = &[
    ("spec.limited?.nominalConcurrencyShares", Number(30)),
    ("spec.limited?.lendablePercent", Number(0)),
    ("spec.limited?.limitResponse?.queuing?.queues", Number(64)),
    ("spec.limited?.limitResponse?.queuing?.handSize", Number(8)),
    (
        "spec.limited?.limitResponse?.queuing?.queueLengthLimit",
        Number(50),
    ),
    ("spec.exempt?.nominalConcurrencyShares", Number(0)),
    ("spec.exempt?.lendablePercent", Number(0)),
];

/// Fills in a priority level.
pub fn priority_level(level: &mut Value) {
    if text(level, "/spec/type") == "Exempt" {
        apply_rules(level, &[("spec.exempt", Object)]);
    }
    apply_rules(level, LIMITED);
}
