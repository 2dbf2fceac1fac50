//! Whatever a client sends, a write goes through or is refused: it never panics.

use keelson_schema::apply::{Typed, Versions};
use keelson_schema::decode::conform;
use keelson_schema::resource_table::{Resource, builtin};
use keelson_schema::schema::{NodeId, Schema, Shape};
use keelson_schema::table::{self, IncludeObject};
use keelson_schema::write::{Birth, prepare_create, prepare_status, prepare_update};
use keelson_schema::{patch, validate};
use proptest::prelude::*;
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
fn tree(schema: &Schema, node: NodeId, depth: usize, next: &mut impl FnMut() -> usize) -> Value {
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

/// All that happens to an object of a kind.
fn pass_through(row: &Resource, mut object: Value, other: Value) {
    let schema = Schema::builtin();
    let root = schema.named(&row.type_name).expect("type");
    let now = "2026-01-01T00:00:00Z".parse().expect("time");
    let namespace = row.is_namespaced().then_some("n");
    if conform(schema, root, &mut object).is_err() {
        return;
    }
    (row.strategy.defaults)(&mut object);
    prepare_create(
        row,
        &mut object,
        &Birth {
            uid: "u",
            now,
            namespace,
        },
    );
    let _ = validate::create(row, &object);
    let typed: Typed<'_> = row.typed(&row.api_version()).expect("type");
    let mut changed = typed.merge(&object, &other);
    let _ = patch::strategic::apply(schema, root, &mut changed, &other);
    if conform(schema, root, &mut changed).is_err() {
        return;
    }
    (row.strategy.defaults)(&mut changed);
    let mut status = changed.clone();
    prepare_update(row, &mut changed, &object);
    prepare_status(row, &mut status, &object);
    for part in ["", "status", "resize", "ephemeralcontainers"] {
        let mut errors = validate::create(row, &changed);
        validate::change_rules(row, part, &changed, &object, &mut errors);
    }
    let _ = typed.remove(&changed, &typed.field_set(&object));
    let _ = table::table(
        &row.columns,
        [&changed],
        &json!({}),
        IncludeObject::Metadata,
        now,
    );
    let (group, version) = row.storage_version();
    let stored = keelson_schema::resource_table::row_api_version(group, version);
    let _ = row.convert(&changed, &stored);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_object_passes_or_is_refused(seed in any::<u64>()) {
        let schema = Schema::builtin();
        let mut state = seed | 1;
        let mut next = || {
            // xorshift: enough to vary, and the seed tells which object it was.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap_or(0)
        };
        for row in builtin() {
            let root = schema.named(&row.type_name).expect("type");
            let object = tree(schema, root, 0, &mut next);
            let other = tree(schema, root, 0, &mut next);
            pass_through(row, object, other);
        }
    }
}
