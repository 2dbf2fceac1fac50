//! A value is judged by the schema of a custom resource: types, bounds, forms, choices, and the
//! logic of `allOf`, `anyOf`, `oneOf` and `not`.

use std::collections::BTreeSet;

use keelson_api::validate::field::{ErrorList, Path};
use serde_json::Value;

/// Judges an object by an `openAPIV3Schema`.
#[must_use]
pub fn judge(schema: &Value, object: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    value(schema, object, &Path::default(), &mut errors);
    errors
}

fn value(schema: &Value, found: &Value, path: &Path, errors: &mut ErrorList) {
    if found.is_null() && flag(schema, "nullable") {
        return;
    }
    if let Some(expected) = wrong_type(schema, found) {
        let kind = type_name(found);
        let detail = format!(
            "{} in body must be of type {expected}: {kind:?}",
            named(path)
        );
        errors.invalid(path, kind, detail);
        return;
    }
    choices(schema, found, path, errors);
    match found {
        Value::String(text) => texts(schema, text, path, errors),
        Value::Number(_) => numbers(schema, found, path, errors),
        Value::Array(items) => lists(schema, items, path, errors),
        Value::Object(_) => objects(schema, found, path, errors),
        _ => {}
    }
    logic(schema, found, path, errors);
}

fn named(path: &Path) -> &str {
    path.as_str()
}

fn flag(schema: &Value, keyword: &str) -> bool {
    schema
        .get(keyword)
        .and_then(Value::as_bool)
        .unwrap_or_default()
}

fn list<'v>(schema: &'v Value, keyword: &str) -> &'v [Value] {
    schema
        .get(keyword)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn type_name(found: &Value) -> &'static str {
    match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The type that a value should have, where it has another.
fn wrong_type(schema: &Value, found: &Value) -> Option<String> {
    if flag(schema, "x-kubernetes-int-or-string") {
        let fits = found.is_i64() || found.is_u64() || found.is_string();
        return (!fits).then(|| "integer,string".to_owned());
    }
    let expected = schema
        .get("type")
        .and_then(Value::as_str)
        .filter(|t| !t.is_empty())?;
    let whole = found.as_f64().is_some_and(|n| n.fract() == 0.0);
    let fits = match (expected, type_name(found)) {
        ("number", "integer") => true,
        ("integer", "number") => whole,
        (expected, kind) => expected == kind,
    };
    (!fits).then(|| expected.to_owned())
}

fn choices(schema: &Value, found: &Value, path: &Path, errors: &mut ErrorList) {
    let choices = list(schema, "enum");
    if choices.is_empty() || choices.contains(found) {
        return;
    }
    let shown: Vec<String> = choices
        .iter()
        .map(|choice| {
            choice
                .as_str()
                .map_or_else(|| choice.to_string(), str::to_owned)
        })
        .collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let text = found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned);
    errors.not_supported(path, &text, &shown);
}

fn limit(schema: &Value, keyword: &str) -> Option<usize> {
    schema
        .get(keyword)
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
}

fn texts(schema: &Value, text: &str, path: &Path, errors: &mut ErrorList) {
    let length = text.chars().count();
    if limit(schema, "maxLength").is_some_and(|most| length > most) {
        errors.too_long(path, limit(schema, "maxLength").unwrap_or_default());
    }
    if let Some(least) = limit(schema, "minLength").filter(|least| length < *least) {
        let detail = format!(
            "{} in body should be at least {least} chars long",
            named(path)
        );
        errors.invalid(path, text, detail);
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let matches = regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
        if !matches {
            let detail = format!("{} in body should match '{pattern}'", named(path));
            errors.invalid(path, text, detail);
        }
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && !has_format(text, format)
    {
        let detail = format!("{} in body must be of type {format}: {text:?}", named(path));
        errors.invalid(path, text, detail);
    }
}

/// Whether a text is in a form; forms that are not known fit anything.
fn has_format(text: &str, format: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "duration" => keelson_api::duration::Duration::parse(text).is_ok(),
        "cidr" => text.split_once('/').is_some_and(|(address, bits)| {
            let most = if address.contains(':') { 128 } else { 32 };
            address.parse::<std::net::IpAddr>().is_ok()
                && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        }),
        "uuid" => {
            let digits = text.bytes().filter(|b| *b != b'-').collect::<Vec<_>>();
            digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit)
        }
        _ => true,
    }
}

fn numbers(schema: &Value, found: &Value, path: &Path, errors: &mut ErrorList) {
    let number = found.as_f64().unwrap_or_default();
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    if let Some(least) = bound("minimum") {
        let strict = flag(schema, "exclusiveMinimum");
        if number < least || (strict && number <= least) {
            let than = if strict {
                "greater than"
            } else {
                "greater than or equal to"
            };
            let detail = format!("{} in body should be {than} {least}", named(path));
            errors.invalid(path, found.clone(), detail);
        }
    }
    if let Some(most) = bound("maximum") {
        let strict = flag(schema, "exclusiveMaximum");
        if number > most || (strict && number >= most) {
            let than = if strict {
                "less than"
            } else {
                "less than or equal to"
            };
            let detail = format!("{} in body should be {than} {most}", named(path));
            errors.invalid(path, found.clone(), detail);
        }
    }
    if let Some(factor) = bound("multipleOf").filter(|factor| (number / factor).fract() != 0.0) {
        let detail = format!("{} in body should be a multiple of {factor}", named(path));
        errors.invalid(path, found.clone(), detail);
    }
}

fn lists(schema: &Value, items: &[Value], path: &Path, errors: &mut ErrorList) {
    let count = items.len();
    if let Some(most) = limit(schema, "maxItems").filter(|most| count > *most) {
        errors.too_many(path, count, most);
    }
    if let Some(least) = limit(schema, "minItems").filter(|least| count < *least) {
        let detail = format!("{} in body should have at least {least} items", named(path));
        errors.invalid(path, count, detail);
    }
    let of = schema.get("items").unwrap_or(&Value::Null);
    let mut seen = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        let path = path.index(at);
        value(of, item, &path, errors);
        if let Some(key) = key(schema, item)
            && !seen.insert(key.to_string())
        {
            errors.duplicate(&path, key);
        }
    }
}

/// What an item must be alone with.
fn key(schema: &Value, item: &Value) -> Option<Value> {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = list(schema, "x-kubernetes-list-map-keys")
                .iter()
                .filter_map(Value::as_str);
            let pairs =
                keys.map(|key| (key.to_owned(), item.get(key).cloned().unwrap_or_default()));
            Some(Value::Object(pairs.collect()))
        }
        _ if flag(schema, "uniqueItems") => Some(item.clone()),
        _ => None,
    }
}

fn objects(schema: &Value, object: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(fields) = object.as_object() else {
        return;
    };
    for name in list(schema, "required").iter().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            errors.required(&path.child(name), "");
        }
    }
    let count = fields.len();
    if let Some(most) = limit(schema, "maxProperties").filter(|most| count > *most) {
        errors.too_many(path, count, most);
    }
    if let Some(least) = limit(schema, "minProperties").filter(|least| count < *least) {
        let detail = format!(
            "{} in body should have at least {least} properties",
            named(path)
        );
        errors.invalid(path, count, detail);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let rest = schema
        .get("additionalProperties")
        .filter(|rest| rest.is_object());
    for (name, found) in fields {
        if let Some(schema) = properties
            .and_then(|properties| properties.get(name))
            .or(rest)
        {
            value(schema, found, &path.child(name), errors);
        }
    }
}

fn logic(schema: &Value, found: &Value, path: &Path, errors: &mut ErrorList) {
    let fits = |schema: &Value| {
        let mut inner = ErrorList::default();
        value(schema, found, path, &mut inner);
        inner.is_empty()
    };
    for part in list(schema, "allOf") {
        value(part, found, path, errors);
    }
    let any = list(schema, "anyOf");
    if !any.is_empty() && !flag(schema, "x-kubernetes-int-or-string") && !any.iter().any(fits) {
        let detail = format!(
            "{} in body must validate at least one schema (anyOf)",
            named(path)
        );
        errors.invalid(path, "", detail);
    }
    let one = list(schema, "oneOf");
    if !one.is_empty() && one.iter().filter(|schema| fits(schema)).count() != 1 {
        let detail = format!(
            "{} in body must validate one and only one schema (oneOf)",
            named(path)
        );
        errors.invalid(path, "", detail);
    }
    if schema
        .get("not")
        .is_some_and(|not| not.is_object() && fits(not))
    {
        let detail = format!("{} in body must not validate the schema (not)", named(path));
        errors.invalid(path, "", detail);
    }
}
