//! Manifests: text to pods that this node can run, or what is wrong and where.
//!
//! Pure. Decodes strictly, gives static pods their identity, fills in defaults, validates, and
//! refuses references to objects that only an apiserver has.

use std::sync::Arc;

use keelson_api::core::Pod;
use keelson_api::decode::{self, DecodeError};
use keelson_api::validate::field::{ErrorKind, FieldError};
use keelson_api::yaml::{self, Document};
use keelson_api::{defaults, validate};
use serde_json::Value;

use super::{DesiredPod, PodOrigin, SourceProblem, identity, references};

/// What a manifest is read for.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Where the text comes from.
    pub origin: &'a PodOrigin,
    /// The node's name, which becomes part of the pods' names.
    pub node_name: &'a str,
    /// When the text was read, as RFC 3339; told in an annotation.
    pub seen: &'a str,
}

/// The pods of a text: documents of kind `Pod`, and lists of them.
///
/// # Errors
/// Everything that is wrong with it. A text with one wrong pod gives none.
pub fn parse(
    reading: &Reading<'_>,
    text: &str,
) -> Result<Vec<Arc<DesiredPod>>, Vec<SourceProblem>> {
    let documents = yaml::parse(text).map_err(|e| {
        vec![SourceProblem {
            line: e.at.line,
            ..reading.problem("", e.message, "correct the YAML or JSON")
        }]
    })?;
    let mut pods = Vec::new();
    let mut problems = Vec::new();
    for document in &documents {
        for (prefix, value) in items(&document.value) {
            match pod(reading, &value) {
                Ok(pod) => pods.push(Arc::new(pod)),
                Err(wrong) => {
                    problems.extend(wrong.into_iter().map(|p| placed(p, document, &prefix)))
                }
            }
        }
    }
    if pods.is_empty() && problems.is_empty() {
        let cure = "write a pod, or remove the file to stop its pods";
        problems.push(reading.problem("", "there is no pod in it", cure));
    }
    if problems.is_empty() {
        Ok(pods)
    } else {
        Err(problems)
    }
}

impl Reading<'_> {
    fn problem(&self, field: &str, message: impl Into<String>, cure: &str) -> SourceProblem {
        SourceProblem {
            field: field.to_owned(),
            ..SourceProblem::whole(self.origin.clone(), message, cure)
        }
    }
}

/// The objects of a document, each with the path that leads to it. Items of a PodList may leave
/// out what the list says already.
fn items(value: &Value) -> Vec<(String, Value)> {
    let kind = value["kind"]
        .as_str()
        .filter(|_| value["apiVersion"] == "v1");
    let typed = |item: &Value| {
        let mut item = item.clone();
        if let (Some("PodList"), Some(object)) = (kind, item.as_object_mut()) {
            object.entry("apiVersion").or_insert_with(|| "v1".into());
            object.entry("kind").or_insert_with(|| "Pod".into());
        }
        item
    };
    match (kind, value["items"].as_array()) {
        (Some("PodList" | "List"), Some(items)) => {
            let paths = (0..items.len()).map(|index| format!("items[{index}]"));
            paths.zip(items.iter().map(typed)).collect()
        }
        _ => vec![(String::new(), value.clone())],
    }
}

/// The same problem with its line and its path from the top of the document.
fn placed(problem: SourceProblem, document: &Document, prefix: &str) -> SourceProblem {
    let field = match (prefix, problem.field.as_str()) {
        ("", field) => field.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, field) => format!("{prefix}.{field}"),
    };
    SourceProblem {
        line: document.locate(&field).line,
        field,
        ..problem
    }
}

fn pod(reading: &Reading<'_>, value: &Value) -> Result<DesiredPod, Vec<SourceProblem>> {
    let mut pod: Pod = decode::object(value).map_err(|e| decode_problems(reading, &e))?;
    if pod.metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err(vec![reading.problem(
            "metadata.name",
            "Required value",
            "give the pod a name",
        )]);
    }
    let uid = identity::assign(&mut pod, reading, value);
    defaults::pod::apply(&mut pod);
    let mut problems: Vec<_> = validate::pod::validate(&pod)
        .iter()
        .map(|error| reading.problem(&error.path, error.body(), cure(error)))
        .collect();
    let why = "a static pod may not refer to objects of the API";
    problems.extend(
        references::of(&pod)
            .into_iter()
            .map(|(path, cure)| reading.problem(&path, why, cure)),
    );
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(DesiredPod {
        uid,
        pod: Arc::new(pod),
        origin: reading.origin.clone(),
    })
}

fn decode_problems(reading: &Reading<'_>, error: &DecodeError) -> Vec<SourceProblem> {
    match error {
        DecodeError::Unknown { paths } => paths
            .iter()
            .map(|path| reading.problem(path, "unknown field", "remove it or correct its spelling"))
            .collect(),
        DecodeError::WrongType { path, message } => {
            vec![reading.problem(path, message.clone(), "write a value of the expected type")]
        }
        DecodeError::TypeMeta { field } => {
            let cure = "write `apiVersion: v1` and `kind: Pod`";
            vec![reading.problem(field, "Required value", cure)]
        }
        DecodeError::WrongKind { .. } => {
            let cure = "only v1 Pod, PodList and List of pods can be run here";
            vec![reading.problem("kind", error.to_string(), cure)]
        }
        DecodeError::NotAnObject => {
            vec![reading.problem(
                "",
                error.to_string(),
                "write `apiVersion: v1` and `kind: Pod`",
            )]
        }
    }
}

fn cure(error: &FieldError) -> &'static str {
    match error.kind {
        ErrorKind::Required => "give it a value",
        ErrorKind::Duplicate => "give it a value of its own",
        ErrorKind::Forbidden => "remove it",
        ErrorKind::NotFound => "correct the name, or add what it names",
        ErrorKind::NotSupported => "use one of the supported values",
        ErrorKind::Invalid | ErrorKind::TooLong | ErrorKind::TooMany => "correct the value",
    }
}

#[cfg(test)]
mod tests;
