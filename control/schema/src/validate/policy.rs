//! Flow control.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::At;

/// Judges a flow schema.
pub fn flow_schema(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let spec = object.field("spec");
    let precedence = spec.field("matchingPrecedence");
    precedence.within(1, 10_000, errors);
    if precedence.int() == Some(1) && object.at("metadata.name").text() != "exempt" {
        precedence.invalid(
            "only the schema named 'exempt' may have matchingPrecedence 1",
            errors,
        );
    }
    let level = spec.at("priorityLevelConfiguration.name");
    if level.need("must reference a priority level", errors) {
        level.form(names::dns_subdomain, errors);
    }
    spec.at("distinguisherMethod.type")
        .one_of(&["ByNamespace", "ByUser"], errors);
    for rule in spec.field("rules").items() {
        rule.field("subjects")
            .need("subjects must contain at least one value", errors);
        if rule.field("resourceRules").is_empty() && rule.field("nonResourceRules").is_empty() {
            errors.required(
                &rule.path,
                "at least one of resourceRules and nonResourceRules has to be non-empty",
            );
        }
        for subject in rule.field("subjects").items() {
            subject
                .field("kind")
                .one_of(&["Group", "ServiceAccount", "User"], errors);
        }
    }
}

/// Judges a priority level.
pub fn priority_level(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let kind = spec.field("type");
    kind.need_one_of(&["Exempt", "Limited"], errors);
    let limited = spec.field("limited");
    match kind.text() {
        "Exempt" if limited.is_given() => {
            limited.forbidden("must be nil if the type is not Limited", errors);
        }
        "Limited" if !limited.is_given() => {
            errors.required(&limited.path, "must not be empty when type is Limited");
        }
        _ => {}
    }
    limited
        .field("nominalConcurrencyShares")
        .not_negative(errors);
    limited.field("lendablePercent").within(0, 100, errors);
    let response = limited.field("limitResponse");
    if limited.is_given() {
        response
            .field("type")
            .need_one_of(&["Queue", "Reject"], errors);
    }
    for field in ["queues", "handSize", "queueLengthLimit"] {
        response.at("queuing").field(field).positive(errors);
    }
}
