//! Objects in the form that the client asked for. Pure.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::handle::Call;
use crate::kinds::Kind;
use crate::respond::negotiate::Form;
use crate::respond::{Output, Reply};

/// An object as the store keeps it, with its version.
pub(crate) fn stored(call: &Call, code: StatusCode, json: Bytes) -> Outcome<Reply> {
    let plain = call.output.form == Form::Whole && !call.output.pretty;
    if plain && !call.kind.is_converted() {
        return Ok(Reply::json(code, json));
    }
    let object = parse(&json)?;
    Ok(tree(&call.kind, call.output, code, object))
}

/// An object as a tree.
pub(crate) fn tree(kind: &Kind, output: Output, code: StatusCode, object: Value) -> Reply {
    let value = shaped(kind, output, object);
    if output.pretty {
        let text = serde_json::to_vec_pretty(&value).unwrap_or_default();
        return Reply::json(code, text);
    }
    Reply::value(code, &value)
}

/// An object in the form that was asked for.
pub(crate) fn shaped(_kind: &Kind, output: Output, object: Value) -> Value {
    match output.form {
        Form::Whole | Form::Table(..) => object,
        Form::Metadata(version) => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": version.api_version(),
            "metadata": object["metadata"],
        }),
    }
}

/// What the store gave, as a tree.
pub(crate) fn parse(json: &[u8]) -> Outcome<Value> {
    serde_json::from_slice(json)
        .map_err(|error| Failure::internal(format!("stored object: {error}")))
}
