//! The documents lead everywhere they point and name what clients look for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{index, v2, v3};
use crate::custom::CustomKind;
use crate::resource_table::{builtin, groups};

const RELEASE: &str = "v1.36.0";

/// Every reference in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get("$ref") {
                found.insert(name.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    for group in groups() {
        for version in &group.versions {
            let document = v3((&group.name, version), RELEASE, builtin(), []);
            let mut found = BTreeSet::new();
            references(&document, &mut found);
            for reference in found {
                let pointer = reference.trim_start_matches('#');
                assert!(
                    document.pointer(pointer).is_some(),
                    "{} {reference}",
                    group.name
                );
            }
        }
    }
    let document = v2(RELEASE, builtin(), []);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 400, "{}", found.len());
    for reference in found {
        assert!(
            document
                .pointer(reference.trim_start_matches('#'))
                .is_some(),
            "{reference}"
        );
    }
}

#[test]
fn operations_have_upstreams_ids() {
    let document = v3(("", "v1"), RELEASE, builtin(), []);
    let id = |path: &str, method: &str| document["paths"][path][method]["operationId"].clone();
    let pods = "/api/v1/namespaces/{namespace}/pods";
    assert_eq!(id(pods, "get"), "listCoreV1NamespacedPod");
    assert_eq!(id(pods, "post"), "createCoreV1NamespacedPod");
    assert_eq!(id(pods, "delete"), "deleteCoreV1CollectionNamespacedPod");
    assert_eq!(id("/api/v1/pods", "get"), "listCoreV1PodForAllNamespaces");
    let pod = format!("{pods}/{{name}}");
    assert_eq!(id(&pod, "get"), "readCoreV1NamespacedPod");
    assert_eq!(id(&pod, "put"), "replaceCoreV1NamespacedPod");
    assert_eq!(
        id(&format!("{pod}/status"), "patch"),
        "patchCoreV1NamespacedPodStatus"
    );
    assert_eq!(
        id(&format!("{pod}/exec"), "get"),
        "connectCoreV1GetNamespacedPodExec"
    );
    assert_eq!(id("/api/v1/nodes/{name}", "delete"), "deleteCoreV1Node");
    let rbac = v3(("rbac.authorization.k8s.io", "v1"), RELEASE, builtin(), []);
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert_eq!(
        rbac["paths"][path]["get"]["operationId"],
        "listRbacAuthorizationV1ClusterRole"
    );
}

#[test]
fn patches_say_which_parameters_they_take() {
    let document = v3(("apps", "v1"), RELEASE, builtin(), []);
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let names: Vec<_> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["dryRun", "fieldManager", "fieldValidation", "force"]
    );
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    assert!(patch["requestBody"]["content"]["application/apply-patch+yaml"].is_object());
}

#[test]
fn types_carry_how_they_merge() {
    let document = v3(("apps", "v1"), RELEASE, builtin(), []);
    let schemas = &document["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    let spec = &deployment["properties"]["spec"];
    assert_eq!(
        spec["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"
    );
    assert!(spec["description"].as_str().is_some_and(|d| !d.is_empty()));
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    let volumes = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"];
    assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    assert_eq!(
        schemas["io.k8s.api.core.v1.PodSpec"]["required"],
        json!(["containers"])
    );
    assert_eq!(
        schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"],
        "atomic"
    );
    let list = &schemas["io.k8s.api.apps.v1.DeploymentList"];
    assert_eq!(
        list["x-kubernetes-group-version-kind"][0]["kind"],
        "DeploymentList"
    );
}

#[test]
fn custom_kinds_have_documents_too() {
    let definition = json!({"spec": {"group": "example.org", "scope": "Namespaced",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "description": "What is wanted."}}}}}]}});
    let kind = CustomKind::read(&definition);
    let document = v3(("example.org", "v1"), RELEASE, builtin(), &kind.versions);
    let schema = &document["components"]["schemas"]["org.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["description"],
        "What is wanted."
    );
    assert_eq!(
        schema["properties"]["metadata"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    let path = "/apis/example.org/v1/namespaces/{namespace}/widgets";
    assert_eq!(
        document["paths"][path]["get"]["operationId"],
        "listExampleOrgV1NamespacedWidget"
    );
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        assert!(
            document
                .pointer(reference.trim_start_matches('#'))
                .is_some(),
            "{reference}"
        );
    }
}

#[test]
fn the_index_names_every_document() {
    let index = index(&groups(), |_| "h".to_owned());
    assert_eq!(
        index["paths"]["api/v1"]["serverRelativeURL"],
        "/openapi/v3/api/v1?hash=h"
    );
    assert!(index["paths"]["apis/apps/v1"].is_object());
}

/// The fields of a protobuf message that hold bytes, by number.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        match key & 7 {
            0 => drop(varint(&mut message)),
            1 => message = &message[8..],
            _ => {
                let size = usize::try_from(varint(&mut message)).unwrap();
                found.push((key >> 3, &message[..size]));
                message = &message[size..];
            }
        }
    }
    found
}

fn field(message: &[u8], number: u64) -> &[u8] {
    let mut found = fields(message).into_iter();
    found.find(|(own, _)| *own == number).unwrap().1
}

/// The message of a name, among pairs of names and messages.
fn of_name<'a>(pairs: &'a [u8], name: &str) -> &'a [u8] {
    let mut found = fields(pairs).into_iter().map(|(_, pair)| pair);
    let pair = found.find(|pair| field(pair, 1) == name.as_bytes());
    field(pair.unwrap(), 2)
}

#[test]
fn version_2_says_the_same_in_protobuf() {
    let custom = CustomKind::read(&json!({
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "description": "wanted", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
                        "word": {"type": "string", "pattern": "^a", "maxLength": 7, "enum": ["ab", "ac"]},
                        "more": {"type": "object", "additionalProperties": {"type": "string"}},
                        "any": {"x-kubernetes-preserve-unknown-fields": true},
                        "list": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                    }},
                }}},
            }],
        },
    }));
    let document = v2(RELEASE, builtin(), &custom.versions);
    // That no field lacks a number is asserted where messages are written.
    let message = super::v2_protobuf(&document);
    assert_eq!(field(&message, 1), b"2.0");
    let definitions = field(&message, 9);
    let count = document["definitions"].as_object().unwrap().len();
    assert_eq!(fields(definitions).len(), count);
    let pod = of_name(definitions, "io.k8s.api.core.v1.Pod");
    let spec = of_name(field(pod, 25), "spec");
    let to_spec = field(spec, 1);
    assert_eq!(to_spec, b"#/definitions/io.k8s.api.core.v1.PodSpec");
    let paths = fields(field(&message, 8));
    let count = document["paths"].as_object().unwrap().len();
    assert_eq!(
        paths.iter().filter(|(number, _)| *number == 2).count(),
        count
    );
}
