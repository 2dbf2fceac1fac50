//! Pods, namespaces, nodes, configuration, leases.

use keelson_api::core::PodSpec;
use keelson_api::qos;
use keelson_api::validate::field::{ErrorList, Path};
use keelson_api::validate::{names, pod as pod_rules};
use serde_json::Value;

use super::rules::{self, Rule, Rules};
use super::{At, immutable};

/// The most bytes that a secret or a config map may hold.
const DATA_LIMIT: usize = 1024 * 1024;

/// Judges a pod.
pub fn pod(object: &Value, errors: &mut ErrorList) {
    pod_spec(&At::root(object).field("spec"), errors);
}

/// Judges a pod's spec, as in a pod or in a template.
pub(super) fn pod_spec(spec: &At<'_>, errors: &mut ErrorList) {
    match serde_json::from_value::<PodSpec>(spec.value.clone()) {
        Ok(typed) => errors.extend(pod_rules::validate_spec(&typed, &spec.path)),
        Err(_) => errors.required(&spec.path.child("containers"), ""),
    }
}

/// Judges the change of a pod: little of it may change once it is there.
pub fn pod_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (new, old) = (At::root(new).field("spec"), At::root(old).field("spec"));
    for list in ["containers", "initContainers"] {
        let (now, before) = (new.field(list), old.field(list));
        if now.items().count() != before.items().count() {
            let detail = "pod updates may not add or remove containers";
            return now.forbidden(detail, errors);
        }
    }
    if new.field("ephemeralContainers").value != old.field("ephemeralContainers").value {
        let detail = "pod updates may not change ephemeralContainers; use the ephemeralcontainers subresource";
        new.field("ephemeralContainers").forbidden(detail, errors);
    }
    tolerations(&new.field("tolerations"), &old.field("tolerations"), errors);
    if frozen(new.value) != frozen(old.value) {
        let detail = "pod updates may not change fields other than \
            `spec.containers[*].image`,`spec.initContainers[*].image`,\
            `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
            tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
            previously negative)";
        new.forbidden(detail, errors);
    }
}

fn tolerations(new: &At<'_>, old: &At<'_>, errors: &mut ErrorList) {
    let now: Vec<_> = new.items().map(|t| t.value.clone()).collect();
    if !old.items().all(|toleration| now.contains(toleration.value)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        new.forbidden(detail, errors);
    }
}

/// What may not change of a pod's spec.
fn frozen(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    for field in [
        "activeDeadlineSeconds",
        "tolerations",
        "schedulingGates",
        "ephemeralContainers",
    ] {
        fields.remove(field);
    }
    for list in ["containers", "initContainers"] {
        for container in fields
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container
                .as_object_mut()
                .map(|container| container.remove("image"));
        }
    }
    spec
}

/// Judges the addition of ephemeral containers: those that are there stay as they are.
pub fn ephemeral_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    pod(new, errors);
    let list = At::root(new).at("spec.ephemeralContainers");
    for before in At::root(old).at("spec.ephemeralContainers").items() {
        let name = before.field("name").text();
        let what = match list.items().find(|now| now.field("name").text() == name) {
            None => "removed",
            Some(now) if now.value != before.value => "changed",
            Some(_) => continue,
        };
        let detail = format!("existing ephemeral containers {name:?} may not be {what}");
        list.forbidden(&detail, errors);
    }
}

/// Judges a resize: CPU and memory of containers change, and the class they are in does not.
pub fn resize_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    pod(new, errors);
    let spec = At::root(new).field("spec");
    if without_sizes(new) != without_sizes(old) {
        spec.forbidden("only cpu and memory resources are mutable", errors);
    }
    let class = |pod: &Value| {
        serde_json::from_value(pod.clone())
            .ok()
            .map(|pod| qos::class(&pod))
    };
    if class(new) != class(old) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.invalid(&spec.path, Value::Null, detail);
    }
}

/// A pod's spec without what a resize may change.
fn without_sizes(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for half in ["requests", "limits"] {
                let amounts = container.pointer_mut(&format!("/resources/{half}"));
                if let Some(Value::Object(amounts)) = amounts {
                    amounts.retain(|name, _| name != "cpu" && name != "memory");
                }
            }
        }
    }
    spec
}

/// Judges the template of a pod template.
pub fn pod_template(object: &Value, errors: &mut ErrorList) {
    let template = At::root(object).field("template");
    super::metadata::labels(&template.at("metadata.labels"), errors);
    pod_spec(&template.field("spec"), errors);
}

/// Judges a node.
pub fn node(object: &Value, errors: &mut ErrorList) {
    for taint in At::root(object).at("spec.taints").items() {
        let (key, effect) = (taint.field("key"), taint.field("effect"));
        errors.check(&key.path, key.text(), names::qualified_name(key.text()));
        let value = taint.field("value");
        errors.check(&value.path, value.text(), names::label_value(value.text()));
        effect.need_one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"], errors);
    }
    let spec = At::root(object).field("spec");
    rules::apply(&spec, NODE, errors);
    let ranges = spec.field("podCIDRs");
    let of_v6 = ranges
        .texts()
        .iter()
        .filter(|range| range.contains(':'))
        .count();
    if of_v6 > 1 || ranges.texts().len() - of_v6 > 1 {
        ranges.invalid(
            "may specify no more than one CIDR for each IP family",
            errors,
        );
    }
}

const NODE: Rules = &[
    ("taints", Rule::Unique(&["key", "effect"])),
    ("podCIDRs[]", Rule::Form(super::network::cidr)),
];

/// Judges the change of a node.
pub fn node_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    for (field, word) in [
        ("podCIDR", "podCIDR"),
        ("podCIDRs", "podCIDRs"),
        ("providerID", "providerID"),
    ] {
        let (now, before) = (
            At::root(new).at("spec").field(field),
            At::root(old).at("spec").field(field),
        );
        if !before.is_empty() && now.value != before.value {
            let detail = format!("node updates may not change {word} except from \"\" to valid");
            now.forbidden(&detail, errors);
        }
    }
}

/// Judges a config map.
pub fn config_map(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let (data, binary) = (object.field("data"), object.field("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        errors.check(&value.path, key, names::config_key(key));
        if binary.field(key).is_given() {
            let detail = format!("duplicate of key present in binaryData: {key}");
            errors.invalid(&value.path, key, detail);
        }
        size += value.text().len();
    }
    for (key, value) in binary.entries() {
        errors.check(&value.path, key, names::config_key(key));
        size += value.text().len() / 4 * 3;
    }
    if size > DATA_LIMIT {
        errors.too_long(&Path::default(), DATA_LIMIT);
    }
}

/// Judges the change of a config map or a secret that may not change.
pub fn data_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    if At::root(old).field("immutable").flag() {
        let (new, old) = (At::root(new), At::root(old));
        if !new.field("immutable").flag() {
            new.field("immutable")
                .forbidden("field is immutable when `immutable` is set", errors);
        }
        for field in ["data", "binaryData", "stringData"] {
            if new.field(field).value != old.field(field).value {
                new.field(field)
                    .forbidden("field is immutable when `immutable` is set", errors);
            }
        }
    }
}

/// Keys that a secret of a type must hold.
const SECRET_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

/// Judges a secret.
pub fn secret(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let data = object.field("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        errors.check(&value.path, key, names::config_key(key));
        size += value.text().len() / 4 * 3;
    }
    if size > DATA_LIMIT {
        errors.too_long(&data.path.clone(), DATA_LIMIT);
    }
    let kind = object.field("type").text();
    for (_, keys) in SECRET_KEYS.iter().filter(|(known, _)| *known == kind) {
        for key in *keys {
            if !data.field(key).is_given() {
                errors.required(&data.path.key(key), "");
            }
        }
    }
    if kind == "kubernetes.io/service-account-token" {
        let account = "kubernetes.io/service-account.name";
        let annotations = object.at("metadata.annotations");
        if annotations.field(account).is_empty() {
            errors.required(&annotations.path.key(account), "");
        }
    }
    if kind == "kubernetes.io/basic-auth"
        && !data.field("username").is_given()
        && !data.field("password").is_given()
    {
        errors.required(&data.path.key("username"), "");
        errors.required(&data.path.key("password"), "");
    }
}

/// Judges the change of a secret.
pub fn secret_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["type"], errors);
    data_change(new, old, errors);
}

/// Judges a lease.
pub fn lease(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    spec.field("leaseDurationSeconds").positive(errors);
    spec.field("leaseTransitions").not_negative(errors);
    let holder = spec.field("holderIdentity");
    if holder.is_given() && holder.text().is_empty() {
        holder.invalid("must not be empty", errors);
    }
}

/// Judges a priority class.
pub fn priority_class(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let (name, value) = (object.at("metadata.name"), object.field("value"));
    if name.text().starts_with("system-")
        && !matches!(
            name.text(),
            "system-node-critical" | "system-cluster-critical"
        )
    {
        name.forbidden("priority class names with 'system-' prefix are reserved for system use only. error: unknown system class", errors);
    } else if !name.text().starts_with("system-") && value.int().is_some_and(|v| v > 1_000_000_000)
    {
        let detail = "maximum allowed value of a user defined priority is 1000000000";
        value.forbidden(detail, errors);
    }
    object
        .field("preemptionPolicy")
        .need_one_of(&["Never", "PreemptLowerPriority"], errors);
}

/// Judges the change of a priority class.
pub fn priority_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["value", "preemptionPolicy"], errors);
}

/// Judges a runtime class.
pub fn runtime_class(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let handler = object.field("handler");
    errors.check(
        &handler.path,
        handler.text(),
        names::dns_label(handler.text()),
    );
    super::quota::amounts(&object.at("overhead.podFixed"), errors);
}

/// Judges the change of a runtime class.
pub fn runtime_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["handler"], errors);
}
