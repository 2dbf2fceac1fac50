//! Pods: everything upstream refuses when one is created, in upstream's words where they are
//! the ones people search for.
//!
//! The pod comes in with defaults. Rules that need another object or the node are not here.

mod containers;
mod env;
mod network;
mod probes;
mod resources;
mod scheduling;
mod security;
mod volume_source;
mod volumes;

use super::field::{ErrorList, Path};
use super::{meta, names};
use crate::core::{Pod, PodSpec};

/// Everything that is wrong with a pod.
#[must_use]
pub fn validate(pod: &Pod) -> ErrorList {
    let mut errors = ErrorList::default();
    meta::validate(
        &pod.metadata,
        names::dns_subdomain,
        &Path::new("metadata"),
        &mut errors,
    );
    match &pod.spec {
        Some(spec) => errors.extend(validate_spec(spec, &Path::new("spec"))),
        None => errors.required(&Path::new("spec").child("containers"), ""),
    }
    errors
}

/// Everything that is wrong with a pod's spec, as in a pod or in a template.
#[must_use]
pub fn validate_spec(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::default();
    let volumes = volumes::validate(spec, &path.child("volumes"), &mut errors);
    containers::validate(spec, path, &volumes, &mut errors);
    policies(spec, path, &mut errors);
    references(spec, path, &mut errors);
    security::pod(spec, &path.child("securityContext"), &mut errors);
    security::namespaces(spec, path, &mut errors);
    network::validate(spec, path, &mut errors);
    scheduling::validate(spec, path, &mut errors);
    resources::pod(spec, path, &mut errors);
    errors
}

fn text(field: Option<&String>) -> &str {
    field.map_or("", String::as_str)
}

fn policies(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let restart = text(spec.restart_policy.as_ref());
    match restart {
        "" => errors.required(&path.child("restartPolicy"), ""),
        _ => errors.choice(
            &path.child("restartPolicy"),
            restart,
            &["Always", "OnFailure", "Never"],
        ),
    }
    if let Some(seconds) = spec.active_deadline_seconds {
        errors.range(
            &path.child("activeDeadlineSeconds"),
            seconds,
            1,
            i64::from(i32::MAX),
        );
    }
    if let Some(seconds) = spec.termination_grace_period_seconds {
        errors.non_negative(&path.child("terminationGracePeriodSeconds"), seconds);
    }
    if let Some(policy) = &spec.preemption_policy {
        let choices = ["PreemptLowerPriority", "Never"];
        errors.choice(&path.child("preemptionPolicy"), policy, &choices);
    }
    if let Some(os) = &spec.os {
        let path = path.child("os").child("name");
        match os.name.as_str() {
            "" => errors.required(&path, "cannot be empty"),
            name => errors.choice(&path, name, &["linux", "windows"]),
        }
    }
}

/// Names of other objects.
fn references(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let named = [
        ("serviceAccountName", &spec.service_account_name),
        ("nodeName", &spec.node_name),
        ("priorityClassName", &spec.priority_class_name),
        ("runtimeClassName", &spec.runtime_class_name),
    ];
    for (field, name) in named {
        if let Some(name) = name.as_ref().filter(|n| !n.is_empty()) {
            errors.check(&path.child(field), name, names::dns_subdomain(name));
        }
    }
    for (index, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            errors.required(
                &path.child("imagePullSecrets").index(index).child("name"),
                "",
            );
        }
    }
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = path
            .child("readinessGates")
            .index(index)
            .child("conditionType");
        errors.check(
            &path,
            &gate.condition_type,
            names::qualified_name(&gate.condition_type),
        );
    }
}

#[cfg(test)]
mod tests;
