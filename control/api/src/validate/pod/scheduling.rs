//! What decides where a pod may run: selectors, affinity, tolerations, spread, gates, claims.

use std::collections::BTreeSet;

use super::text;
use crate::core::{NodeSelector, NodeSelectorRequirement, PodAffinityTerm, PodSpec, Toleration};
use crate::meta::LabelSelector;
use crate::validate::field::{ErrorList, Path};
use crate::validate::{meta, names};

pub(super) fn validate(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    meta::labels(
        spec.node_selector.as_ref(),
        &path.child("nodeSelector"),
        errors,
    );
    for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
        tolerate(toleration, &path.child("tolerations").index(index), errors);
    }
    affinity(spec, &path.child("affinity"), errors);
    spread(spec, &path.child("topologySpreadConstraints"), errors);
    let mut seen = BTreeSet::new();
    for (index, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = path.child("schedulingGates").index(index);
        errors.check(&path, &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(&gate.name) {
            errors.duplicate(&path, gate.name.as_str());
        }
    }
    claims(spec, &path.child("resourceClaims"), errors);
}

fn tolerate(t: &Toleration, path: &Path, errors: &mut ErrorList) {
    let (key, value) = (text(t.key.as_ref()), text(t.value.as_ref()));
    if !key.is_empty() {
        errors.check(&path.child("key"), key, names::qualified_name(key));
    }
    let operator = text(t.operator.as_ref());
    if key.is_empty() && operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(&path.child("operator"), operator, why);
    }
    let effect = text(t.effect.as_ref());
    if t.toleration_seconds.is_some() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(&path.child("effect"), effect, why);
    }
    match operator {
        "" | "Equal" => errors.check(&path.child("operator"), value, names::label_value(value)),
        "Exists" if !value.is_empty() => {
            errors.invalid(
                &path.child("operator"),
                value,
                "value must be empty when `operator` is 'Exists'",
            );
        }
        "Exists" => {}
        other => errors.not_supported(&path.child("operator"), other, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        errors.choice(&path.child("effect"), effect, &known);
    }
}

fn affinity(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let Some(affinity) = &spec.affinity else {
        return;
    };
    if let Some(node) = &affinity.node_affinity {
        let path = path.child("nodeAffinity");
        if let Some(required) = &node.required_during_scheduling_ignored_during_execution {
            let at = path.child("requiredDuringSchedulingIgnoredDuringExecution");
            node_selector(required, &at, errors);
        }
        let preferred = node
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten();
        for (index, term) in preferred.enumerate() {
            let at = path
                .child("preferredDuringSchedulingIgnoredDuringExecution")
                .index(index);
            errors.range(&at.child("weight"), term.weight.into(), 1, 100);
        }
    }
    let pods = [
        (
            "podAffinity",
            affinity.pod_affinity.as_ref().map(|a| {
                (
                    &a.required_during_scheduling_ignored_during_execution,
                    &a.preferred_during_scheduling_ignored_during_execution,
                )
            }),
        ),
        (
            "podAntiAffinity",
            affinity.pod_anti_affinity.as_ref().map(|a| {
                (
                    &a.required_during_scheduling_ignored_during_execution,
                    &a.preferred_during_scheduling_ignored_during_execution,
                )
            }),
        ),
    ];
    for (field, terms) in pods {
        let Some((required, preferred)) = terms else {
            continue;
        };
        let path = path.child(field);
        for (index, term) in required.iter().flatten().enumerate() {
            let at = path
                .child("requiredDuringSchedulingIgnoredDuringExecution")
                .index(index);
            pod_term(term, &at, errors);
        }
        for (index, term) in preferred.iter().flatten().enumerate() {
            let at = path
                .child("preferredDuringSchedulingIgnoredDuringExecution")
                .index(index);
            errors.range(&at.child("weight"), term.weight.into(), 1, 100);
            pod_term(
                &term.pod_affinity_term,
                &at.child("podAffinityTerm"),
                errors,
            );
        }
    }
}

fn pod_term(term: &PodAffinityTerm, path: &Path, errors: &mut ErrorList) {
    topology_key(&term.topology_key, &path.child("topologyKey"), errors);
    for (index, name) in term.namespaces.iter().flatten().enumerate() {
        errors.check(
            &path.child("namespaces").index(index),
            name,
            names::dns_label(name),
        );
    }
    let selectors = [
        ("labelSelector", &term.label_selector),
        ("namespaceSelector", &term.namespace_selector),
    ];
    for (field, selector) in selectors {
        if let Some(selector) = selector {
            label_selector(selector, &path.child(field), errors);
        }
    }
}

fn topology_key(key: &str, path: &Path, errors: &mut ErrorList) {
    match key {
        "" => errors.required(path, "can not be empty"),
        key => errors.check(path, key, names::qualified_name(key)),
    }
}

fn node_selector(selector: &NodeSelector, path: &Path, errors: &mut ErrorList) {
    let path = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        let path = path.index(index);
        for (at, expression) in term.match_expressions.iter().flatten().enumerate() {
            let path = path.child("matchExpressions").index(at);
            node_requirement(expression, &path, errors);
            errors.check(
                &path.child("key"),
                &expression.key,
                names::qualified_name(&expression.key),
            );
        }
        for (at, field) in term.match_fields.iter().flatten().enumerate() {
            let path = path.child("matchFields").index(at);
            node_requirement(field, &path, errors);
            if field.key != "metadata.name" {
                errors.invalid(
                    &path.child("key"),
                    field.key.as_str(),
                    "not a valid field selector key",
                );
            }
        }
    }
}

fn node_requirement(r: &NodeSelectorRequirement, path: &Path, errors: &mut ErrorList) {
    let count = r.values.as_ref().map_or(0, Vec::len);
    let at = path.child("values");
    match r.operator.as_str() {
        "In" | "NotIn" if count == 0 => {
            errors.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            errors.forbidden(
                &at,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            );
        }
        "Gt" | "Lt" if count != 1 => {
            errors.required(
                &at,
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            );
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(
            &path.child("operator"),
            other,
            "not a valid selector operator",
        ),
    }
}

fn label_selector(selector: &LabelSelector, path: &Path, errors: &mut ErrorList) {
    meta::labels(
        selector.match_labels.as_ref(),
        &path.child("matchLabels"),
        errors,
    );
    for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let count = expression.values.as_ref().map_or(0, Vec::len);
        match expression.operator.as_str() {
            "In" | "NotIn" if count == 0 => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.required(&path.child("values"), why);
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.child("values"), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            ),
        }
        errors.check(
            &path.child("key"),
            &expression.key,
            names::qualified_name(&expression.key),
        );
    }
}

fn spread(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, c) in spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .enumerate()
    {
        let path = path.index(index);
        if c.max_skew <= 0 {
            errors.invalid(&path.child("maxSkew"), c.max_skew, "must be greater than 0");
        }
        topology_key(&c.topology_key, &path.child("topologyKey"), errors);
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        errors.choice(
            &path.child("whenUnsatisfiable"),
            &c.when_unsatisfiable,
            &known,
        );
        if !seen.insert((&c.topology_key, &c.when_unsatisfiable)) {
            let pair = format!("{{{}, {}}}", c.topology_key, c.when_unsatisfiable);
            errors.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), pair);
        }
        if let Some(domains) = c.min_domains {
            let at = path.child("minDomains");
            if domains <= 0 {
                errors.invalid(&at, domains, "must be greater than 0");
            }
            if c.when_unsatisfiable != "DoNotSchedule" {
                let why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule";
                errors.invalid(&at, domains, why);
            }
        }
        let policies = [
            ("nodeAffinityPolicy", &c.node_affinity_policy),
            ("nodeTaintsPolicy", &c.node_taints_policy),
        ];
        for (field, policy) in policies {
            if let Some(policy) = policy {
                errors.choice(&path.child(field), policy, &["Honor", "Ignore"]);
            }
        }
        if let Some(selector) = &c.label_selector {
            label_selector(selector, &path.child("labelSelector"), errors);
        }
    }
}

fn claims(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, claim) in spec.resource_claims.iter().flatten().enumerate() {
        let path = path.index(index);
        match claim.name.as_str() {
            "" => errors.required(&path.child("name"), ""),
            name => errors.check(&path.child("name"), name, names::dns_label(name)),
        }
        if !seen.insert(&claim.name) {
            errors.duplicate(&path.child("name"), claim.name.as_str());
        }
        let (claimed, template) = (
            &claim.resource_claim_name,
            &claim.resource_claim_template_name,
        );
        match (claimed.is_some(), template.is_some()) {
            (true, true) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&path, claim.name.as_str(), why);
            }
            (false, false) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&path, claim.name.as_str(), why);
            }
            _ => {}
        }
    }
}
