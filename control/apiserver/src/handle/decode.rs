//! From a body to an object of the kind, or the refusal. Pure.

use hyper::header::{self, HeaderMap};
use keelson_api::status_error::Reason;
use keelson_schema::decode::{self, Finding};
use keelson_schema::resource_table::Resource;
use keelson_schema::schema::Schema;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::handle::options::Validation;
use crate::kinds::Kind;
use crate::protobuf;
use crate::respond::header_text;

/// The most unknown fields that are named.
const MAX_FINDINGS: usize = 128;

/// An object and what its sender should know.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
}

/// The media type without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = header_text(headers, header::CONTENT_TYPE);
    text.split(';').next().unwrap_or_default().trim()
}

/// Reads an object of a kind.
pub(crate) fn object(
    kind: &Kind,
    headers: &HeaderMap,
    body: &[u8],
    validation: Validation,
) -> Outcome<Decoded> {
    let (mut value, duplicates) = tree(headers, body)?;
    adopt_type(kind, &mut value)?;
    let findings = conform(kind, &mut value)?;
    let warnings = judge(
        duplicates.into_iter().chain(findings).collect(),
        validation,
        kind,
    )?;
    Ok(Decoded {
        object: value,
        warnings,
    })
}

/// A body as a tree, and the fields that were given twice.
pub(crate) fn tree(headers: &HeaderMap, body: &[u8]) -> Outcome<(Value, Vec<Finding>)> {
    match media_type(headers) {
        "" | "application/json" => {
            let parsed =
                decode::parse(body).map_err(|error| Failure::bad_request(error.to_string()))?;
            Ok((parsed.value, parsed.duplicates))
        }
        protobuf::MEDIA => protobuf::decode(body)
            .map(|value| (value, Vec::new()))
            .map_err(|error| Failure::bad_request(error.to_string())),
        "application/yaml" => yaml(body).map(|value| (value, Vec::new())),
        other => Err(unsupported(
            other,
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// A body in YAML as a tree.
pub(crate) fn yaml(body: &[u8]) -> Outcome<Value> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
    let document = keelson_api::yaml::parse_one(text)
        .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
    Ok(document.value)
}

/// The refusal of a body's encoding.
pub(crate) fn unsupported(found: &str, accepted: &str) -> Failure {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted} (not {found:?})"
    );
    Failure::new(Reason::UnsupportedMediaType, message)
}

/// Checks or fills in kind and version.
fn adopt_type(kind: &Kind, value: &mut Value) -> Outcome<()> {
    let Some(fields) = value.as_object_mut() else {
        return Err(Failure::bad_request("the body is not a JSON object"));
    };
    let expected = kind.api_version();
    let version = fields
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let own = fields
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !version.is_empty() && version != expected {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if !own.is_empty() && own != kind.kind {
        let wanted = &kind.kind;
        return Err(Failure::bad_request(format!(
            "the kind in the data ({own}) does not match the expected kind ({wanted})"
        )));
    }
    fields.insert("apiVersion".to_owned(), expected.into());
    fields.insert("kind".to_owned(), kind.kind.to_string().into());
    Ok(())
}

/// Holds an object against its type; what is unknown is dropped and told.
pub(crate) fn conform(kind: &Kind, value: &mut Value) -> Outcome<Vec<Finding>> {
    if let Some(version) = kind.definition() {
        let found = version.conform(value);
        return found.map_err(|error| Failure::bad_request(error.to_string()));
    }
    let schema = Schema::builtin();
    let Some(root) = schema.named(&kind.type_name) else {
        return Ok(Vec::new());
    };
    decode::conform(schema, root, value).map_err(|error| {
        let version = &kind.version;
        Failure::bad_request(decode::bad_request(&kind.kind, version, &error.to_string()))
    })
}

/// What unknown and doubled fields lead to.
pub(crate) fn judge(
    mut findings: Vec<Finding>,
    validation: Validation,
    kind: &Resource,
) -> Outcome<Vec<String>> {
    findings.truncate(MAX_FINDINGS);
    match validation {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(findings.iter().map(ToString::to_string).collect()),
        Validation::Strict if findings.is_empty() => Ok(Vec::new()),
        Validation::Strict => {
            let error = decode::strict_error(&findings);
            let version = &kind.version;
            Err(Failure::bad_request(decode::bad_request(
                &kind.kind, version, &error,
            )))
        }
    }
}
