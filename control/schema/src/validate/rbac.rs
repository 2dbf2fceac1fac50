//! Roles and bindings.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, selector};

/// Judges a role.
pub fn role(object: &Value, errors: &mut ErrorList) {
    for rule in At::root(object).field("rules").items() {
        policy_rule(&rule, true, errors);
    }
}

/// Judges a cluster role.
pub fn cluster_role(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    for rule in object.field("rules").items() {
        policy_rule(&rule, false, errors);
    }
    let aggregation = object.field("aggregationRule");
    if aggregation.is_given() {
        let selectors = aggregation.field("clusterRoleSelectors");
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        selectors.need(detail, errors);
        for labels in selectors.items() {
            selector::check(&labels, errors);
        }
    }
}

fn policy_rule(rule: &At<'_>, namespaced: bool, errors: &mut ErrorList) {
    rule.field("verbs")
        .need("verbs must contain at least one value", errors);
    let (urls, groups, resources) = (
        rule.field("nonResourceURLs"),
        rule.field("apiGroups"),
        rule.field("resources"),
    );
    if !urls.is_empty() {
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            urls.invalid(detail, errors);
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.field("resourceNames").is_empty() {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            urls.invalid(detail, errors);
        }
        return;
    }
    groups.need("resource rules must supply at least one api group", errors);
    resources.need("resource rules must supply at least one resource", errors);
}

/// Judges a binding of a role in a namespace.
pub fn role_binding(object: &Value, errors: &mut ErrorList) {
    binding(object, &["ClusterRole", "Role"], errors);
}

/// Judges a binding of a cluster role.
pub fn cluster_role_binding(object: &Value, errors: &mut ErrorList) {
    binding(object, &["ClusterRole"], errors);
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn binding(object: &Value, kinds: &[&str], errors: &mut ErrorList) {
    let object = At::root(object);
    let role = object.field("roleRef");
    role.field("apiGroup").one_of(&[GROUP], errors);
    if !kinds.contains(&role.field("kind").text()) {
        errors.not_supported(&role.field("kind").path, role.field("kind").text(), kinds);
    }
    role.field("name").need("", errors);
    for subject in object.field("subjects").items() {
        subject.field("name").need("", errors);
        let (kind, group) = (subject.field("kind"), subject.field("apiGroup"));
        match kind.text() {
            "ServiceAccount" => {
                let name = subject.field("name");
                name.form(names::dns_subdomain, errors);
                if !group.is_empty() {
                    errors.not_supported(&group.path, group.text(), &[""]);
                }
                subject.field("namespace").need("", errors);
            }
            "User" | "Group" => group.one_of(&[GROUP], errors),
            _ => errors.not_supported(
                &kind.path,
                kind.text(),
                &["Group", "ServiceAccount", "User"],
            ),
        }
    }
}

/// Judges the change of a binding.
pub fn binding_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (
        At::root(new).field("roleRef"),
        At::root(old).field("roleRef"),
    );
    if now.value != before.value {
        now.invalid("cannot change roleRef", errors);
    }
}
