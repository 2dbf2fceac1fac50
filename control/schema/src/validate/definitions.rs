//! Definitions of custom resources, and whether their schemas are structural.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable};

/// Groups that only approved definitions may add to.
const PROTECTED: &[&str] = &["k8s.io", "kubernetes.io"];
const APPROVAL: &str = "api-approved.kubernetes.io";

/// Judges a definition.
pub fn definition(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let spec = object.field("spec");
    let (group, plural) = (spec.field("group"), spec.at("names.plural"));
    let name = object.at("metadata.name");
    let expected = format!("{}.{}", plural.text(), group.text());
    if name.text() != expected {
        name.invalid("must be spec.names.plural+\".\"+spec.group", errors);
    }
    if group.need("", errors) {
        group.form(names::dns_subdomain, errors);
        if !group.text().contains('.') {
            group.invalid("should be a domain with at least one dot", errors);
        }
        approval(&object, group.text(), errors);
    }
    spec.field("scope")
        .need_one_of(&["Cluster", "Namespaced"], errors);
    definition_names(&spec.field("names"), errors);
    versions(&spec, errors);
    conversion(&spec.field("conversion"), errors);
}

fn approval(object: &At<'_>, group: &str, errors: &mut ErrorList) {
    let is_protected = PROTECTED
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")));
    let annotations = object.at("metadata.annotations");
    if is_protected && annotations.field(APPROVAL).is_empty() {
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        errors.required(&annotations.path.key(APPROVAL), detail);
    }
}

fn definition_names(given: &At<'_>, errors: &mut ErrorList) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let field = given.field(field);
        if field.need("", errors) {
            errors.check(
                &field.path,
                field.text(),
                names::dns_label(&field.text().to_lowercase()),
            );
        }
    }
    let (kind, list) = (given.field("kind"), given.field("listKind"));
    if !kind.is_empty() && kind.text() == list.text() {
        list.invalid("kind and listKind may not be the same", errors);
    }
    for list in ["shortNames", "categories"] {
        for name in given.field(list).items() {
            errors.check(&name.path, name.text(), names::dns_label(name.text()));
        }
    }
}

fn versions(spec: &At<'_>, errors: &mut ErrorList) {
    let versions = spec.field("versions");
    let (mut stored, mut seen) = (0, Vec::new());
    for version in versions.items() {
        let name = version.field("name");
        errors.check(&name.path, name.text(), names::dns_label(name.text()));
        if seen.contains(&name.text()) {
            let detail = "must contain unique version names";
            versions.invalid(detail, errors);
        }
        seen.push(name.text());
        stored += usize::from(version.field("storage").flag());
        let schema = version.at("schema.openAPIV3Schema");
        if schema.is_given() {
            root(&schema, errors);
        } else {
            errors.required(&schema.path, "schemas are required");
        }
        columns(&version, errors);
        scale(&version.at("subresources.scale"), errors);
    }
    if stored != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.invalid(&versions.path, versions.value.clone(), detail);
    }
}

fn columns(version: &At<'_>, errors: &mut ErrorList) {
    let kinds = ["boolean", "date", "integer", "number", "string"];
    for column in version.field("additionalPrinterColumns").items() {
        column.field("name").need("", errors);
        column.field("type").need_one_of(&kinds, errors);
        let path = column.field("jsonPath");
        if path.need("", errors) && !path.text().starts_with(['.', '{']) {
            path.invalid("must be a simple JSON path starting with .", errors);
        }
    }
}

fn scale(scale: &At<'_>, errors: &mut ErrorList) {
    if !scale.is_given() {
        return;
    }
    for (field, root) in [
        ("specReplicasPath", ".spec."),
        ("statusReplicasPath", ".status."),
    ] {
        let path = scale.field(field);
        if path.need("", errors) && !path.text().starts_with(root) {
            path.invalid(
                format!("should be a json path under {}", root.trim_end_matches('.')),
                errors,
            );
        }
    }
}

fn conversion(conversion: &At<'_>, errors: &mut ErrorList) {
    let strategy = conversion.field("strategy");
    strategy.one_of(&["None", "Webhook"], errors);
    let webhook = conversion.field("webhook");
    match strategy.text() {
        "Webhook" if !webhook.is_given() => {
            let detail = "required when strategy is set to Webhook, but not set";
            errors.required(&webhook.field("clientConfig").path, detail);
        }
        "None" if webhook.is_given() => {
            webhook.forbidden(
                "should not be set when strategy is not set to Webhook",
                errors,
            );
        }
        "Webhook" => super::admission::client(&webhook.field("clientConfig"), errors),
        _ => {}
    }
}

/// Judges the schema of a whole object.
fn root(schema: &At<'_>, errors: &mut ErrorList) {
    let kind = schema.field("type");
    if kind.need("must not be empty at the root", errors) && kind.text() != "object" {
        kind.invalid("must be object at the root", errors);
    }
    if schema.field("nullable").flag() {
        schema
            .field("nullable")
            .forbidden("nullable cannot be true at the root", errors);
    }
    structural(schema, true, errors);
}

/// Keywords that no structural schema has.
const FORBIDDEN: &[(&str, &str)] = &[
    ("$ref", "$ref is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("deprecated", "deprecated is not supported"),
];

/// Judges a schema that says what a value looks like.
fn structural(schema: &At<'_>, whole: bool, errors: &mut ErrorList) {
    for (keyword, detail) in FORBIDDEN {
        if schema.field(keyword).is_given() {
            schema.field(keyword).forbidden(detail, errors);
        }
    }
    let kind = schema.field("type");
    let untyped = schema.field("x-kubernetes-int-or-string").flag()
        || schema.field("x-kubernetes-preserve-unknown-fields").flag();
    if kind.is_empty() && !untyped && !whole {
        errors.required(&kind.path, "must not be empty for specified object fields");
    }
    kind.one_of(
        &["array", "boolean", "integer", "number", "object", "string"],
        errors,
    );
    let preserve = schema.field("x-kubernetes-preserve-unknown-fields");
    if *preserve.value == Value::Bool(false) {
        preserve.invalid("must be true or undefined", errors);
    }
    if schema.field("uniqueItems").flag() {
        let detail =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        schema.field("uniqueItems").forbidden(detail, errors);
    }
    let (properties, rest) = (
        schema.field("properties"),
        schema.field("additionalProperties"),
    );
    if properties.is_given() && rest.is_given() {
        rest.forbidden(
            "additionalProperties and properties are mutual exclusive",
            errors,
        );
    }
    if kind.text() == "array" {
        array(schema, errors);
    }
    pattern(&schema.field("pattern"), errors);
    for (_, property) in properties.entries() {
        structural(&property, false, errors);
    }
    if rest.value.is_object() {
        structural(&rest, false, errors);
    }
}

fn pattern(pattern: &At<'_>, errors: &mut ErrorList) {
    if pattern.is_given()
        && let Err(error) = regex_lite::Regex::new(pattern.text())
    {
        pattern.invalid(
            format!("must be a valid regular expression, but isn't: {error}"),
            errors,
        );
    }
}

fn array(schema: &At<'_>, errors: &mut ErrorList) {
    let items = schema.field("items");
    if !items.is_given() {
        errors.required(&items.path, "must be specified");
        return;
    }
    structural(&items, false, errors);
    let (kind, keys) = (
        schema.field("x-kubernetes-list-type"),
        schema.field("x-kubernetes-list-map-keys"),
    );
    kind.one_of(&["atomic", "map", "set"], errors);
    if kind.text() != "map" {
        if !keys.is_empty() {
            let detail = "must be omitted unless x-kubernetes-list-type is map";
            keys.forbidden(detail, errors);
        }
        return;
    }
    keys.need("must not be empty if x-kubernetes-list-type is map", errors);
    let required = items.field("required").texts();
    for key in keys.items() {
        let property = items.field("properties").field(key.text());
        if !property.is_given() {
            key.invalid("entries must all be names of item properties", errors);
        } else if !required.contains(&key.text()) && !property.field("default").is_given() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.required(&property.field("default").path, detail);
        }
    }
}

/// Judges the change of a definition.
pub fn definition_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(
        new,
        old,
        &[
            "spec.group",
            "spec.scope",
            "spec.names.kind",
            "spec.names.plural",
        ],
        errors,
    );
    let names: Vec<_> = At::root(new)
        .at("spec.versions")
        .items()
        .map(|version| version.field("name").text().to_owned())
        .collect();
    let stored = At::root(new).at("status.storedVersions");
    for (at, version) in stored.texts().iter().enumerate() {
        if !names.iter().any(|name| name == version) {
            let detail = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in it and removes it from status.storedVersions";
            let detail = detail.replace("v1 was", &format!("{version} was"));
            errors.invalid(&stored.path.index(at), *version, detail);
        }
    }
}
