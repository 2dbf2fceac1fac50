//! A tree is held against a type: what does not fit is an error, what is unknown is dropped, and
//! what can be written in several ways is brought into one.
//!
//! That one form is what upstream's round trip through its Go types leaves: absent for null and
//! for empty lists and maps, canonical quantities, times in UTC. Objects that mean the same are
//! then the same bytes.

use base64_check::is_base64;
use jiff::Timestamp;
use keelson_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::{DecodeError, Finding};
use crate::schema::{NodeId, Object, Schema, Shape};

mod base64_check;

/// Holds an object against its type and prunes it; answers what was dropped.
///
/// # Errors
/// A value does not fit its type.
pub fn conform(
    schema: &Schema,
    root: NodeId,
    value: &mut Value,
) -> Result<Vec<Finding>, DecodeError> {
    let mut walk = Walk {
        schema,
        place: Place::default(),
        findings: Vec::new(),
        check: true,
    };
    walk.value(root, value)?;
    Ok(walk.findings)
}

/// Prunes without a word about what does not fit: custom resources are judged by validation.
pub fn conform_lenient(schema: &Schema, root: NodeId, value: &mut Value) -> Vec<Finding> {
    let mut walk = Walk {
        schema,
        place: Place::default(),
        findings: Vec::new(),
        check: false,
    };
    // Without checks the walk finds no error.
    let _ = walk.value(root, value);
    walk.findings
}

/// Holds the metadata of a custom resource against its type; the rest of it is lenient.
///
/// # Errors
/// A value does not fit its type.
pub fn conform_metadata(value: &mut Value) -> Result<Vec<Finding>, DecodeError> {
    let schema = Schema::builtin();
    let Some(node) = schema.named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") else {
        return Ok(Vec::new());
    };
    let mut walk = Walk {
        schema,
        place: Place::default(),
        findings: Vec::new(),
        check: true,
    };
    walk.within("metadata", |walk| walk.value(node, value))?;
    Ok(walk.findings)
}

/// Where the walk is.
#[derive(Default)]
struct Place {
    /// The path with places in lists, as findings name it.
    full: String,
    /// The path without them, as mismatches name it.
    plain: String,
    /// The innermost type.
    owner: String,
}

struct Walk<'a> {
    schema: &'a Schema,
    place: Place,
    findings: Vec<Finding>,
    check: bool,
}

type Step = Result<(), DecodeError>;

impl Walk<'_> {
    fn value(&mut self, id: NodeId, value: &mut Value) -> Step {
        let node = self.schema.node(id);
        let fits = match (&node.shape, &mut *value) {
            (Shape::Any, _) | (Shape::Time | Shape::MicroTime, Value::Null) => true,
            (_, Value::Null) => node.nullable || !self.check,
            (Shape::Bool, Value::Bool(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::Text, Value::String(_)) => true,
            (Shape::Int32, Value::Number(n)) => {
                n.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
            }
            (Shape::Int64, Value::Number(n)) => n.is_i64(),
            (Shape::IntOrString, Value::Number(n)) => n.is_i64() || !self.check,
            (Shape::IntOrString, Value::String(_)) => true,
            (Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Quantity, _) if self.check => {
                return self.text_form(id, value);
            }
            (Shape::Object(object), Value::Object(fields)) => {
                let object = self.schema.object(*object);
                return self.object(object, fields);
            }
            (Shape::Map(values), Value::Object(fields)) => return self.map(*values, fields),
            (Shape::List(items, _), Value::Array(list)) => return self.list(*items, list),
            _ => !self.check,
        };
        if fits {
            Ok(())
        } else {
            Err(self.mismatch(id, value))
        }
    }

    fn object(&mut self, object: &Object, fields: &mut Map<String, Value>) -> Step {
        let outer = std::mem::replace(&mut self.place.owner, short_name(&object.name).to_owned());
        let names: Vec<String> = fields.keys().cloned().collect();
        for name in names {
            let known = object.field(&name);
            let node = known.map(|f| f.node).or(object.rest);
            let Some(node) = node else {
                if !object.preserve_unknown {
                    fields.remove(&name);
                    let path = self.place.full_with(&name);
                    self.findings.push(Finding::Unknown(path));
                }
                continue;
            };
            let Some(value) = fields.get_mut(&name) else {
                continue;
            };
            if self.is_absent(node, value, known.is_some_and(|f| f.required)) {
                fields.remove(&name);
                continue;
            }
            self.within(&name, |walk| walk.value(node, value))?;
            if self.is_absent(node, value, known.is_some_and(|f| f.required)) {
                fields.remove(&name);
            }
        }
        self.place.owner = outer;
        Ok(())
    }

    /// Whether a value is how Go would write an absent one.
    fn is_absent(&self, id: NodeId, value: &Value, required: bool) -> bool {
        let node = self.schema.node(id);
        match value {
            Value::Null => self.check && !node.nullable && node.shape != Shape::Any,
            Value::Array(items) => {
                self.check && !required && items.is_empty() && matches!(node.shape, Shape::List(..))
            }
            Value::Object(fields) => {
                self.check && !required && fields.is_empty() && matches!(node.shape, Shape::Map(_))
            }
            _ => false,
        }
    }

    fn map(&mut self, values: NodeId, fields: &mut Map<String, Value>) -> Step {
        for (name, value) in fields.iter_mut() {
            if value.is_null() && self.check {
                *value = self.zero(values);
            }
            self.within(name, |walk| walk.value(values, value))?;
        }
        Ok(())
    }

    fn list(&mut self, items: NodeId, list: &mut [Value]) -> Step {
        for (at, item) in list.iter_mut().enumerate() {
            if item.is_null() && self.check {
                *item = self.zero(items);
            }
            let depth = self.place.full.len();
            self.place.full.push_str(&format!("[{at}]"));
            let outcome = self.value(items, item);
            self.place.full.truncate(depth);
            outcome?;
        }
        Ok(())
    }

    /// What Go makes of null where something must be.
    fn zero(&self, id: NodeId) -> Value {
        match self.schema.node(id).shape {
            Shape::Text | Shape::Bytes => Value::String(String::new()),
            Shape::Bool => Value::Bool(false),
            Shape::Int32 | Shape::Int64 | Shape::Number | Shape::IntOrString => Value::from(0),
            Shape::Quantity => Value::String("0".to_owned()),
            Shape::Object(_) | Shape::Map(_) => Value::Object(Map::new()),
            _ => Value::Null,
        }
    }

    fn within(&mut self, name: &str, step: impl FnOnce(&mut Self) -> Step) -> Step {
        let (full, plain) = (self.place.full.len(), self.place.plain.len());
        for path in [&mut self.place.full, &mut self.place.plain] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        let outcome = step(self);
        self.place.full.truncate(full);
        self.place.plain.truncate(plain);
        outcome
    }

    /// Brings a text with a form of its own into its one form.
    fn text_form(&mut self, id: NodeId, value: &mut Value) -> Step {
        let shape = &self.schema.node(id).shape;
        let written = match (shape, &*value) {
            (Shape::Quantity, Value::Number(number)) => number.to_string(),
            (_, Value::String(text)) => text.clone(),
            _ => return Err(self.mismatch(id, value)),
        };
        let canonical = match shape {
            Shape::Quantity => quantity(&written),
            Shape::Time => time(&written, false),
            Shape::MicroTime => time(&written, true),
            _ if is_base64(&written) => Ok(written),
            _ => Err("illegal base64 data".to_owned()),
        };
        match canonical {
            Ok(text) => {
                *value = Value::String(text);
                Ok(())
            }
            Err(message) => Err(DecodeError::Malformed {
                path: self.place.full.clone(),
                message,
            }),
        }
    }

    fn mismatch(&self, id: NodeId, value: &Value) -> DecodeError {
        let (found, expected) = (kind_of(value), self.go_type(id));
        if self.place.plain.is_empty() {
            return DecodeError::NoObject { found, expected };
        }
        let found = match (value, &self.schema.node(id).shape) {
            (Value::Number(n), Shape::Int32 | Shape::Int64) => format!("number {n}"),
            _ => found.to_owned(),
        };
        let (owner, path) = (self.place.owner.clone(), self.place.plain.clone());
        DecodeError::Mismatch {
            found,
            owner,
            path,
            expected,
        }
    }

    fn go_type(&self, id: NodeId) -> String {
        match &self.schema.node(id).shape {
            Shape::Any => "interface {}".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Int32 => "int32".to_owned(),
            Shape::Int64 => "int64".to_owned(),
            Shape::Number => "float64".to_owned(),
            Shape::Text => "string".to_owned(),
            Shape::Bytes => "[]uint8".to_owned(),
            Shape::Time => "v1.Time".to_owned(),
            Shape::MicroTime => "v1.MicroTime".to_owned(),
            Shape::Quantity => "resource.Quantity".to_owned(),
            Shape::IntOrString => "intstr.IntOrString".to_owned(),
            Shape::Object(object) => go_name(&self.schema.object(*object).name),
            Shape::Map(values) => format!("map[string]{}", self.go_type(*values)),
            Shape::List(items, _) => format!("[]{}", self.go_type(*items)),
        }
    }
}

impl Place {
    fn full_with(&self, name: &str) -> String {
        if self.full.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.full)
        }
    }
}

/// The last segment of a type's name.
fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The last two segments of a type's name: `v1.PodSpec`.
fn go_name(name: &str) -> String {
    let mut segments = name.rsplit('.');
    match (segments.next(), segments.next()) {
        (Some(last), Some(package)) => format!("{package}.{last}"),
        _ => "map[string]interface {}".to_owned(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn quantity(text: &str) -> Result<String, String> {
    match Quantity::parse(text) {
        Ok(quantity) => Ok(quantity.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn time(text: &str, micro: bool) -> Result<String, String> {
    let parsed: Timestamp = text
        .parse()
        .map_err(|_| format!("parsing time {text:?}: not in the form of RFC 3339"))?;
    Ok(format_time(parsed, micro))
}

/// A time as objects carry it.
pub(crate) fn format_time(time: Timestamp, micro: bool) -> String {
    let form = if micro {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    time.strftime(form).to_string()
}
