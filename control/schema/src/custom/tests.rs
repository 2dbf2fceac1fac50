//! A custom resource definition and what becomes of it and of its objects.

use serde_json::{Value, json};

use super::CustomKind;
use crate::apply::Versions;
use crate::resource_table::{Scope, Verb};
use crate::schema::{Shape, Topology};

fn definition() -> Value {
    let text = r#"{"spec": {
        "group": "example.org", "scope": "Cluster",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget",
            "shortNames": ["wd"], "categories": ["all"]},
        "versions": [{
            "name": "v1", "served": true, "storage": true, "deprecated": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
            "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {
                "spec": {"type": "object", "required": ["color"], "properties": {
                    "color": {"type": "string", "enum": ["red", "blue"]},
                    "replicas": {"type": "integer", "minimum": 1, "maximum": 5, "default": 2},
                    "name": {"type": "string", "pattern": "^a+$", "maxLength": 3},
                    "port": {"x-kubernetes-int-or-string": true},
                    "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                        "items": {"type": "object", "properties": {"id": {"type": "string"}, "on": {"type": "boolean", "default": true}}}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {"known": {"type": "object"}}},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "maybe": {"type": "string", "nullable": true},
                    "either": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                        "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
                }},
                "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}
            }}}
        }]
    }}"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_definition_becomes_a_row() {
    let kind = CustomKind::read(&definition());
    let version = kind.stored().unwrap();
    let row = &version.row;
    assert_eq!(
        (row.api_version().as_str(), row.scope),
        ("example.org/v1", Scope::Cluster)
    );
    assert_eq!(row.list_kind, "WidgetList");
    assert_eq!(
        (&row.short_names[0][..], &row.selectable[0][..]),
        ("wd", "spec.color")
    );
    assert!(row.has_status() && row.subresource("scale").is_some());
    assert!(row.verbs.has(Verb::Watch));
    let headings: Vec<_> = row.columns.iter().map(|c| c.name.as_ref()).collect();
    assert_eq!(headings, ["Name", "Color"]);
    assert_eq!(
        version.deprecation.as_deref(),
        Some("example.org/v1 Widget is deprecated")
    );
    assert_eq!(version.scale.as_ref().unwrap().wanted, ".spec.replicas");
}

#[test]
fn its_schema_knows_how_lists_merge() {
    let kind = CustomKind::read(&definition());
    let typed = kind.typed("example.org/v1").unwrap();
    let spec = typed.schema.child(typed.root, "spec").unwrap();
    let parts = typed.schema.child(spec, "parts").unwrap();
    assert!(
        matches!(&typed.schema.node(parts).shape, Shape::List(_, Topology::Map(keys)) if keys[0] == "id")
    );
    assert!(typed.schema.child(typed.root, "metadata").is_some());
}

#[test]
fn objects_are_pruned_and_filled_in() {
    let kind = CustomKind::read(&definition());
    let version = kind.stored().unwrap();
    let mut object = json!({"apiVersion": "example.org/v1", "kind": "Widget",
        "metadata": {"name": "a", "odd": 1, "creationTimestamp": null},
        "spec": {"color": "red", "odd": 1, "parts": [{"id": "x", "odd": 1}], "replicas": null, "maybe": null,
            "free": {"x": {"y": 1}, "known": {"odd": 1}}, "labels": {"a": "b"}}});
    let findings = version.conform(&mut object).unwrap();
    let mut found: Vec<_> = findings.iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "unknown field \"metadata.odd\"",
            "unknown field \"spec.free.known.odd\"",
            "unknown field \"spec.odd\"",
            "unknown field \"spec.parts[0].odd\"",
        ]
    );
    version.fill_in(&mut object);
    assert_eq!(object["metadata"], json!({"name": "a"}));
    assert_eq!(
        object["spec"],
        json!({"color": "red", "replicas": 2, "maybe": null,
        "parts": [{"id": "x", "on": true}], "free": {"x": {"y": 1}, "known": {}}, "labels": {"a": "b"}})
    );
    assert!(
        version.judge(&object).is_empty(),
        "{}",
        version.judge(&object)
    );
}

#[test]
fn objects_are_judged() {
    let kind = CustomKind::read(&definition());
    let check = |spec: Value, expected: &str| {
        let mut object = json!({"spec": spec});
        object["spec"]
            .as_object_mut()
            .unwrap()
            .entry("color")
            .or_insert(json!("red"));
        let errors = kind.stored().unwrap().judge(&object);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.join("; "), expected);
    };
    check(json!({}), "");
    check(
        json!({"color": "green"}),
        "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
    );
    check(
        json!({"replicas": 0}),
        "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
    );
    check(
        json!({"replicas": 9}),
        "spec.replicas: Invalid value: 9: spec.replicas in body should be less than or equal to 5",
    );
    check(
        json!({"replicas": "x"}),
        "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
    );
    check(
        json!({"name": "b"}),
        "spec.name: Invalid value: \"b\": spec.name in body should match '^a+$'",
    );
    check(
        json!({"port": true}),
        "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
    );
    check(
        json!({"tags": ["a", "a"]}),
        "spec.tags[1]: Duplicate value: \"a\"",
    );
    check(
        json!({"parts": [{"id": "a"}, {"id": "a"}]}),
        "spec.parts[1]: Duplicate value: {\"id\":\"a\"}",
    );
    check(
        json!({"labels": {"a": 1}}),
        "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
    );
    check(
        json!({"either": {"a": 1, "b": 2}}),
        "spec.either: Invalid value: \"\": spec.either in body must validate one and only one schema (oneOf)",
    );
    let errors = kind.stored().unwrap().judge(&json!({}));
    assert_eq!(errors.to_string(), "spec: Required value");
}
