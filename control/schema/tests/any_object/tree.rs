//! Trees in the shape of a type, with odd values in them.

use keelson_schema::schema::{NodeId, Schema, Shape};
use serde_json::{Map, Value, json};

/// Texts that mean something somewhere.
const TEXTS: &[&str] = &[
    "",
    "a",
    "A b",
    "None",
    "Always",
    "RollingUpdate",
    "In",
    "10.0.0.1",
    "::1",
    "10.0.0.0/8",
    "1",
    "25%",
    "1Gi",
    "-1",
    "2026-01-01T00:00:00Z",
    "eA==",
    "LoadBalancer",
    "ExternalName",
    "ClientIP",
    "Container",
    "Webhook",
    "*",
    "a.b/c",
    "* * * * *",
    "Indexed",
    "TCP",
    "ü",
];

/// A tree in the shape of a type, with odd values in it, made from a stream of numbers.
pub fn tree(
    schema: &Schema,
    node: NodeId,
    depth: usize,
    next: &mut impl FnMut() -> usize,
) -> Value {
    let pick = next();
    let text = || json!(TEXTS[pick % TEXTS.len()]);
    let number = [0, 1, -1, 80, 70_000, i64::from(i32::MAX)][pick % 6];
    match &schema.node(node).shape {
        _ if depth > 9 => Value::Null,
        Shape::Bool => json!(pick.is_multiple_of(2)),
        Shape::Int32 | Shape::Int64 | Shape::Number => json!(number),
        Shape::IntOrString if pick.is_multiple_of(2) => json!(number),
        Shape::Quantity => json!(["1", "0", "-1", "1Gi", "500m"][pick % 5]),
        Shape::Time | Shape::MicroTime => json!("2026-01-01T00:00:00Z"),
        Shape::Bytes => json!("eA=="),
        Shape::Any => json!({"a": [pick]}),
        Shape::Text | Shape::IntOrString => text(),
        Shape::Map(values) => {
            let count = next() % 3;
            (0..count)
                .map(|_| {
                    (
                        TEXTS[next() % TEXTS.len()].to_owned(),
                        tree(schema, *values, depth + 1, next),
                    )
                })
                .collect::<Map<_, _>>()
                .into()
        }
        Shape::List(items, _) => {
            let count = next() % 3;
            (0..count)
                .map(|_| tree(schema, *items, depth + 1, next))
                .collect()
        }
        Shape::Object(object) => {
            let mut fields = Map::new();
            for field in &schema.object(*object).fields {
                let wanted = if depth < 2 { 9 } else { 3 };
                if next() % 10 < wanted {
                    let value = tree(schema, field.node, depth + 1, next);
                    fields.insert(field.name.to_string(), value);
                }
            }
            Value::Object(fields)
        }
    }
}

/// A stream of numbers that its seed decides.
pub fn numbers(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        // xorshift: enough to vary, and the seed tells which object it was.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0)
    }
}
