//! Metadata of any object: its name, labels, annotations, owners, finalizers.

use keelson_api::validate::field::{ErrorList, Path};
use keelson_api::validate::names;
use serde_json::Value;

use super::At;
use crate::resource_table::Resource;
use crate::strategy::NameForm;

/// The most bytes that keys and values of annotations may have together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Finalizers without a domain.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

pub(super) fn check(row: &Resource, object: &Value, errors: &mut ErrorList) {
    let metadata = At::root(object).field("metadata");
    name(row, &metadata, errors);
    let namespace = metadata.field("namespace");
    if row.is_namespaced() {
        if namespace.need("", errors) {
            namespace.form(names::dns_label, errors);
        }
    } else if !namespace.is_empty() {
        namespace.forbidden("not allowed on this type", errors);
    }
    metadata.field("generation").not_negative(errors);
    labels(&metadata.field("labels"), errors);
    annotations(&metadata.field("annotations"), errors);
    owners(&metadata.field("ownerReferences"), errors);
    for finalizer in metadata.field("finalizers").items() {
        finalizer_name(&metadata.field("finalizers").path, finalizer.text(), errors);
    }
}

fn name(row: &Resource, metadata: &At<'_>, errors: &mut ErrorList) {
    let (name, prefix) = (metadata.field("name"), metadata.field("generateName"));
    let form = name_form(row.strategy.name);
    if !prefix.is_empty() {
        let shown = prefix.text().trim_end_matches('-');
        errors.check(&prefix.path, prefix.text(), form(shown));
    }
    if name.is_empty() && prefix.is_empty() {
        errors.required(&name.path, "name or generateName is required");
    }
    name.form(form, errors);
}

fn name_form(form: NameForm) -> fn(&str) -> Vec<String> {
    match form {
        NameForm::Subdomain => names::dns_subdomain,
        NameForm::Label => names::dns_label,
        NameForm::Label1035 => dns_1035,
        NameForm::PathSegment => path_segment,
        NameForm::IpAddress => canonical_address,
    }
}

/// A label that begins with a letter.
fn dns_1035(text: &str) -> Vec<String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(letters);
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push("must be no more than 63 bytes".to_owned());
    }
    if !fits {
        wrong.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character (e.g. \
             'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    wrong
}

/// Anything that can be a segment of a path.
fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    let held = ["/", "%"].into_iter().filter(|part| text.contains(part));
    held.map(|part| format!("may not contain '{part}'"))
        .collect()
}

fn canonical_address(text: &str) -> Vec<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) if address.to_string() == text => Vec::new(),
        Ok(_) => vec!["must be a canonical IP address".to_owned()],
        Err(_) => vec!["must be a valid IP address".to_owned()],
    }
}

/// Judges keys and values of labels.
pub(super) fn labels(labels: &At<'_>, errors: &mut ErrorList) {
    for (key, value) in labels.entries() {
        errors.check(&labels.path, key, names::qualified_name(key));
        errors.check(&labels.path, value.text(), names::label_value(value.text()));
    }
}

fn annotations(annotations: &At<'_>, errors: &mut ErrorList) {
    let mut size = 0;
    for (key, value) in annotations.entries() {
        errors.check(
            &annotations.path,
            key,
            names::qualified_name(&key.to_lowercase()),
        );
        size += key.len() + value.text().len();
    }
    if size > ANNOTATIONS_LIMIT {
        errors.too_long(&annotations.path, ANNOTATIONS_LIMIT);
    }
}

fn owners(owners: &At<'_>, errors: &mut ErrorList) {
    let mut controllers = 0;
    for owner in owners.items() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            let field = owner.field(field);
            if field.is_empty() {
                errors.invalid(&field.path, field.text(), "must not be empty");
            }
        }
        controllers += i32::from(owner.field("controller").flag());
    }
    if controllers > 1 {
        owners.invalid("Only one reference can have Controller set to true", errors);
    }
}

fn finalizer_name(path: &Path, name: &str, errors: &mut ErrorList) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.invalid(path, name, detail);
    }
    errors.check(path, name, wrong);
}

pub(super) fn check_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let fixed = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.creationTimestamp",
    ];
    super::immutable(new, old, &fixed, errors);
    let (new, old) = (
        At::root(new).field("metadata"),
        At::root(old).field("metadata"),
    );
    let generation = new.field("generation");
    if generation.int().unwrap_or_default() < old.field("generation").int().unwrap_or_default() {
        generation.invalid("must not be decremented", errors);
    }
    if old.field("deletionTimestamp").is_given() {
        let (now, before) = (new.field("finalizers"), old.field("finalizers").texts());
        let added: Vec<_> = now
            .texts()
            .into_iter()
            .filter(|f| !before.contains(f))
            .collect();
        if !added.is_empty() {
            let added: Vec<_> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.forbidden(&now.path, detail);
        }
    }
}
