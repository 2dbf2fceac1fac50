//! Deployments, replica sets, daemon sets, stateful sets, replication controllers, autoscalers.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::core::pod_spec;
use super::{At, immutable, selector};

/// Judges the template of a workload, whose pods always run.
fn template(spec: &At<'_>, errors: &mut ErrorList) {
    let template = spec.field("template");
    super::metadata::labels(&template.at("metadata.labels"), errors);
    pod_spec(&template.field("spec"), errors);
    let restart = template.at("spec.restartPolicy");
    if !restart.is_empty() && restart.text() != "Always" {
        errors.not_supported(&restart.path, restart.text(), &["Always"]);
    }
    if template.at("spec.activeDeadlineSeconds").is_given() {
        let deadline = template.at("spec.activeDeadlineSeconds");
        deadline.forbidden(
            "activeDeadlineSeconds in ReplicaSet is not Supported",
            errors,
        );
    }
}

fn counts(spec: &At<'_>, errors: &mut ErrorList) {
    for field in [
        "replicas",
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        spec.field(field).not_negative(errors);
    }
}

/// Judges a number or a percentage.
fn number_or_percent(value: &At<'_>, errors: &mut ErrorList) {
    match value.value {
        Value::Number(_) => value.not_negative(errors),
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                value.invalid(
                    "a valid percent string must be a numeric string followed by an ending '%' \
                     (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                    errors,
                );
            }
        }
        _ => {}
    }
}

fn is_zero(value: &At<'_>) -> bool {
    match value.value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.trim_start_matches('0') == "%",
        _ => true,
    }
}

fn at_most_all(value: &At<'_>, errors: &mut ErrorList) {
    let percent = value
        .text()
        .strip_suffix('%')
        .and_then(|p| p.parse::<i64>().ok());
    if percent.is_some_and(|percent| percent > 100) {
        value.invalid("must not be greater than 100%", errors);
    }
}

fn rolling(update: &At<'_>, errors: &mut ErrorList) {
    let (unavailable, surge) = (update.field("maxUnavailable"), update.field("maxSurge"));
    number_or_percent(&unavailable, errors);
    number_or_percent(&surge, errors);
    if is_zero(&unavailable) && is_zero(&surge) {
        unavailable.invalid("may not be 0 when `maxSurge` is 0", errors);
    }
    at_most_all(&unavailable, errors);
}

/// Judges a deployment.
pub fn deployment(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    counts(&spec, errors);
    selector::of_workload(&spec, "deployment", errors);
    template(&spec, errors);
    let strategy = spec.field("strategy");
    match strategy.field("type").text() {
        "Recreate" => {
            if strategy.field("rollingUpdate").is_given() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                strategy.field("rollingUpdate").forbidden(detail, errors);
            }
        }
        "RollingUpdate" => {
            if strategy.field("rollingUpdate").is_given() {
                rolling(&strategy.field("rollingUpdate"), errors);
            } else {
                errors.required(
                    &strategy.field("rollingUpdate").path,
                    "this should be defaulted and never be nil",
                );
            }
        }
        _ => strategy
            .field("type")
            .one_of(&["Recreate", "RollingUpdate"], errors),
    }
    let (deadline, ready) = (
        spec.field("progressDeadlineSeconds"),
        spec.field("minReadySeconds"),
    );
    if deadline
        .int()
        .is_some_and(|d| d <= ready.int().unwrap_or_default())
    {
        deadline.invalid("must be greater than minReadySeconds", errors);
    }
}

/// Judges a replica set.
pub fn replica_set(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    counts(&spec, errors);
    selector::of_workload(&spec, "ReplicaSet", errors);
    template(&spec, errors);
}

/// Judges a daemon set.
pub fn daemon_set(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    counts(&spec, errors);
    selector::of_workload(&spec, "daemonset", errors);
    template(&spec, errors);
    let strategy = spec.field("updateStrategy");
    strategy
        .field("type")
        .one_of(&["RollingUpdate", "OnDelete"], errors);
    if strategy.field("type").text() == "RollingUpdate" {
        rolling(&strategy.field("rollingUpdate"), errors);
    }
}

/// Says that a workload's selector may not change.
pub fn selector_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec.selector"], errors);
}

/// Judges a stateful set.
pub fn stateful_set(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    spec.field("podManagementPolicy")
        .need_one_of(&["OrderedReady", "Parallel"], errors);
    let strategy = spec.field("updateStrategy");
    strategy
        .field("type")
        .need_one_of(&["RollingUpdate", "OnDelete"], errors);
    strategy.at("rollingUpdate.partition").not_negative(errors);
    number_or_percent(&strategy.at("rollingUpdate.maxUnavailable"), errors);
    for field in ["whenDeleted", "whenScaled"] {
        spec.at("persistentVolumeClaimRetentionPolicy")
            .field(field)
            .one_of(&["Retain", "Delete"], errors);
    }
    counts(&spec, errors);
    spec.at("ordinals.start").not_negative(errors);
    selector::of_workload(&spec, "statefulset", errors);
    template(&spec, errors);
}

/// What may change of a stateful set's spec.
const STATEFUL_SET_MAY_CHANGE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Judges the change of a stateful set.
pub fn stateful_set_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let frozen = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !STATEFUL_SET_MAY_CHANGE.contains(&name.as_str()));
        }
        spec
    };
    if frozen(new) != frozen(old) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
            'template', 'updateStrategy', 'revisionHistoryLimit', \
            'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        At::root(new).field("spec").forbidden(detail, errors);
    }
}

/// Judges a replication controller.
pub fn replication_controller(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    counts(&spec, errors);
    let selector = spec.field("selector");
    if selector.need("", errors) {
        let labels = spec.at("template.metadata.labels");
        if selector
            .entries()
            .any(|(key, value)| labels.field(key).value != value.value)
        {
            labels.invalid("`selector` does not match template `labels`", errors);
        }
    }
    if spec.field("template").is_given() {
        template(&spec, errors);
    } else {
        errors.required(&spec.field("template").path, "");
    }
}

/// Judges a controller revision.
pub fn controller_revision(object: &Value, errors: &mut ErrorList) {
    At::root(object).field("revision").not_negative(errors);
}

/// Judges the change of a controller revision.
pub fn controller_revision_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["data"], errors);
}

/// Judges a disruption budget.
pub fn disruption_budget(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let (least, most) = (spec.field("minAvailable"), spec.field("maxUnavailable"));
    if least.is_given() && most.is_given() {
        spec.invalid("minAvailable and maxUnavailable cannot be both set", errors);
    }
    for value in [&least, &most] {
        number_or_percent(value, errors);
        at_most_all(value, errors);
    }
    selector::check(&spec.field("selector"), errors);
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    spec.field("unhealthyPodEvictionPolicy")
        .one_of(&policies, errors);
}

/// Judges an autoscaler.
pub fn autoscaler(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    if least.int().is_some_and(|n| n < 1) {
        least.invalid("must be greater than or equal to 1", errors);
    }
    if most.int().unwrap_or_default() < 1 {
        errors.invalid(
            &most.path,
            most.int().unwrap_or_default(),
            "must be greater than 0",
        );
    } else if least.int() > most.int() {
        most.invalid("must be greater than or equal to `minReplicas`", errors);
    }
    let target = spec.field("scaleTargetRef");
    for field in ["kind", "name"] {
        let field = target.field(field);
        if field.need("", errors) && field.text().contains(['/', '%']) {
            errors.check(
                &field.path,
                field.text(),
                names::dns_subdomain(field.text()),
            );
        }
    }
    let kinds = [
        "ContainerResource",
        "External",
        "Object",
        "Pods",
        "Resource",
    ];
    for metric in spec.field("metrics").items() {
        let kind = metric.field("type");
        kind.need_one_of(&kinds, errors);
        let mut part = kind.text().to_owned();
        if let Some(first) = part.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        if kinds.contains(&kind.text()) && !metric.field(&part).is_given() {
            let detail = "must populate information for the given metric source";
            errors.required(&metric.field(&part).path, detail);
        }
    }
    let target = spec.field("targetCPUUtilizationPercentage");
    if target.int().is_some_and(|n| n < 1) {
        target.invalid("must be greater than 0", errors);
    }
}
