//! Whatever a client sends, a write goes through or is refused: it never panics.

use keelson_schema::apply::{Typed, Versions};
use keelson_schema::decode::conform;
use keelson_schema::resource_table::{Resource, builtin};
use keelson_schema::schema::Schema;
use keelson_schema::table::{self, IncludeObject};
use keelson_schema::write::{Birth, prepare_create, prepare_status, prepare_update};
use keelson_schema::{patch, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "any_object/tree.rs"]
mod tree;

use tree::{numbers, tree};

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
        let mut next = numbers(seed);
        for row in builtin() {
            let root = schema.named(&row.type_name).expect("type");
            let object = tree(schema, root, 0, &mut next);
            let other = tree(schema, root, 0, &mut next);
            pass_through(row, object, other);
        }
    }
}
