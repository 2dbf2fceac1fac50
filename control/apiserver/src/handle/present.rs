//! Objects in the form that the client asked for. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use keelson_schema::table::{self, IncludeObject};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::handle::Call;
use crate::kinds::{Kind, served};
use crate::object::splice;
use crate::registry::Found;
use crate::respond::negotiate::{Form, Include, MetaVersion};
use crate::respond::{Output, Reply};

/// An object as the store keeps it, with its version.
pub(crate) fn stored(call: &Call, code: StatusCode, json: Bytes) -> Outcome<Reply> {
    if is_plain(&call.kind, call.output) && !call.output.pretty {
        return Ok(Reply::json(code, json));
    }
    Ok(tree(call, code, parse(&json)?))
}

/// An object that was read or written: what was written is not written anew.
pub(crate) fn found(call: &Call, code: StatusCode, found: Found) -> Reply {
    match &found.written {
        Some(bytes) if is_plain(&call.kind, call.output) && !call.output.pretty => {
            Reply::json(code, splice(bytes, found.revision))
        }
        _ => tree(call, code, found.object),
    }
}

/// Whether stored bytes are what the client asked for.
pub(crate) fn is_plain(kind: &Kind, output: Output) -> bool {
    output.form == Form::Whole && !kind.is_converted()
}

/// An object as a tree.
pub(crate) fn tree(call: &Call, code: StatusCode, object: Value) -> Reply {
    written(call.output, code, &shaped(call, object))
}

/// A tree as it is.
pub(crate) fn written(output: Output, code: StatusCode, value: &Value) -> Reply {
    if output.pretty {
        return Reply::json(code, serde_json::to_vec_pretty(value).unwrap_or_default());
    }
    Reply::value(code, value)
}

/// An object in the kind's version; one that cannot be converted is shown as it is kept.
fn in_version(kind: &Kind, object: Value) -> Value {
    let converted = match served(kind, &object) {
        Ok(Cow::Owned(converted)) => Some(converted),
        _ => None,
    };
    converted.unwrap_or(object)
}

/// An object in the form that was asked for.
pub(crate) fn shaped(call: &Call, object: Value) -> Value {
    let object = in_version(&call.kind, object);
    match call.output.form {
        Form::Whole => object,
        Form::Table(version, include) => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            table_of(call, [&object], &metadata, version, include)
        }
        Form::Metadata(version) => partial(&object, version),
    }
}

fn partial(object: &Value, version: MetaVersion) -> Value {
    let mut partial = table::partial(object);
    partial["apiVersion"] = version.api_version().into();
    partial
}

fn table_of<'a>(
    call: &Call,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    version: MetaVersion,
    include: Include,
) -> Value {
    let include = match include {
        Include::Nothing => IncludeObject::None,
        Include::Metadata => IncludeObject::Metadata,
        Include::Object => IncludeObject::Object,
    };
    let mut table = table::table(&call.kind.columns, objects, metadata, include, call.now);
    table["apiVersion"] = version.api_version().into();
    table
}

/// A list in the form that was asked for.
pub(crate) fn list(call: &Call, objects: Vec<Value>, metadata: Value) -> Value {
    let kind = &call.kind;
    let objects: Vec<Value> = objects
        .into_iter()
        .map(|object| in_version(kind, object))
        .collect();
    match call.output.form {
        Form::Whole => json!({
            "kind": kind.list_kind,
            "apiVersion": kind.api_version(),
            "metadata": metadata,
            "items": objects,
        }),
        Form::Table(version, include) => table_of(call, &objects, &metadata, version, include),
        Form::Metadata(version) => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": version.api_version(),
            "metadata": metadata,
            "items": objects.iter().map(|object| partial(object, version)).collect::<Vec<_>>(),
        }),
    }
}

/// What the store gave, as a tree.
pub(crate) fn parse(json: &[u8]) -> Outcome<Value> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::internal(format!("stored object: {error}")))
}
