//! The course of a write, as far as it is the same for every kind: what the server sets, what a
//! caller has no say in, when a change counts, when nothing changed.
//!
//! Objects are trees in the version of their row. Names, revisions and storage are for the
//! apiserver.

use serde_json::{Map, Value, json};

use crate::resource_table::Resource;

/// Fields of the metadata that only the server sets.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// What the server knows of a new object.
#[derive(Clone, Debug)]
pub struct Birth<'a> {
    /// The new object's own identity.
    pub uid: &'a str,
    /// The time it is made, as [`jiff::Timestamp`].
    pub now: jiff::Timestamp,
    /// The namespace of the request's path, for kinds that live in one.
    pub namespace: Option<&'a str>,
}

/// Makes a decoded and defaulted object a new one: identity, time, namespace, the first
/// generation, an empty status, then the kind's own word.
pub fn prepare_create(row: &Resource, object: &mut Value, birth: &Birth<'_>) {
    set_type(row, object);
    let metadata = metadata_mut(object);
    for field in SERVER_FIELDS
        .iter()
        .chain(&["resourceVersion", "generation"])
    {
        metadata.remove(*field);
    }
    metadata.insert("uid".to_owned(), json!(birth.uid));
    let now = crate::decode::format_time(birth.now, false);
    metadata.insert("creationTimestamp".to_owned(), json!(now));
    match birth.namespace {
        Some(namespace) => metadata.insert("namespace".to_owned(), json!(namespace)),
        None => metadata.remove("namespace"),
    };
    if row.strategy.generation {
        metadata.insert("generation".to_owned(), json!(1));
    }
    if row.has_status() && !row.strategy.keeps_status {
        remove(object, "status");
        // Filling in once more brings back what a status begins with.
        (row.strategy.defaults)(object);
    }
    (row.strategy.prepare_create)(object);
}

/// Makes a decoded and defaulted object the next version of an old one: what belongs to the
/// server and to the status is the old one's; a change of the rest counts the generation up.
pub fn prepare_update(row: &Resource, new: &mut Value, old: &Value) {
    set_type(row, new);
    keep_metadata(new, old);
    if row.has_status() {
        copy_field(new, old, "status");
    }
    (row.strategy.prepare_update)(new, old);
    if row.strategy.generation {
        let count = u64::from(counts(row, new, old));
        let generation = old.pointer("/metadata/generation").and_then(Value::as_u64);
        let generation = generation.unwrap_or_default() + count;
        metadata_mut(new).insert("generation".to_owned(), json!(generation));
    }
}

/// Makes a decoded object the next version of an old one with another status: all but the
/// status and the metadata is the old one's.
pub fn prepare_status(row: &Resource, new: &mut Value, old: &Value) {
    set_type(row, new);
    keep_metadata(new, old);
    let status = new.get("status").cloned();
    let metadata = new.get("metadata").cloned();
    *new = old.clone();
    if let Some(object) = new.as_object_mut() {
        object.remove("status");
        object.extend(status.map(|status| ("status".to_owned(), status)));
        object.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
    }
    let generation = old.pointer("/metadata/generation").cloned();
    let metadata = metadata_mut(new);
    metadata.remove("generation");
    metadata.extend(generation.map(|generation| ("generation".to_owned(), generation)));
    for field in ["labels", "ownerReferences", "finalizers"] {
        if row.strategy.keeps_metadata_on_status {
            copy_metadata(new, old, field);
        }
    }
}

/// Whether a change is one that counts: of anything but metadata and status.
fn counts(row: &Resource, new: &Value, old: &Value) -> bool {
    let (Some(new_fields), Some(old_fields)) = (new.as_object(), old.as_object()) else {
        return true;
    };
    let counted = |(name, _): &(&String, &Value)| {
        *name != "metadata" && !(*name == "status" && row.has_status())
    };
    if !new_fields
        .iter()
        .filter(counted)
        .eq(old_fields.iter().filter(counted))
    {
        return true;
    }
    let annotations = "/metadata/annotations";
    let deleted = "/metadata/deletionTimestamp";
    (row.strategy.annotations_count && new.pointer(annotations) != old.pointer(annotations))
        || new.pointer(deleted).is_some() != old.pointer(deleted).is_some()
}

/// Whether two versions of an object say the same, whatever revision they are of and whenever
/// their fields were last written.
#[must_use]
pub fn is_same(new: &Value, old: &Value) -> bool {
    let (Some(new_fields), Some(old_fields)) = (new.as_object(), old.as_object()) else {
        return new == old;
    };
    let rest = |(name, _): &(&String, &Value)| *name != "metadata";
    if !new_fields
        .iter()
        .filter(rest)
        .eq(old_fields.iter().filter(rest))
    {
        return false;
    }
    match (new.get("metadata"), old.get("metadata")) {
        (Some(Value::Object(new)), Some(Value::Object(old))) => {
            let said = |(name, _): &(&String, &Value)| {
                *name != "resourceVersion" && *name != "managedFields"
            };
            new.iter().filter(said).eq(old.iter().filter(said))
                && crate::apply::same_managers(new.get("managedFields"), old.get("managedFields"))
        }
        (new, old) => new == old,
    }
}

fn set_type(row: &Resource, object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("apiVersion".to_owned(), json!(row.api_version()));
        fields.insert("kind".to_owned(), json!(row.kind));
    }
}

fn keep_metadata(new: &mut Value, old: &Value) {
    for field in SERVER_FIELDS.iter().chain(&["generation", "namespace"]) {
        copy_metadata(new, old, field);
    }
}

fn copy_metadata(new: &mut Value, old: &Value, field: &str) {
    let value = old.get("metadata").and_then(|m| m.get(field)).cloned();
    let metadata = metadata_mut(new);
    match value {
        Some(value) => metadata.insert(field.to_owned(), value),
        None => metadata.remove(field),
    };
}

fn copy_field(new: &mut Value, old: &Value, field: &str) {
    let Some(object) = new.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => object.insert(field.to_owned(), value.clone()),
        None => object.remove(field),
    };
}

fn remove(object: &mut Value, field: &str) {
    object.as_object_mut().map(|fields| fields.remove(field));
}

/// The metadata, made where it is missing. What is no object becomes one.
fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object_field(object, "metadata")
}

fn object_field<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let slot = &mut object[name];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(fields) => fields,
        _ => unreachable!("just made one"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Birth, is_same, prepare_create, prepare_status, prepare_update};
    use crate::resource_table::by_kind;

    fn birth() -> Birth<'static> {
        let now = "2026-01-02T03:04:05.9Z".parse().unwrap();
        Birth {
            uid: "u",
            now,
            namespace: Some("n"),
        }
    }

    fn deployment() -> Value {
        let row = by_kind("apps", "v1", "Deployment").unwrap();
        let mut object = json!({"metadata": {"name": "a", "generation": 7, "uid": "mine",
            "resourceVersion": "3"}, "spec": {"replicas": 1}, "status": {"replicas": 9}});
        prepare_create(row, &mut object, &birth());
        object
    }

    #[test]
    fn a_new_object_is_the_servers() {
        let object = deployment();
        assert_eq!(
            object["metadata"],
            json!({"name": "a", "namespace": "n", "uid": "u", "generation": 1,
                   "creationTimestamp": "2026-01-02T03:04:05Z"})
        );
        assert_eq!(object.get("status"), None);
        assert_eq!(object["kind"], "Deployment");
    }

    #[test]
    fn a_nodes_status_is_its_own() {
        let row = by_kind("", "v1", "Node").unwrap();
        let mut node = json!({"metadata": {"name": "a"}, "status": {"capacity": {"cpu": "1"}}});
        prepare_create(
            row,
            &mut node,
            &Birth {
                namespace: None,
                ..birth()
            },
        );
        assert_eq!(node["status"]["capacity"]["cpu"], "1");
    }

    #[test]
    fn only_a_change_of_the_spec_counts() {
        let row = by_kind("apps", "v1", "Deployment").unwrap();
        let mut old = deployment();
        old["status"] = json!({"replicas": 1});
        let cases = [
            (json!({"spec": {"replicas": 1}, "status": {}}), 1),
            (
                json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 1}}),
                1,
            ),
            (
                json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 1}}),
                2,
            ),
            (
                json!({"metadata": {"generation": 9, "uid": "x"}, "spec": {"replicas": 2}}),
                2,
            ),
        ];
        for (mut new, generation) in cases {
            (row.strategy.defaults)(&mut new);
            prepare_update(row, &mut new, &old);
            assert_eq!(new["metadata"]["generation"], generation, "{new}");
            assert_eq!(new["status"], old["status"]);
            assert_eq!(new["metadata"]["uid"], "u");
        }
    }

    #[test]
    fn a_change_of_status_changes_nothing_else() {
        let row = by_kind("apps", "v1", "Deployment").unwrap();
        let old = deployment();
        let mut new = json!({"metadata": {"annotations": {"a": "b"}, "labels": {"x": "y"}},
            "spec": {"replicas": 5}, "status": {"replicas": 2}});
        prepare_status(row, &mut new, &old);
        assert_eq!(new["spec"], old["spec"]);
        assert_eq!(new["status"], json!({"replicas": 2}));
        assert_eq!(new["metadata"]["annotations"], json!({"a": "b"}));
        assert_eq!(new["metadata"].get("labels"), None);
        assert_eq!(new["metadata"]["generation"], 1);
    }

    #[test]
    fn the_same_is_the_same_at_any_revision() {
        let old = deployment();
        let mut new = old.clone();
        new["metadata"]["resourceVersion"] = json!("5");
        assert!(is_same(&new, &old));
        new["metadata"]["labels"] = json!({"a": "b"});
        assert!(!is_same(&new, &old));
    }
}
