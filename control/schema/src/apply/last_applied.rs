//! The way from client-side to server-side apply: what `kubectl apply` has noted in an annotation
//! counts as kubectl's own, and the note is kept up as long as it is there.

use serde_json::{Map, Value};

use super::path;
use super::{ApplyError, Conflict, Versions, Writer, engine};

/// Where client-side apply keeps what was applied last.
const NOTE: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The name under which kubectl applies.
const KUBECTL: &str = "kubectl";
/// The most that all annotations of an object may take.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The object and its owners after a configuration was applied.
///
/// # Errors
/// The configuration is malformed or of another version, or others own what it changes and
/// `force` is not set.
pub fn apply(
    versions: &dyn Versions,
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    let applied = engine::apply(versions, live, config, writer, force);
    let Some(live) = live.filter(|live| writer.manager == KUBECTL && note(live).is_some()) else {
        return applied;
    };
    let applied = match applied {
        Err(ApplyError::Conflicts(conflicts)) => {
            let own = own_fields(versions, live, writer).unwrap_or_default();
            let is_of_others = |conflict: &Conflict| !own.contains(&conflict.path);
            let left: Vec<Conflict> = conflicts.into_iter().filter(is_of_others).collect();
            if !left.is_empty() {
                return Err(ApplyError::Conflicts(left));
            }
            engine::apply(versions, Some(live), config, writer, true)
        }
        applied => applied,
    };
    applied.map(|object| noted(object, config))
}

fn note(object: &Value) -> Option<&str> {
    let text = object["metadata"]["annotations"][NOTE].as_str();
    text.filter(|text| !text.is_empty())
}

/// The fields that client-side apply set and that are still what it set them to.
fn own_fields(versions: &dyn Versions, live: &Value, writer: &Writer<'_>) -> Option<Vec<String>> {
    let typed = versions.typed(writer.api_version)?;
    let last: Value = serde_json::from_str(note(live)?).ok()?;
    let differs = typed.compare(&last, live);
    let changed = differs
        .modified
        .union(&differs.added)
        .union(&differs.removed);
    let own = typed.field_set(&last).difference(&changed);
    Some(own.paths().iter().map(|one| path::display(one)).collect())
}

/// The object with a note of what was applied.
fn noted(mut object: Value, config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        let annotations = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut);
        annotations.map(|annotations| annotations.remove(NOTE));
    }
    let text = format!("{config}\n");
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        let text = if fits(annotations, &text) {
            text
        } else {
            String::new()
        };
        annotations.insert(NOTE.to_owned(), text.into());
    }
    object
}

fn fits(annotations: &Map<String, Value>, text: &str) -> bool {
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    let others = annotations.iter().filter(|(key, _)| *key != NOTE);
    NOTE.len() + text.len() + others.map(size).sum::<usize>() <= MAX_ANNOTATIONS
}
