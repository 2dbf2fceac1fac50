//! Per kind: an object that is fine, and what is said about it when one thing in it is wrong.

use serde_json::{Value, json};

use keelson_api::validate::field::ErrorList;

use super::{change_rules, create, update};
use crate::resource_table::{Resource, builtin, find};
use crate::write::{Birth, prepare_create};

mod configuration;
mod devices;
mod network;
mod statuses;
mod storage;
mod workloads;

/// A kind with an object that is fine.
struct Case {
    row: &'static Resource,
    fine: Value,
}

fn case(path: &str, fine: &str) -> Case {
    let (group_version, plural) = path.rsplit_once('/').unwrap();
    let (group, version) = group_version
        .rsplit_once('/')
        .unwrap_or(("", group_version));
    let row = find(group, version, plural).unwrap();
    let mut fine: Value = serde_json::from_str(fine).unwrap_or_else(|e| panic!("{path}: {e}"));
    if fine.pointer("/metadata/name").is_none() {
        fine["metadata"]["name"] = json!("a");
    }
    Case { row, fine }
}

fn born(row: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    (row.strategy.defaults)(&mut object);
    let namespace = row.is_namespaced().then_some("n");
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    prepare_create(
        row,
        &mut object,
        &Birth {
            uid: "u",
            now,
            namespace,
        },
    );
    object
}

/// Sets the value at a pointer; null takes it away.
fn set(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if object.pointer(parent).is_none() {
        set(object, parent, &json!({}));
    }
    match object.pointer_mut(parent).unwrap() {
        Value::Object(fields) if value.is_null() => {
            fields.remove(name);
        }
        Value::Object(fields) => {
            fields.insert(name.to_owned(), value.clone());
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value.clone(),
        _ => panic!("{pointer}"),
    }
}

impl Case {
    /// A change of the object that is fine, and the beginning of what is said about it.
    fn check(&self, wrong: &[(&str, Value, &str)]) -> &Self {
        let errors = create(self.row, &born(self.row, &self.fine));
        assert!(errors.is_empty(), "{}: {errors}", self.row.plural);
        for (pointer, value, expected) in wrong {
            let mut object = self.fine.clone();
            set(&mut object, pointer, value);
            let errors = create(self.row, &born(self.row, &object));
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let said = texts.iter().any(|text| text.starts_with(expected));
            assert!(
                said,
                "{} {pointer} {value}: expected {expected}, got {texts:#?}",
                self.row.plural
            );
        }
        self
    }

    /// A change of the object once it is there, and the beginning of what is said about it.
    fn change(&self, wrong: &[(&str, Value, &str)]) -> &Self {
        let old = born(self.row, &self.fine);
        for (pointer, value, expected) in wrong {
            let mut new = old.clone();
            set(&mut new, pointer, value);
            let errors = update(self.row, &new, &old);
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            let said = match *expected {
                "" => texts.is_empty(),
                expected => texts.iter().any(|text| text.starts_with(expected)),
            };
            assert!(
                said,
                "{} {pointer} {value}: expected {expected}, got {texts:#?}",
                self.row.plural
            );
        }
        self
    }
}

/// Changes of a status, and the beginning of what is said about them; nothing for those that are
/// fine. What the object is like before is told first.
fn statuses(path: &str, before: &Value, changes: &[(Value, &str)]) {
    let case = case(path, "{}");
    let mut old = case.fine.clone();
    for (field, value) in before.as_object().unwrap() {
        old[field] = value.clone();
    }
    for (status, expected) in changes {
        let mut new = old.clone();
        new["status"] = status.clone();
        let mut errors = ErrorList::default();
        change_rules(case.row, "status", &new, &old, &mut errors);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let said = match *expected {
            "" => texts.is_empty(),
            expected => texts.iter().any(|text| text.starts_with(expected)),
        };
        assert!(said, "{path} {status}: expected {expected}, got {texts:#?}");
    }
}

#[test]
fn metadata() {
    case("v1/configmaps", "{}")
        .check(&[
            (
                "/metadata/name",
                json!("A b"),
                "metadata.name: Invalid value: \"A b\": a lowercase RFC 1123 subdomain",
            ),
            (
                "/metadata/name",
                Value::Null,
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                "/metadata/generateName",
                json!("A-"),
                "metadata.generateName: Invalid value: \"A-\"",
            ),
            (
                "/metadata/labels",
                json!({"a b": "c"}),
                "metadata.labels: Invalid value: \"a b\": name part must",
            ),
            (
                "/metadata/labels",
                json!({"a": "c d"}),
                "metadata.labels: Invalid value: \"c d\": a valid label must",
            ),
            (
                "/metadata/annotations",
                json!({"/": ""}),
                "metadata.annotations: Invalid value: \"/\"",
            ),
            (
                "/metadata/annotations",
                json!({"a": "x".repeat(262_144)}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (
                "/metadata/finalizers",
                json!(["x"]),
                "metadata.finalizers: Invalid value: \"x\": name is neither a standard",
            ),
            (
                "/metadata/ownerReferences",
                json!([{"apiVersion": "v1", "kind": "Pod", "name": "p"}]),
                "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
            ),
        ])
        .change(&[
            (
                "/metadata/name",
                json!("b"),
                "metadata.name: Invalid value: \"b\": field is immutable",
            ),
            (
                "/metadata/uid",
                json!("b"),
                "metadata.uid: Invalid value: \"b\": field is immutable",
            ),
            ("/metadata/labels", json!({"a": "b"}), ""),
        ]);
    case("v1/services", r#"{"spec": {"ports": [{"port": 80}]}}"#).check(&[(
        "/metadata/name",
        json!("1a"),
        "metadata.name: Invalid value: \"1a\": a DNS-1035 label",
    )]);
    case(
        "rbac.authorization.k8s.io/v1/clusterroles",
        r#"{"metadata": {"name": "system:a"}}"#,
    )
    .check(&[(
        "/metadata/name",
        json!("a/b"),
        "metadata.name: Invalid value: \"a/b\": may not contain '/'",
    )]);
}

#[test]
fn the_api_itself() {
    let crd = r#"{"metadata": {"name": "widgets.example.org"}, "spec": {"group": "example.org", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}}]}}"#;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let at = "spec.versions[0].schema.openAPIV3Schema";
    let within = |property: Value| json!({"type": "object", "properties": {"spec": property}});
    case("apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        .check(&[
            ("/metadata/name", json!("x"), "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"),
            ("/spec/scope", json!("x"), "spec.scope: Unsupported value: \"x\""),
            ("/spec/versions/0/storage", json!(false), "spec.versions: Invalid value"),
            ("/spec/versions/0/schema", Value::Null, &format!("{at}: Required value: schemas are required")),
            (schema, json!({}), &format!("{at}.type: Required value: must not be empty at the root")),
            (schema, within(json!({})), &format!("{at}.properties[spec].type: Required value: must not be empty for specified object fields")),
            (schema, within(json!({"type": "array"})), &format!("{at}.properties[spec].items: Required value: must be specified")),
            (schema, within(json!({"type": "object", "$ref": "x"})), &format!("{at}.properties[spec].$ref: Forbidden")),
            (schema, within(json!({"type": "string", "pattern": "("})), &format!("{at}.properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression")),
        ])
        .change(&[
            ("/spec/scope", json!("Cluster"), "spec.scope: Invalid value: \"Cluster\": field is immutable"),
            ("/spec/versions/0/name", json!("v2"), "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions"),
        ]);
    let webhook = r#"{"webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://x"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]}"#;
    case("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", webhook).check(&[
        ("/webhooks/0/name", json!("a"), "webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments"),
        ("/webhooks/0/sideEffects", Value::Null, "webhooks[0].sideEffects: Required value"),
        ("/webhooks/0/timeoutSeconds", json!(31), "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
        ("/webhooks/0/clientConfig", json!({}), "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ("/webhooks/0/rules/0/operations", json!(["x"]), "webhooks[0].rules[0].operations[0]: Unsupported value: \"x\""),
        ("/webhooks/0/admissionReviewVersions", json!([]), "webhooks[0].admissionReviewVersions: Required value"),
    ]);
    case("apiregistration.k8s.io/v1/apiservices", r#"{"metadata": {"name": "v1.a.b"}, "spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}}"#).check(&[
        ("/metadata/name", json!("x"), "metadata.name: Invalid value: \"x\": must be `spec.version"),
        ("/spec/versionPriority", json!(0), "spec.versionPriority: Invalid value: 0: must be between 1 and 1000, inclusive"),
    ]);
    case(
        "flowcontrol.apiserver.k8s.io/v1/flowschemas",
        r#"{"spec": {"priorityLevelConfiguration": {"name": "p"}}}"#,
    )
    .check(&[(
        "/spec/matchingPrecedence",
        json!(0),
        "spec.matchingPrecedence: Invalid value: 0",
    )]);
}

#[test]
fn anything_can_be_judged_without_a_panic() {
    let odd = [
        json!({}),
        json!([]),
        json!({"spec": 1, "metadata": [], "rules": {}}),
        json!({"spec": {"template": [], "ports": 3, "selector": "x", "versions": [1], "names": []}, "webhooks": [null],
            "metadata": {"name": 1, "labels": [], "annotations": "", "ownerReferences": {}}, "subsets": [[]]}),
    ];
    for row in builtin() {
        assert!(!create(row, &odd[0]).is_empty(), "{}", row.plural);
        for object in &odd {
            let _ = create(row, object);
            let _ = update(row, object, &odd[0]);
        }
    }
}
