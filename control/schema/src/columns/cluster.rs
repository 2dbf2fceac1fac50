//! Columns of classes, admission and flow control.

use serde_json::{Value, json};

use super::Column;
use super::read::{UNSET, flag, items, number, shown, text};

/// `kubectl get priorityclasses`.
pub const PRIORITY_CLASS: &[Column] = &[
    Column::NAME,
    Column::count("Value", |class, _| json!(number(class, "/value"))),
    Column::of("Global-Default", |class, _| {
        json!(flag(class, "/globalDefault"))
    }),
    Column::AGE,
    Column::of("PreemptionPolicy", |class, _| {
        json!(text(class, "/preemptionPolicy"))
    }),
];

/// `kubectl get runtimeclasses`.
pub const RUNTIME_CLASS: &[Column] =
    &[Column::NAME, Column::at("Handler", ".handler"), Column::AGE];

/// `kubectl get mutatingwebhookconfigurations` and `validatingwebhookconfigurations`.
pub const WEBHOOKS: &[Column] = &[
    Column::NAME,
    Column::count("Webhooks", |c, _| json!(items(c, "/webhooks").len())),
    Column::AGE,
];

/// `kubectl get validatingadmissionpolicies`.
pub const VALIDATING_POLICY: &[Column] = &[
    Column::NAME,
    Column::count("Validations", |p, _| {
        json!(items(p, "/spec/validations").len())
    }),
    Column::of("ParamKind", |p, _| json!(param_kind(p))),
    Column::AGE,
];

/// `kubectl get mutatingadmissionpolicies`.
pub const MUTATING_POLICY: &[Column] = &[
    Column::NAME,
    Column::count("Mutations", |p, _| json!(items(p, "/spec/mutations").len())),
    Column::of("ParamKind", |p, _| json!(param_kind(p))),
    Column::AGE,
];

fn param_kind(policy: &Value) -> String {
    let Some(kind) = policy.pointer("/spec/paramKind") else {
        return UNSET.to_owned();
    };
    format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind"))
}

/// `kubectl get` of the bindings of admission policies.
pub const POLICY_BINDING: &[Column] = &[
    Column::NAME,
    Column::at("PolicyName", ".spec.policyName"),
    Column::of("ParamRef", |binding, _| json!(param_reference(binding))),
    Column::AGE,
];

fn param_reference(binding: &Value) -> String {
    let Some(reference) = binding.pointer("/spec/paramRef") else {
        return UNSET.to_owned();
    };
    match (text(reference, "/namespace"), text(reference, "/name")) {
        (_, "") => "<selector>".to_owned(),
        ("", name) => name.to_owned(),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

/// `kubectl get flowschemas`.
pub const FLOW_SCHEMA: &[Column] = &[
    Column::NAME,
    Column::at("PriorityLevel", ".spec.priorityLevelConfiguration.name"),
    Column::count("MatchingPrecedence", |s, _| {
        json!(number(s, "/spec/matchingPrecedence"))
    }),
    Column::of("DistinguisherMethod", |schema, _| {
        super::read::or_none(text(schema, "/spec/distinguisherMethod/type"))
    }),
    Column::AGE,
    Column::of("MissingPL", |schema, _| {
        let dangling = super::read::condition(schema, "Dangling");
        json!(dangling.map_or("?", |condition| text(condition, "/status")))
    }),
];

/// `kubectl get prioritylevelconfigurations`.
pub const PRIORITY_LEVEL: &[Column] = &[
    Column::NAME,
    Column::at("Type", ".spec.type"),
    Column::of("NominalConcurrencyShares", |level, _| {
        let shares = level.pointer("/spec/limited/nominalConcurrencyShares");
        or_none(shares.or_else(|| level.pointer("/spec/exempt/nominalConcurrencyShares")))
    }),
    Column::of("Queues", |level, _| queuing(level, "queues")),
    Column::of("HandSize", |level, _| queuing(level, "handSize")),
    Column::of("QueueLengthLimit", |level, _| {
        queuing(level, "queueLengthLimit")
    }),
    Column::AGE,
];

fn queuing(level: &Value, field: &str) -> Value {
    or_none(level.pointer(&format!("/spec/limited/limitResponse/queuing/{field}")))
}

fn or_none(value: Option<&Value>) -> Value {
    super::read::or_none(shown(value))
}
