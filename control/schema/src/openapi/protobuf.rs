//! The version 2 document in protobuf, which Go clients ask for.
//!
//! The messages and their field numbers are those of gnostic's `openapi.v2` package; only the
//! fields that our documents have are here, and a document with another one would lose it. Knows
//! nothing of resources.

use serde_json::{Map, Value};

/// The document as a message `openapi.v2.Document`.
pub(super) fn document(document: &Value) -> Vec<u8> {
    let mut whole = Message::of(document);
    whole.texts(&[("swagger", 1)]);
    whole.one("info", 2, |info| {
        let mut info = Message::of(info);
        info.texts(&[("title", 1), ("version", 2)]);
        info.done()
    });
    whole.one("paths", 8, |paths| named(paths, 2, path));
    whole.one("definitions", 9, |all| named(all, 1, schema));
    whole.many("security", 12, |one| named(one, 1, strings));
    whole.one("securityDefinitions", 13, |all| named(all, 1, security));
    whole.done()
}

/// A way to authenticate, which is a key in a header.
fn security(value: &Value) -> Vec<u8> {
    let mut key = Message::of(value);
    key.texts(&[("type", 1), ("name", 2), ("in", 3), ("description", 4)]);
    wrapped(2, &key.done())
}

fn path(value: &Value) -> Vec<u8> {
    let mut path = Message::of(value);
    for (method, number) in [
        ("get", 2),
        ("put", 3),
        ("post", 4),
        ("delete", 5),
        ("options", 6),
        ("head", 7),
        ("patch", 8),
    ] {
        path.one(method, number, operation);
    }
    path.many("parameters", 9, parameter);
    path.extensions(10);
    path.done()
}

fn operation(value: &Value) -> Vec<u8> {
    let mut operation = Message::of(value);
    operation.texts(&[("description", 3), ("operationId", 5)]);
    for (list, number) in [
        ("tags", 1),
        ("produces", 6),
        ("consumes", 7),
        ("schemes", 10),
    ] {
        operation.list(list, number);
    }
    operation.many("parameters", 8, parameter);
    operation.one("responses", 9, |all| {
        named(all, 1, |response| wrapped(1, &answer(response)))
    });
    operation.extensions(13);
    operation.done()
}

fn answer(value: &Value) -> Vec<u8> {
    let mut response = Message::of(value);
    response.texts(&[("description", 1)]);
    response.one("schema", 2, |of| wrapped(1, &schema(of)));
    response.done()
}

/// A parameter: the body, or one whose message depends on where it stands.
fn parameter(value: &Value) -> Vec<u8> {
    let mut parameter = Message::of(value);
    let place = value.get("in").and_then(Value::as_str);
    let kind = match place {
        Some("body") => {
            parameter.texts(&[("description", 1), ("name", 2), ("in", 3)]);
            parameter.flags(&[("required", 4)]);
            parameter.one("schema", 5, schema);
            return wrapped(1, &wrapped(1, &parameter.done()));
        }
        Some("query") => 3,
        _ => 4,
    };
    // A query's message has one field more in the middle: whether it may be empty.
    let shift = u32::from(kind == 3);
    parameter.flags(&[("required", 1), ("uniqueItems", 18 + shift)]);
    parameter.texts(&[("in", 2), ("description", 3), ("name", 4)]);
    parameter.texts(&[("type", 5 + shift), ("format", 6 + shift)]);
    wrapped(1, &wrapped(2, &wrapped(kind, &parameter.done())))
}

fn schema(value: &Value) -> Vec<u8> {
    let mut schema_of = Message::of(value);
    schema_of.texts(&[("$ref", 1), ("format", 2), ("title", 3), ("description", 4)]);
    schema_of.texts(&[("pattern", 13)]);
    schema_of.numbers(&[("multipleOf", 6), ("maximum", 7), ("minimum", 9)]);
    schema_of.flags(&[("exclusiveMaximum", 8), ("exclusiveMinimum", 10)]);
    schema_of.flags(&[("uniqueItems", 16), ("readOnly", 27)]);
    schema_of.wholes(&[("maxLength", 11), ("minLength", 12), ("maxItems", 14)]);
    schema_of.wholes(&[
        ("minItems", 15),
        ("maxProperties", 17),
        ("minProperties", 18),
    ]);
    schema_of.one("default", 5, anything);
    schema_of.one("example", 30, anything);
    schema_of.list("required", 19);
    schema_of.many("enum", 20, anything);
    schema_of.many("allOf", 24, schema);
    schema_of.one("additionalProperties", 21, |more| match more {
        Value::Bool(allowed) => {
            let mut item = Vec::new();
            number(&mut item, 2, u64::from(*allowed));
            item
        }
        more => wrapped(1, &schema(more)),
    });
    schema_of.one("type", 22, strings);
    schema_of.one("items", 23, |item| wrapped(1, &schema(item)));
    schema_of.one("properties", 25, |all| named(all, 1, schema));
    schema_of.one("externalDocs", 29, |docs| {
        let mut documents = Message::of(docs);
        documents.texts(&[("description", 1), ("url", 2)]);
        documents.done()
    });
    schema_of.extensions(31);
    schema_of.done()
}

/// A value of any type: its text in YAML, which JSON is.
fn anything(value: &Value) -> Vec<u8> {
    wrapped(2, value.to_string().as_bytes())
}

/// Text, or a list of it, as repeated strings.
fn strings(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    for text in all.iter().filter_map(Value::as_str) {
        bytes(&mut out, 1, text.as_bytes());
    }
    out
}

/// The fields of an object as repeated pairs of a name and a message.
fn named(value: &Value, field: u32, of: impl Fn(&Value) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        bytes(&mut out, field, &pair(name, &of(value)));
    }
    out
}

fn pair(name: &str, value: &[u8]) -> Vec<u8> {
    let mut pair = Vec::with_capacity(name.len() + value.len() + 8);
    bytes(&mut pair, 1, name.as_bytes());
    bytes(&mut pair, 2, value);
    pair
}

fn wrapped(field: u32, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 6);
    bytes(&mut out, field, message);
    out
}

fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A message as it is written from an object, which counts what it has written.
struct Message<'a> {
    of: Option<&'a Map<String, Value>>,
    written: usize,
    out: Vec<u8>,
}

impl<'a> Message<'a> {
    fn of(value: &'a Value) -> Self {
        Self {
            of: value.as_object(),
            written: 0,
            out: Vec::new(),
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a Value> {
        let value = self.of?.get(name)?;
        self.written += 1;
        Some(value)
    }

    fn texts(&mut self, fields: &[(&str, u32)]) {
        for (name, field) in fields {
            if let Some(text) = self.take(name).and_then(Value::as_str) {
                bytes(&mut self.out, *field, text.as_bytes());
            }
        }
    }

    fn flags(&mut self, fields: &[(&str, u32)]) {
        for (name, field) in fields {
            if let Some(true) = self.take(name).and_then(Value::as_bool) {
                number(&mut self.out, *field, 1);
            }
        }
    }

    fn wholes(&mut self, fields: &[(&str, u32)]) {
        for (name, field) in fields {
            if let Some(whole) = self.take(name).and_then(Value::as_u64) {
                number(&mut self.out, *field, whole);
            }
        }
    }

    fn numbers(&mut self, fields: &[(&str, u32)]) {
        for (name, field) in fields {
            if let Some(value) = self.take(name).and_then(Value::as_f64) {
                varint(&mut self.out, u64::from(*field) << 3 | 1);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn list(&mut self, name: &str, field: u32) {
        self.many_of(name, field, |text| {
            text.as_str().map(|text| text.as_bytes().to_vec())
        });
    }

    fn many(&mut self, name: &str, field: u32, of: impl Fn(&Value) -> Vec<u8>) {
        self.many_of(name, field, |value| Some(of(value)));
    }

    fn many_of(&mut self, name: &str, field: u32, of: impl Fn(&Value) -> Option<Vec<u8>>) {
        let all = self.take(name).and_then(Value::as_array);
        for message in all.into_iter().flatten().filter_map(of) {
            bytes(&mut self.out, field, &message);
        }
    }

    fn one(&mut self, name: &str, field: u32, of: impl Fn(&Value) -> Vec<u8>) {
        if let Some(value) = self.take(name) {
            bytes(&mut self.out, field, &of(value));
        }
    }

    /// What begins with `x-`.
    fn extensions(&mut self, field: u32) {
        let Some(fields) = self.of else { return };
        for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.written += 1;
            bytes(&mut self.out, field, &pair(name, &anything(value)));
        }
    }

    fn done(self) -> Vec<u8> {
        let fields = self.of.map_or(0, Map::len);
        debug_assert_eq!(self.written, fields, "a field has no number: {:?}", self.of);
        self.out
    }
}
