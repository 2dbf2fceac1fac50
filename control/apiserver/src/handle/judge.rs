//! Whether an object may be stored: its metadata, then its kind's own rules. Pure.

use keelson_api::meta::ObjectMeta;
use keelson_api::status_error;
use keelson_api::validate::field::{ErrorList, Path};
use keelson_api::validate::{meta, names};
use keelson_schema::strategy::NameForm;
use keelson_schema::validate;
use serde::Deserialize as _;
use serde::de::value::MapDeserializer;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::handle::Call;
use crate::registry::metadata;

/// Judges a new object.
pub(crate) fn created(call: &Call, object: &Value) -> Outcome<()> {
    let mut errors = ErrorList::default();
    judge_metadata(call, object, &mut errors)?;
    (call.kind.strategy.validate)(object, &mut errors);
    if let Some(version) = call.kind.definition() {
        errors.extend(version.judge(object));
    }
    finish(call, object, &errors)
}

/// Judges a change.
pub(crate) fn changed(call: &Call, new: &Value, old: &Value) -> Outcome<()> {
    let mut errors = ErrorList::default();
    judge_metadata(call, new, &mut errors)?;
    let part = call.request.subresource.as_str();
    validate::change_rules(&call.kind, part, new, old, &mut errors);
    if let Some(version) = call.kind.definition() {
        errors.extend(version.judge(new));
    }
    finish(call, new, &errors)
}

fn finish(call: &Call, object: &Value, errors: &ErrorList) -> Outcome<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let name = metadata::text(object, "name");
    let status = status_error::invalid(&call.kind.group, &call.kind.kind, name, errors);
    Err(Failure::of(status))
}

fn judge_metadata(call: &Call, object: &Value, errors: &mut ErrorList) -> Outcome<()> {
    // The owners of fields are written by this server, and are most of it.
    let fields = object["metadata"].as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| *name != "managedFields");
    let fields = fields.map(|(name, value)| (name.as_str(), value));
    let mut read = ObjectMeta::deserialize(MapDeserializer::new(fields))
        .map_err(|error: serde_json::Error| Failure::bad_request(format!("metadata: {error}")))?;
    if !call.kind.is_namespaced() {
        // The rule below is for what lives in a namespace.
        read.namespace = Some("default".to_owned());
    }
    meta::validate(
        &read,
        form(call.kind.strategy.name),
        &Path::new("metadata"),
        errors,
    );
    Ok(())
}

fn form(form: NameForm) -> fn(&str) -> Vec<String> {
    match form {
        NameForm::Subdomain => names::dns_subdomain,
        NameForm::Label => names::dns_label,
        NameForm::Label1035 => label_1035,
        NameForm::PathSegment => path_segment,
        NameForm::IpAddress => names::ip_address,
    }
}

fn label_1035(text: &str) -> Vec<String> {
    let wrong = names::dns_label(text);
    if wrong.is_empty() && !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return vec![
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        ];
    }
    wrong
}

fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => ["/", "%"]
            .iter()
            .filter(|bad| text.contains(**bad))
            .map(|bad| format!("may not contain '{bad}'"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_forms() {
        let check = |form_of, name: &str, good: bool| {
            assert_eq!(form(form_of)(name).is_empty(), good, "{name}");
        };
        check(NameForm::Subdomain, "a.b", true);
        check(NameForm::Label, "a.b", false);
        check(NameForm::Label1035, "1a", false);
        check(NameForm::Label1035, "a1", true);
        check(NameForm::PathSegment, "system:node", true);
        check(NameForm::PathSegment, "..", false);
        check(NameForm::PathSegment, "a%b", false);
    }
}
