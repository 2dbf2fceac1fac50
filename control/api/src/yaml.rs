//! Manifest text, YAML or JSON, to plain values that remember their lines; and back to YAML.
//!
//! Decides what scalars mean (Go's YAML 1.1 rules, as every Kubernetes tool reads them), refuses
//! duplicate keys and documents built to exhaust memory, and can tell on which line a field
//! stands. It knows nothing of kinds or fields.

mod node;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use node::Node;

/// Texts larger than this are refused before they are read.
pub const MAX_BYTES: usize = 10 << 20;

/// Nesting deeper than this is refused.
pub const MAX_DEPTH: usize = 100;

/// A place in a text, counted from 1. Zero means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The line, from 1; 0 when unknown.
    pub line: u32,
    /// The column in characters, from 1; 0 when unknown.
    pub column: u32,
}

/// Why a text could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Place(*.at))]
pub struct YamlError {
    /// Where it happened; line 0 when the place is not known.
    pub at: Mark,
    /// What is wrong.
    pub message: String,
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// What the document says.
    pub value: Value,
    marks: Option<Node>,
}

struct Place(Mark);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.line {
            0 => Ok(()),
            line => write!(f, "line {line}, column {}: ", self.0.column),
        }
    }
}

impl Document {
    /// Where the field named by `path` stands, or the nearest thing around it. Paths look like
    /// `spec.containers[0].image`.
    #[must_use]
    pub fn locate(&self, path: &str) -> Mark {
        self.marks
            .as_ref()
            .map(|root| root.locate(path))
            .unwrap_or_default()
    }
}

/// Reads every document of a text; empty documents are skipped.
///
/// # Errors
/// The first thing that cannot be read refuses the whole text.
pub fn parse(text: &str) -> Result<Vec<Document>, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError {
            at: Mark::default(),
            message: format!("the text is {} bytes; the limit is {MAX_BYTES}", text.len()),
        });
    }
    if !text.trim_start().starts_with('{') {
        return parse_yaml(text);
    }
    match parse_json(text) {
        Ok(values) => Ok(with_marks(values, text)),
        // Flow style YAML opens with a brace as well.
        Err(json) => parse_yaml(text).map_err(|_| json),
    }
}

/// Reads a text that holds exactly one document.
///
/// # Errors
/// When it cannot be read, or holds none or several.
pub fn parse_one(text: &str) -> Result<Document, YamlError> {
    let mut documents = parse(text)?;
    match (documents.len(), documents.pop()) {
        (1, Some(document)) => Ok(document),
        (count, _) => Err(YamlError {
            at: Mark::default(),
            message: format!("expected one document, found {count}"),
        }),
    }
}

fn parse_yaml(text: &str) -> Result<Vec<Document>, YamlError> {
    let nodes: Vec<Node> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|e| error_of(&e))?;
    Ok(nodes
        .into_iter()
        .filter(|node| !node.is_null())
        .map(|node| Document {
            value: node.to_value(),
            marks: Some(node),
        })
        .collect())
}

fn parse_json(text: &str) -> Result<Vec<Value>, YamlError> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<node::UniqueKeys>()
        .map(|item| item.map(|unique| unique.0))
        .collect::<Result<_, _>>()
        .map_err(|e| YamlError {
            at: Mark {
                line: u32::try_from(e.line()).unwrap_or(0),
                column: u32::try_from(e.column()).unwrap_or(0),
            },
            message: strip_place(&e.to_string()),
        })
}

/// JSON is read as JSON; its lines are known where it is also valid YAML.
fn with_marks(values: Vec<Value>, text: &str) -> Vec<Document> {
    let marks: Vec<Option<Node>> = match parse_yaml(text) {
        Ok(documents) if documents.len() == values.len() => {
            documents.into_iter().map(|d| d.marks).collect()
        }
        _ => values.iter().map(|_| None).collect(),
    };
    values
        .into_iter()
        .zip(marks)
        .map(|(value, marks)| Document { value, marks })
        .collect()
}

/// Go's reading of scalars: `yes` and `on` are booleans, `0644` is octal, duplicate keys are
/// mistakes. Budgets stop texts that grow when they are read.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: 1_000,
            max_nodes: 500_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        legacy_octal_numbers: true,
        strict_booleans: false,
        with_snippet: false,
    }
}

fn error_of(error: &serde_saphyr::Error) -> YamlError {
    let error = error.without_snippet();
    let at = error.location().map(|place| Mark {
        line: u32::try_from(place.line()).unwrap_or(0),
        column: u32::try_from(place.column()).unwrap_or(0),
    });
    YamlError {
        at: at.unwrap_or_default(),
        message: strip_place(&error.to_string()),
    }
}

/// Parsers write the place behind their message; here it is a value of its own.
fn strip_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first[..end].trim_end_matches(',').to_owned()
}

/// Writes a value as one YAML document. Text that Go would read as something else is quoted.
///
/// # Errors
/// When the value cannot be written as YAML, such as a map with keys that are not scalars.
pub fn emit<T: Serialize>(value: &T) -> Result<String, YamlError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: true };
    serde_saphyr::to_string_with_options(value, options).map_err(|e| YamlError {
        at: Mark::default(),
        message: e.to_string(),
    })
}

#[cfg(test)]
mod tests;
