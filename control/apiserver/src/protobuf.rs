//! Bodies in `application/vnd.kubernetes.protobuf`, which Go clients send: read into the tree that
//! the same object has in JSON. Pure.
//!
//! Types and names are the schema's; what protobuf adds (numbers of fields, messages that JSON
//! flattens, which scalars may be zero on purpose) is in a table. Replies are JSON, which those
//! clients take as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelson_schema::resource_table;
use keelson_schema::schema::{NodeId, Schema, Shape};
use serde_json::{Map, Value, json};

mod fields;
mod wire;

use fields::{Entry, Fields};
use wire::{Part, Wire};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may be nested.
const MAX_DEPTH: usize = 64;
/// The media type.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    #[error("the body does not begin with the prefix of Kubernetes' protobuf encoding")]
    Magic,
    #[error("the body ends in the middle of a field")]
    Short,
    #[error("the message type {0} is not known")]
    Type(String),
    #[error("the field {field:?} of {message} is not encoded as its type asks for")]
    Field { message: String, field: String },
    #[error("messages are nested too deep")]
    Depth,
}

type Read<T> = Result<T, ProtobufError>;

/// Reads a body: the object with its `apiVersion` and `kind`.
pub(crate) fn decode(body: &[u8]) -> Read<Value> {
    let body = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Wire::new(body) {
        let part = part?;
        match (part.number, part.bytes()) {
            (1, Some(meta)) => (version, kind) = type_meta(meta)?,
            (2, Some(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = type_name(&version, &kind);
    let schema = Schema::builtin();
    let root = schema.named(&name);
    let root = root.ok_or_else(|| ProtobufError::Type(format!("{version} {kind}")))?;
    let reader = Reader { schema };
    let mut object = reader.message(&name, Some(root), raw, 0)?;
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn type_meta(bytes: &[u8]) -> Read<(String, String)> {
    let (mut version, mut kind) = (String::new(), String::new());
    for part in Wire::new(bytes) {
        let part = part?;
        match (part.number, part.text()) {
            (1, Some(text)) => version = text,
            (2, Some(text)) => kind = text,
            _ => {}
        }
    }
    Ok((version, kind))
}

/// The name of a kind's type.
fn type_name(api_version: &str, kind: &str) -> String {
    if kind.ends_with("Options") && !kind.starts_with("Pod") && !kind.ends_with("ProxyOptions") {
        return format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}");
    }
    let (group, version) = resource_table::split_api_version(api_version);
    if let Some(row) = resource_table::by_kind(group, version, kind) {
        return row.type_name.to_string();
    }
    let package = match group {
        "" => "core",
        "rbac.authorization.k8s.io" => "rbac",
        other => other.split('.').next().unwrap_or_default(),
    };
    format!("io.k8s.api.{package}.{version}.{kind}")
}

struct Reader {
    schema: &'static Schema,
}

impl Reader {
    /// A message as an object. `node` is where the schema has it.
    fn message(
        &self,
        name: &str,
        node: Option<NodeId>,
        bytes: &[u8],
        depth: usize,
    ) -> Read<Map<String, Value>> {
        if depth > MAX_DEPTH {
            return Err(ProtobufError::Depth);
        }
        let fields = Fields::of(name).ok_or_else(|| ProtobufError::Type(name.to_owned()))?;
        let mut object = Map::new();
        for part in Wire::new(bytes) {
            let part = part?;
            match fields.entry(part.number) {
                None => {}
                Some(Entry::Inline(inner)) => {
                    let bytes = part.bytes().ok_or_else(|| misfit(name, inner))?;
                    object.extend(self.message(inner, node, bytes, depth + 1)?);
                }
                Some(Entry::Named(field, pointer)) => {
                    let child = node.and_then(|node| self.schema.child(node, field));
                    let Some(child) = child else {
                        continue;
                    };
                    let found = self.field(child, &part, object.get_mut(field), depth)?;
                    match found {
                        Found::Value(value) if pointer || !is_zero(&value) => {
                            object.insert(field.to_owned(), value);
                        }
                        Found::Value(_) | Found::Merged => {}
                        Found::Misfit => return Err(misfit(name, field)),
                    }
                }
            }
        }
        Ok(object)
    }

    /// One occurrence of a field; lists and maps grow with each.
    fn field(
        &self,
        node: NodeId,
        part: &Part<'_>,
        before: Option<&mut Value>,
        depth: usize,
    ) -> Read<Found> {
        match &self.schema.node(node).shape {
            Shape::List(item, _) => self.item(*item, part, before, depth),
            Shape::Map(values) => self.pair(*values, part, before, depth),
            _ => self.single(node, part, depth),
        }
    }

    fn item(
        &self,
        item: NodeId,
        part: &Part<'_>,
        before: Option<&mut Value>,
        depth: usize,
    ) -> Read<Found> {
        let Found::Value(value) = self.single(item, part, depth)? else {
            return Ok(Found::Misfit);
        };
        match before {
            Some(Value::Array(list)) => {
                list.push(value);
                Ok(Found::Merged)
            }
            _ => Ok(Found::Value(json!([value]))),
        }
    }

    fn pair(
        &self,
        values: NodeId,
        part: &Part<'_>,
        before: Option<&mut Value>,
        depth: usize,
    ) -> Read<Found> {
        let Some(bytes) = part.bytes() else {
            return Ok(Found::Misfit);
        };
        let (mut key, mut value) = (String::new(), None);
        for part in Wire::new(bytes) {
            let part = part?;
            match part.number {
                1 => key = part.text().unwrap_or_default(),
                2 => value = Some(self.map_value(values, &part, depth)?),
                _ => {}
            }
        }
        let value = match value {
            Some(Found::Value(value)) => value,
            None => Value::String(String::new()),
            Some(_) => return Ok(Found::Misfit),
        };
        match before {
            Some(Value::Object(map)) => {
                map.insert(key, value);
                Ok(Found::Merged)
            }
            _ => Ok(Found::Value(json!({key: value}))),
        }
    }

    /// A value of a map; lists in maps are messages that hold them.
    fn map_value(&self, node: NodeId, part: &Part<'_>, depth: usize) -> Read<Found> {
        let Shape::List(item, _) = self.schema.node(node).shape else {
            return self.single(node, part, depth);
        };
        let mut list = Vec::new();
        for inner in Wire::new(part.bytes().unwrap_or_default()) {
            if let Found::Value(value) = self.single(item, &inner?, depth)? {
                list.push(value);
            }
        }
        Ok(Found::Value(list.into()))
    }

    fn single(&self, node: NodeId, part: &Part<'_>, depth: usize) -> Read<Found> {
        let value = match &self.schema.node(node).shape {
            Shape::Bool => part.number_value().map(|number| Value::Bool(number != 0)),
            Shape::Int32 | Shape::Int64 => part.number_value().map(Value::from),
            Shape::Number => part.float().map(Value::from),
            Shape::Text => part.text().map(Value::from),
            Shape::Bytes => part.bytes().map(|bytes| STANDARD.encode(bytes).into()),
            Shape::Time => return time(part, false),
            Shape::MicroTime => return time(part, true),
            Shape::Quantity => return inner_text(part),
            Shape::IntOrString => return int_or_string(part),
            Shape::Any => return raw(part),
            Shape::Object(_) => {
                let Some(object) = self.schema.object_of(node) else {
                    return Ok(Found::Misfit);
                };
                let Some(bytes) = part.bytes() else {
                    return Ok(Found::Misfit);
                };
                if object.name.ends_with("FieldsV1") {
                    return raw(part);
                }
                let name = object.name.to_string();
                let inner = self.message(&name, Some(node), bytes, depth + 1)?;
                Some(Value::Object(inner))
            }
            Shape::List(..) | Shape::Map(_) => None,
        };
        Ok(value.map_or(Found::Misfit, Found::Value))
    }
}

/// What became of an occurrence of a field.
enum Found {
    Value(Value),
    /// It went into what was there.
    Merged,
    Misfit,
}

fn misfit(message: &str, field: &str) -> ProtobufError {
    ProtobufError::Field {
        message: message.to_owned(),
        field: field.to_owned(),
    }
}

/// What JSON leaves out where it is not a pointer.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Seconds and nanoseconds since 1970; no bytes are no time.
fn time(part: &Part<'_>, micro: bool) -> Read<Found> {
    let Some(bytes) = part.bytes() else {
        return Ok(Found::Misfit);
    };
    if bytes.is_empty() {
        return Ok(Found::Value(Value::Null));
    }
    let (mut seconds, mut nanos) = (0, 0);
    for part in Wire::new(bytes) {
        let part = part?;
        match part.number {
            1 => seconds = part.number_value().unwrap_or_default(),
            2 => nanos = part.number_value().unwrap_or_default(),
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).unwrap_or_default();
    let Ok(time) = jiff::Timestamp::new(seconds, nanos) else {
        return Ok(Found::Misfit);
    };
    let form = if micro {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    Ok(Found::Value(time.strftime(form).to_string().into()))
}

/// A message with one text.
fn inner_text(part: &Part<'_>) -> Read<Found> {
    let mut text = "0".to_owned();
    for part in Wire::new(part.bytes().unwrap_or_default()) {
        let part = part?;
        if let (1, Some(inner)) = (part.number, part.text()) {
            text = inner;
        }
    }
    Ok(Found::Value(text.into()))
}

fn int_or_string(part: &Part<'_>) -> Read<Found> {
    let (mut kind, mut number, mut text) = (0, 0, String::new());
    for part in Wire::new(part.bytes().unwrap_or_default()) {
        let part = part?;
        match part.number {
            1 => kind = part.number_value().unwrap_or_default(),
            2 => number = part.number_value().unwrap_or_default(),
            3 => text = part.text().unwrap_or_default(),
            _ => {}
        }
    }
    Ok(Found::Value(if kind == 0 {
        number.into()
    } else {
        text.into()
    }))
}

/// JSON in a message.
fn raw(part: &Part<'_>) -> Read<Found> {
    for part in Wire::new(part.bytes().unwrap_or_default()) {
        let part = part?;
        if let (1, Some(bytes)) = (part.number, part.bytes()) {
            let value = serde_json::from_slice(bytes);
            return Ok(value.map_or(Found::Misfit, Found::Value));
        }
    }
    Ok(Found::Value(Value::Null))
}

#[cfg(test)]
mod tests;
