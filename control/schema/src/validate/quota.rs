//! Quotas of namespaces, and ranges of what is asked for in them.

use keelson_api::quantity::Quantity;
use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::{Map, Value};

use super::{At, immutable};

/// Judges the amounts of a map.
pub(super) fn amounts(map: &At<'_>, errors: &mut ErrorList) {
    for (name, amount) in map.entries() {
        errors.check(&amount.path, name, names::qualified_name(name));
        if Quantity::parse(amount.text()).is_ok_and(|quantity| quantity.signum() < 0) {
            amount.invalid("must be greater than or equal to 0", errors);
        }
    }
}

/// Names that a quota without a domain may have.
const QUOTAS: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

/// Quotas that count.
fn is_count(name: &str) -> bool {
    let measured = ["cpu", "memory", "storage"];
    QUOTAS.contains(&name) && !measured.iter().any(|part| name.ends_with(part))
}

fn quota_amounts(map: &At<'_>, errors: &mut ErrorList) {
    amounts(map, errors);
    for (name, amount) in map.entries() {
        let huge = name
            .trim_start_matches("requests.")
            .starts_with("hugepages-");
        if !name.contains('/') && !huge && !QUOTAS.contains(&name) {
            errors.invalid(&amount.path, name, "must be a standard resource for quotas");
        }
        let whole = |quantity: Quantity| quantity.approximate().fract() == 0.0;
        if is_count(name) && Quantity::parse(amount.text()).is_ok_and(|found| !whole(found)) {
            amount.invalid("must be an integer", errors);
        }
    }
}

/// Scopes, and those that cannot be beside them.
const SCOPES: &[(&str, &str)] = &[
    ("Terminating", "NotTerminating"),
    ("NotTerminating", "Terminating"),
    ("BestEffort", "NotBestEffort"),
    ("NotBestEffort", "BestEffort"),
    ("PriorityClass", ""),
    ("CrossNamespacePodAffinity", ""),
    ("VolumeAttributesClass", ""),
];

/// Whether a scope has any say about what a quota bounds.
fn applies(scope: &str, name: &str) -> bool {
    let of_pods = name == "pods"
        || ["cpu", "memory"].iter().any(|part| name.ends_with(part))
        || name.ends_with("ephemeral-storage");
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => name.ends_with("storage") || name == "persistentvolumeclaims",
        "Terminating" | "NotTerminating" | "NotBestEffort" => of_pods,
        _ => true,
    }
}

/// Judges a quota.
pub fn resource_quota(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let hard = spec.field("hard");
    quota_amounts(&hard, errors);
    let scopes = spec.field("scopes");
    let chosen = scopes.texts();
    for scope in scopes.items() {
        match SCOPES.iter().find(|(name, _)| *name == scope.text()) {
            None => scopes.invalid("unsupported scope", errors),
            Some((_, other)) if chosen.contains(other) => {
                scopes.invalid("conflicting scopes", errors);
            }
            Some((name, _)) => {
                if hard.entries().any(|(resource, _)| !applies(name, resource)) {
                    scopes.invalid("unsupported scope applied to resource", errors);
                }
            }
        }
    }
    for term in spec.at("scopeSelector.matchExpressions").items() {
        scope_term(&term, errors);
    }
}

fn scope_term(term: &At<'_>, errors: &mut ErrorList) {
    let (name, operator) = (term.field("scopeName"), term.field("operator"));
    let values = term.field("values");
    let known = SCOPES.iter().find(|(known, _)| *known == name.text());
    match known {
        None => name.invalid("unsupported scope", errors),
        Some((_, other)) if !other.is_empty() && operator.text() != "Exists" => {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            operator.invalid(detail, errors);
        }
        Some(_) => {}
    }
    match operator.text() {
        "In" | "NotIn" => {
            let detail =
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            values.need(detail, errors);
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let detail = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                values.invalid(detail, errors);
            }
        }
        _ => operator.invalid("not a valid selector operator", errors),
    }
}

/// Judges the status of a quota.
pub fn status(new: &Value, _: &Value, errors: &mut ErrorList) {
    for field in ["hard", "used"] {
        quota_amounts(&At::root(new).field("status").field(field), errors);
    }
}

/// Judges the change of a quota.
pub fn resource_quota_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec.scopes"], errors);
}

/// Judges a limit range.
pub fn limit_range(object: &Value, errors: &mut ErrorList) {
    let mut seen = Vec::new();
    for limit in At::root(object).at("spec.limits").items() {
        let kind = limit.field("type");
        if kind.need("", errors) && seen.contains(&kind.text()) {
            errors.duplicate(&kind.path, kind.text());
        }
        seen.push(kind.text());
        if kind.text() == "Pod" {
            for field in ["default", "defaultRequest"] {
                let field = limit.field(field);
                if !field.is_empty() {
                    field.forbidden("may not be specified when `type` is 'Pod'", errors);
                }
            }
        }
        let bounds = ["min.storage", "max.storage"].map(|path| limit.at(path).is_given());
        if kind.text() == "PersistentVolumeClaim" && bounds == [false, false] {
            let detail =
                "either minimum or maximum storage value is required, but neither was provided";
            errors.required(&limit.path, detail);
        }
        for field in [
            "max",
            "min",
            "default",
            "defaultRequest",
            "maxLimitRequestRatio",
        ] {
            amounts(&limit.field(field), errors);
        }
        for (low, high) in [
            ("min", "max"),
            ("min", "default"),
            ("min", "defaultRequest"),
            ("defaultRequest", "default"),
            ("default", "max"),
            ("defaultRequest", "max"),
        ] {
            ordered(&limit, low, high, errors);
        }
    }
}

/// Complains about amounts of one map that are above those of another.
fn ordered(limit: &At<'_>, low: &str, high: &str, errors: &mut ErrorList) {
    let empty = Map::new();
    let highs = limit
        .field(high)
        .value
        .as_object()
        .unwrap_or(&empty)
        .clone();
    for (name, amount) in limit.field(low).entries() {
        let Some(most) = highs.get(name).and_then(Value::as_str) else {
            continue;
        };
        if let (Ok(amount_read), Ok(most_read)) =
            (Quantity::parse(amount.text()), Quantity::parse(most))
            && amount_read > most_read
        {
            let shown = amount.text();
            let path = limit.field(low).path.key(name);
            let detail = format!("{low} value {shown} is greater than {high} value {most}");
            errors.invalid(&path, shown, detail);
        }
    }
}
