//! How a write changes an object: a replacement or one of the patches. Pure.

use keelson_api::status_error::Reason;
use keelson_schema::apply::{self, ApplyError, Set, Writer};
use keelson_schema::patch::{self, PatchError};
use keelson_schema::schema::Schema;
use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::handle::options::WriteOptions;
use crate::handle::{Call, decode};
use crate::registry::metadata;

const PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

/// A change.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Replace(Value),
    Json(Value),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

impl Edit {
    /// Reads a patch.
    pub(crate) fn read(call: &Call, body: &[u8]) -> Outcome<Self> {
        let media = decode::media_type(&call.headers);
        let json = || {
            serde_json::from_slice(body)
                .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))
        };
        Ok(match media {
            "application/json-patch+json" => Self::Json(json()?),
            "application/merge-patch+json" => Self::Merge(json()?),
            "application/strategic-merge-patch+json" if call.kind.is_custom() => {
                return Err(decode::unsupported(media, PATCHES));
            }
            "application/strategic-merge-patch+json" => Self::Strategic(json()?),
            "application/apply-patch+yaml" => Self::Apply(decode::yaml(body)?),
            _ => return Err(decode::unsupported(media, PATCHES)),
        })
    }

    /// Whether it is a configuration that is applied.
    pub(crate) fn is_apply(&self) -> bool {
        matches!(self, Self::Apply(_))
    }

    /// The version that a replacement is of.
    pub(crate) fn version(&self) -> &str {
        match self {
            Self::Replace(object) => metadata::text(object, "resourceVersion"),
            _ => "",
        }
    }

    /// The changed object; `old` is null where there is none.
    pub(crate) fn apply(&self, call: &Call, options: &WriteOptions, old: &Value) -> Outcome<Value> {
        let mut object = match self {
            Self::Replace(object) => return Ok(object.clone()),
            Self::Apply(config) => configured(call, options, old, config)?,
            Self::Strategic(patch) => {
                let mut object = old.clone();
                let schema = Schema::builtin();
                let root = schema.named(&call.kind.type_name).ok_or_else(|| {
                    Failure::internal(format!("{} has no schema", call.kind.qualified()))
                })?;
                patch::strategic::apply(schema, root, &mut object, patch)
                    .map_err(|error| unpatched(call, &error))?;
                object
            }
            Self::Json(_) | Self::Merge(_) => self.apply_plain(call, old.clone())?,
        };
        let findings = decode::conform(&call.kind, &mut object)?;
        decode::judge(findings, options.validation, &call.kind)?;
        Ok(object)
    }

    /// The changed tree, where it has no schema that patches need.
    pub(crate) fn apply_plain(&self, call: &Call, mut tree: Value) -> Outcome<Value> {
        match self {
            Self::Replace(object) => return Ok(object.clone()),
            Self::Json(patch) => {
                patch::json::apply(&mut tree, patch).map_err(|error| unpatched(call, &error))?;
            }
            Self::Merge(patch) | Self::Strategic(patch) | Self::Apply(patch) => {
                patch::merge::apply(&mut tree, patch);
            }
        }
        Ok(tree)
    }
}

fn unpatched(call: &Call, error: &PatchError) -> Failure {
    match error {
        PatchError::Malformed(text) => Failure::bad_request(text),
        PatchError::Inapplicable(text) => {
            let message =
                format!("the server rejected our request due to an error in our request: {text}");
            let kind = &call.kind;
            let error = ("patch".to_owned(), "FieldValueInvalid".to_owned(), message);
            Failure::invalid(&kind.group, &kind.kind, &call.request.name, [error])
        }
        PatchError::TooLarge { .. } => {
            Failure::new(Reason::RequestEntityTooLarge, error.to_string())
        }
    }
}

fn configured(call: &Call, options: &WriteOptions, old: &Value, config: &Value) -> Outcome<Value> {
    if options.manager.is_empty() {
        return Err(Failure::bad_request(
            "fieldManager is required for apply patch",
        ));
    }
    let ignored = ignored(call);
    let version = call.kind.api_version();
    let writer = writer(call, options, &version, &ignored);
    let live = Some(old).filter(|old| !old.is_null());
    let kind = call.kind.versions();
    apply::apply(kind, live, config, &writer, options.force)
        .map_err(|error| not_applied(call, &error))
}

fn not_applied(call: &Call, error: &ApplyError) -> Failure {
    let (group, plural) = (&call.kind.group, &call.kind.plural);
    match error {
        ApplyError::Conflicts(conflicts) => {
            let mut failure = Failure::conflict(group, plural, &call.request.name, "");
            let mut status = failure.status().clone();
            status.message = Some(error.to_string());
            failure = Failure::of(status);
            for conflict in conflicts {
                let message = format!("conflict with {}", conflict.manager);
                failure = failure.at_field("FieldManagerConflict", &conflict.path, message);
            }
            failure
        }
        _ => Failure::bad_request(error.to_string()),
    }
}

/// The object with the owners of its fields after a write that was no apply.
pub(crate) fn owned(call: &Call, options: &WriteOptions, old: Option<&Value>, new: Value) -> Value {
    let ignored = ignored(call);
    let version = call.kind.api_version();
    let kind = call.kind.versions();
    apply::update(kind, old, new, &writer(call, options, &version, &ignored))
}

fn writer<'a>(
    call: &'a Call,
    options: &'a WriteOptions,
    version: &'a str,
    ignored: &'a Set,
) -> Writer<'a> {
    Writer {
        manager: &options.manager,
        api_version: version,
        subresource: &call.request.subresource,
        ignored,
        now: call.now,
    }
}

/// Fields that are not written through the request's path.
fn ignored(call: &Call) -> Set {
    match call.request.subresource.as_str() {
        "" if call.kind.has_status() => Set::of_fields(&[&["status"]]),
        "status" => Set::of_fields(&[&["spec"], &["metadata", "labels"]]),
        _ => Set::default(),
    }
}
