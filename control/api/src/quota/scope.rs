//! Scopes: which objects a quota is about. Pure.

use serde_json::Value;

use super::Subject;
use crate::core::Pod;
use crate::fields;
use crate::qos::{self, QosClass};

/// Whether the object is in all scopes of the quota.
#[must_use]
pub fn matches(subject: Subject<'_>, object: &Value, quota: &Value) -> bool {
    let plain = fields::texts(quota, "/spec/scopes")
        .all(|scope| is_in(subject, object, scope, "Exists", &[]));
    let mut selected = fields::list(quota, "/spec/scopeSelector/matchExpressions").iter();
    plain
        && selected.all(|one| {
            let values: Vec<&str> = fields::texts(one, "/values").collect();
            is_in(
                subject,
                object,
                fields::text(one, "/scopeName"),
                fields::text(one, "/operator"),
                &values,
            )
        })
}

fn is_in(
    subject: Subject<'_>,
    object: &Value,
    scope: &str,
    operator: &str,
    values: &[&str],
) -> bool {
    match (subject.group, subject.resource, scope) {
        ("", "pods", "Terminating") => ends(object),
        ("", "pods", "NotTerminating") => !ends(object),
        ("", "pods", "BestEffort") => is_best_effort(object),
        ("", "pods", "NotBestEffort") => !is_best_effort(object),
        ("", "pods", "CrossNamespacePodAffinity") => looks_elsewhere(object),
        ("", "pods", "PriorityClass") => is_selected(
            fields::text(object, "/spec/priorityClassName"),
            operator,
            values,
        ),
        ("", "persistentvolumeclaims", "VolumeAttributesClass") => {
            let names = [
                "/spec/volumeAttributesClassName",
                "/status/currentVolumeAttributesClassName",
            ];
            names
                .iter()
                .any(|path| is_selected(fields::text(object, path), operator, values))
        }
        _ => false,
    }
}

fn is_selected(name: &str, operator: &str, values: &[&str]) -> bool {
    match operator {
        "In" => values.contains(&name),
        "NotIn" => !values.contains(&name),
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

fn ends(pod: &Value) -> bool {
    fields::number(pod, "/spec/activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Value) -> bool {
    qos::class(&fields::typed::<Pod>(pod)) == QosClass::BestEffort
}

/// Whether its affinity asks about pods of other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    let terms = ["podAffinity", "podAntiAffinity"]
        .into_iter()
        .flat_map(|kind| {
            let of =
                |list: &str| fields::list(pod, &format!("/spec/affinity/{kind}/{list}")).iter();
            let required = of("requiredDuringSchedulingIgnoredDuringExecution");
            let preferred = of("preferredDuringSchedulingIgnoredDuringExecution");
            required.chain(preferred.map(|one| fields::value(one, "/podAffinityTerm")))
        });
    let mut terms = terms;
    terms.any(|term| {
        !fields::list(term, "/namespaces").is_empty()
            || !fields::value(term, "/namespaceSelector").is_null()
    })
}
