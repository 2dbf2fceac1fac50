//! Label selectors, and the labels that they should match.

use keelson_api::meta::LabelSelector;
use keelson_api::selector::Selector;
use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;

use super::At;

/// Judges a label selector; none is fine.
pub(super) fn check(selector: &At<'_>, errors: &mut ErrorList) {
    super::metadata::labels(&selector.field("matchLabels"), errors);
    for term in selector.field("matchExpressions").items() {
        let (operator, values) = (term.field("operator"), term.field("values"));
        match operator.text() {
            "In" | "NotIn" => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                values.need(detail, errors);
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail =
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    values.forbidden(detail, errors);
                }
            }
            _ => operator.invalid("not a valid selector operator", errors),
        }
        let key = term.field("key");
        errors.check(&key.path, key.text(), names::qualified_name(key.text()));
        for value in values.items() {
            errors.check(&value.path, value.text(), names::label_value(value.text()));
        }
    }
}

/// Judges a label selector that a workload must have, and that its template must match.
pub(super) fn of_workload(spec: &At<'_>, kind: &str, errors: &mut ErrorList) {
    let selector = spec.field("selector");
    if !selector.is_given() {
        errors.required(&selector.path, "");
        return;
    }
    check(&selector, errors);
    if selector.field("matchLabels").is_empty() && selector.field("matchExpressions").is_empty() {
        selector.invalid(format!("empty selector is invalid for {kind}"), errors);
        return;
    }
    let labels = spec.at("template.metadata.labels");
    let map = labels
        .entries()
        .map(|(k, v)| (k.to_owned(), v.text().to_owned()))
        .collect();
    let parsed: Option<LabelSelector> = serde_json::from_value(selector.value.clone()).ok();
    let matches = parsed.and_then(|selector| Selector::of_object(&selector));
    if matches.is_some_and(|selector| !selector.matches(&map)) {
        labels.invalid("`selector` does not match template `labels`", errors);
    }
}
