//! `scale`: how many replicas there are to be, in one shape for all kinds that have them.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::{Failure, Outcome};
use crate::handle::edit::Edit;
use crate::handle::{Call, decode, present, update};
use crate::kinds::Kind;
use crate::respond::Reply;
use crate::route::Verb;

/// Where a kind keeps what a scale shows.
pub(crate) struct Paths {
    replicas: String,
    status: String,
    selector: Option<String>,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            replicas: "/spec/replicas".to_owned(),
            status: "/status/replicas".to_owned(),
            selector: Some("/spec/selector".to_owned()),
        }
    }
}

impl Paths {
    /// The paths of a kind.
    fn of(kind: &Kind) -> Self {
        let own = Self::default();
        let Some(scale) = kind.definition().and_then(|version| version.scale.as_ref()) else {
            return own;
        };
        let pointer = |path: &str| path.replace('.', "/");
        Self {
            replicas: pointer(&scale.wanted),
            status: pointer(&scale.there),
            selector: scale.selector.as_deref().map(pointer),
        }
    }
}

/// Answers a request for a scale.
pub(crate) async fn answer(api: &Api, call: &Call, body: Bytes) -> Outcome<Reply> {
    let paths = Paths::of(&call.kind);
    let object = if call.request.verb == Verb::Get {
        let found = api
            .registry
            .read(&call.kind, call.namespace(), &call.request.name);
        found.await?.object
    } else {
        write(api, call, &body, &paths).await?
    };
    let scale = show(&object, &paths);
    Ok(present::written(call.output, StatusCode::OK, &scale))
}

async fn write(api: &Api, call: &Call, body: &[u8], paths: &Paths) -> Outcome<Value> {
    let options = update::options(call)?;
    let edit = if call.request.verb == Verb::Update {
        Edit::Replace(decode::tree(&call.headers, body)?.0)
    } else {
        Edit::read(call, body)?
    };
    let version = edit.version().to_owned();
    let changed = update::change(api, call, &options, &version, |old| {
        let scale = edit.apply_plain(call, show(old, paths))?;
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            return Err(negative(call, replicas));
        }
        let mut new = old.clone();
        set(&mut new, &paths.replicas, replicas.into());
        Ok(new)
    });
    Ok(changed.await?.found.object)
}

fn negative(call: &Call, replicas: i64) -> Failure {
    let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
    let error = (
        "spec.replicas".to_owned(),
        "FieldValueInvalid".to_owned(),
        message,
    );
    Failure::invalid("autoscaling", "Scale", &call.request.name, [error])
}

/// The scale of an object.
pub(crate) fn show(object: &Value, paths: &Paths) -> Value {
    let own = &object["metadata"];
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if !own[field].is_null() {
            metadata[field] = own[field].clone();
        }
    }
    let number = |path: &str| {
        object
            .pointer(path)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let mut status = json!({"replicas": number(&paths.status)});
    let selector = paths
        .selector
        .as_ref()
        .and_then(|path| object.pointer(path));
    if let Some(text) = selector.map(selector_text).filter(|text| !text.is_empty()) {
        status["selector"] = text.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number(&paths.replicas)},
        "status": status,
    })
}

/// A selector as text: from a text, a map of labels, or a `LabelSelector`.
fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    let structured =
        selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    let labels = if structured {
        &selector["matchLabels"]
    } else {
        selector
    };
    let labels = labels.as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten();
    let terms: Vec<String> = labels
        .chain(expressions.filter_map(expression_text))
        .collect();
    terms.join(",")
}

fn expression_text(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values = expression["values"].as_array().into_iter().flatten();
    let values: Vec<&str> = values.filter_map(Value::as_str).collect();
    let values = values.join(",");
    Some(match expression["operator"].as_str()? {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        _ => return None,
    })
}

/// Sets a value at a pointer, making the objects on the way.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_an_object() {
        let object = json!({"metadata": {"name": "a", "labels": {}}, "spec": {"replicas": 3,
            "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d"]}]}},
            "status": {"replicas": 2}});
        let scale = show(&object, &Paths::default());
        assert_eq!(scale["spec"], json!({"replicas": 3}));
        assert_eq!(
            scale["status"],
            json!({"replicas": 2, "selector": "a=b,c in (d)"})
        );
        assert_eq!(scale["metadata"], json!({"name": "a"}));
    }

    #[test]
    fn a_value_is_set_where_nothing_was() {
        let mut object = json!({});
        set(&mut object, "/spec/replicas", 2.into());
        assert_eq!(object, json!({"spec": {"replicas": 2}}));
    }
}
