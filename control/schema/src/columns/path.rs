//! JSON paths, as far as columns of custom resources use them: names, places, `[*]`, `..name` is
//! not known, and filters `[?(@.type=="Ready")]`.

use jiff::Timestamp;
use serde_json::Value;

use super::age;

/// The cell at a path, in the column's type; null where there is nothing.
pub(super) fn cell(object: &Value, path: &str, kind: &str, now: Timestamp) -> Value {
    let found = find(object, path);
    let Some(first) = found.first() else {
        return Value::Null;
    };
    match kind {
        "date" => match first.as_str() {
            Some(time) => Value::String(age::since(Some(time), now)),
            None => Value::Null,
        },
        "integer" | "number" | "boolean" => (*first).clone(),
        _ => {
            let texts: Vec<_> = found.iter().map(|value| text(value)).collect();
            Value::String(texts.join(","))
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The values at a path.
#[must_use]
pub fn find<'v>(object: &'v Value, path: &str) -> Vec<&'v Value> {
    let path = path.trim_start_matches('{').trim_end_matches('}');
    let mut found = vec![object];
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        let (step, after) = split(rest);
        found = found
            .into_iter()
            .flat_map(|value| take(value, &step))
            .collect();
        rest = after;
    }
    found
}

/// A step of a path.
#[derive(Debug, PartialEq)]
enum Step<'p> {
    Name(String),
    Place(i64),
    All,
    Filter(&'p str, &'p str),
    Unknown,
}

fn split(path: &str) -> (Step<'_>, &str) {
    if let Some(rest) = path.strip_prefix('.') {
        let escaped = rest.char_indices().scan(false, |skip, (at, c)| {
            let plain = !*skip;
            *skip = plain && c == '\\';
            Some((at, c, plain))
        });
        let mut stops = escaped.filter(|(_, c, plain)| *plain && matches!(c, '.' | '['));
        let end = stops.next().map_or(rest.len(), |(at, ..)| at);
        let name = rest[..end].replace('\\', "");
        return (
            if name == "*" {
                Step::All
            } else {
                Step::Name(name)
            },
            &rest[end..],
        );
    }
    let Some((inner, after)) = path.strip_prefix('[').and_then(|p| p.split_once(']')) else {
        return (Step::Unknown, "");
    };
    (subscript(inner), after)
}

fn subscript(inner: &str) -> Step<'_> {
    if inner == "*" {
        return Step::All;
    }
    if let Ok(place) = inner.parse() {
        return Step::Place(place);
    }
    if let Some(name) = inner
        .strip_prefix('\'')
        .and_then(|name| name.strip_suffix('\''))
    {
        return Step::Name(name.to_owned());
    }
    let filter = inner.strip_prefix("?(@.").and_then(|f| f.strip_suffix(')'));
    match filter.and_then(|filter| filter.split_once("==")) {
        Some((name, value)) => Step::Filter(name.trim(), value.trim().trim_matches(['"', '\''])),
        None => Step::Unknown,
    }
}

fn take<'v>(value: &'v Value, step: &Step<'_>) -> Vec<&'v Value> {
    match (step, value) {
        (Step::Name(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
        (Step::Place(place), Value::Array(items)) => {
            let from_end = usize::try_from(-*place)
                .ok()
                .and_then(|back| items.len().checked_sub(back));
            let at = usize::try_from(*place).ok().or(from_end);
            at.and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(fields)) => fields.values().collect(),
        (Step::Filter(name, expected), Value::Array(items)) => items
            .iter()
            .filter(|item| text(&item[*name]) == *expected)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::find;

    #[test]
    fn paths_of_columns() {
        let object = json!({
            "spec": {"a": 1, "list": [{"n": "x"}, {"n": "y"}]},
            "metadata": {"labels": {"a.b/c": "d"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        let cases = [
            (".spec.a", json!([1])),
            ("{.spec.a}", json!([1])),
            (".spec.list[1].n", json!(["y"])),
            (".spec.list[-1].n", json!(["y"])),
            (".spec.list[*].n", json!(["x", "y"])),
            (".metadata.labels.a\\.b/c", json!(["d"])),
            (".metadata.labels['a.b/c']", json!(["d"])),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!(["True"]),
            ),
            (".status.conditions[?(@.type=='Gone')].status", json!([])),
            (".gone.below", json!([])),
            (".spec.a.b", json!([])),
            (".spec[", json!([])),
        ];
        for (path, expected) in cases {
            assert_eq!(json!(find(&object, path)), expected, "{path}");
        }
    }
}
