//! Webhooks, admission policies, registrations of other servers.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable, selector};

/// Judges a configuration of webhooks of either kind.
pub fn webhooks(object: &Value, errors: &mut ErrorList) {
    let mut seen = Vec::new();
    for webhook in At::root(object).field("webhooks").items() {
        let name = webhook.field("name");
        if name.need("", errors) {
            let segments = name.text().split('.').count();
            name.form(names::dns_subdomain, errors);
            if segments < 3 {
                name.invalid(
                    "should be a domain with at least three segments separated by dots",
                    errors,
                );
            }
            if seen.contains(&name.text()) {
                errors.duplicate(&name.path, name.text());
            }
            seen.push(name.text());
        }
        webhook_rules(&webhook, errors);
        client(&webhook.field("clientConfig"), errors);
    }
}

fn webhook_rules(webhook: &At<'_>, errors: &mut ErrorList) {
    for rule in webhook.field("rules").items() {
        operations(&rule, errors);
    }
    webhook
        .field("failurePolicy")
        .one_of(&["Fail", "Ignore"], errors);
    webhook
        .field("matchPolicy")
        .one_of(&["Equivalent", "Exact"], errors);
    webhook
        .field("reinvocationPolicy")
        .one_of(&["IfNeeded", "Never"], errors);
    let effects = webhook.field("sideEffects");
    effects.need_one_of(&["None", "NoneOnDryRun"], errors);
    let timeout = webhook.field("timeoutSeconds");
    if timeout
        .int()
        .is_some_and(|seconds| !(1..=30).contains(&seconds))
    {
        timeout.invalid("the timeout value must be between 1 and 30 seconds", errors);
    }
    selector::check(&webhook.field("namespaceSelector"), errors);
    selector::check(&webhook.field("objectSelector"), errors);
    let versions = webhook.field("admissionReviewVersions");
    if versions.is_empty() {
        let detail = "must specify one of v1, v1beta1";
        errors.required(&versions.path, detail);
    } else if !versions
        .texts()
        .iter()
        .any(|v| matches!(*v, "v1" | "v1beta1"))
    {
        versions.invalid("must include at least one of v1, v1beta1", errors);
    }
}

fn operations(rule: &At<'_>, errors: &mut ErrorList) {
    for field in ["apiGroups", "apiVersions", "resources"] {
        let field = rule.field(field);
        field.need("", errors);
        if field.texts().contains(&"*")
            && field.texts().len() > 1
            && !field.path.as_str().ends_with("resources")
        {
            field.invalid("if '*' is present, must not specify other values", errors);
        }
    }
    let operations = rule.field("operations");
    operations.need("", errors);
    for operation in operations.items() {
        operation.one_of(&["*", "CONNECT", "CREATE", "DELETE", "UPDATE"], errors);
    }
    rule.field("scope")
        .one_of(&["*", "Cluster", "Namespaced"], errors);
}

/// Judges how a webhook is reached.
pub(super) fn client(config: &At<'_>, errors: &mut ErrorList) {
    let (url, service) = (config.field("url"), config.field("service"));
    if url.is_given() == service.is_given() {
        errors.required(&config.path, "exactly one of url or service is required");
        return;
    }
    if url.is_given() && !url.text().starts_with("https://") {
        url.invalid("'https' is the only allowed URL scheme", errors);
    }
    if service.is_given() {
        service
            .field("name")
            .need("service name is required", errors);
        service
            .field("namespace")
            .need("service namespace is required", errors);
        service.field("port").within(1, 65_535, errors);
    }
}

/// Judges an admission policy; its expressions are for those who evaluate them.
pub fn policy(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    spec.field("failurePolicy")
        .one_of(&["Fail", "Ignore"], errors);
    let matches = spec.field("matchConstraints");
    if matches.is_given() {
        matching(&matches, errors);
        matches.field("resourceRules").need("", errors);
    } else {
        errors.required(&matches.path, "");
    }
    for validation in spec.field("validations").items() {
        validation
            .field("expression")
            .need("expression is not specified", errors);
    }
    let (validations, annotations) = (spec.field("validations"), spec.field("auditAnnotations"));
    if spec.field("mutations").is_empty() && validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.required(&validations.path, detail);
    }
}

fn matching(matches: &At<'_>, errors: &mut ErrorList) {
    matches
        .field("matchPolicy")
        .one_of(&["Equivalent", "Exact"], errors);
    selector::check(&matches.field("namespaceSelector"), errors);
    selector::check(&matches.field("objectSelector"), errors);
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in matches.field(field).items() {
            operations(&rule, errors);
        }
    }
}

/// Judges the binding of an admission policy.
pub fn policy_binding(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let name = spec.field("policyName");
    if name.need("", errors) {
        name.form(names::dns_subdomain, errors);
    }
    for action in spec.field("validationActions").items() {
        action.one_of(&["Audit", "Deny", "Warn"], errors);
    }
    let actions = spec.field("validationActions").texts();
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        spec.field("validationActions").invalid("must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)", errors);
    }
    matching(&spec.field("matchResources"), errors);
}

/// Judges the registration of another server's API.
pub fn api_service(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let (name, spec) = (object.at("metadata.name"), object.field("spec"));
    let (group, version) = (spec.field("group"), spec.field("version"));
    let expected = format!("{}.{}", version.text(), group.text());
    if name.text() != expected.trim_end_matches('.') && name.text() != expected {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {expected:?}");
        name.invalid(detail, errors);
    }
    version.need("", errors);
    spec.field("groupPriorityMinimum").within(1, 20_000, errors);
    spec.field("versionPriority").within(1, 1_000, errors);
    let (service, skip, bundle) = (
        spec.field("service"),
        spec.field("insecureSkipTLSVerify"),
        spec.field("caBundle"),
    );
    if service.is_given() {
        service.field("namespace").need("", errors);
        service.field("name").need("", errors);
        if skip.flag() && !bundle.is_empty() {
            let detail = "may not be true if caBundle is present";
            skip.invalid(detail, errors);
        }
    } else if !bundle.is_empty() {
        bundle.invalid("local APIServices may not have a caBundle", errors);
    } else if skip.flag() {
        skip.invalid(
            "local APIServices may not have insecureSkipTLSVerify",
            errors,
        );
    }
}

/// Judges the change of a registration.
pub fn api_service_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec.group", "spec.version"], errors);
}
