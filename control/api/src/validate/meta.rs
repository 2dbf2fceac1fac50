//! Metadata of any object: names, labels, annotations, owners.

use super::field::{ErrorList, Path};
use super::names;
use crate::meta::ObjectMeta;

/// The most bytes that keys and values of annotations may have together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Judges the metadata of a namespaced object; `name_form` judges its name.
pub fn validate(
    meta: &ObjectMeta,
    name_form: fn(&str) -> Vec<String>,
    path: &Path,
    errors: &mut ErrorList,
) {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (name, prefix) = (text(&meta.name), text(&meta.generate_name));
    if name.is_empty() && prefix.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    }
    if !name.is_empty() {
        errors.check(&path.child("name"), &name, name_form(&name));
    }
    if !prefix.is_empty() {
        let shown = prefix.trim_end_matches('-');
        errors.check(&path.child("generateName"), &prefix, name_form(shown));
    }
    let namespace = text(&meta.namespace);
    if namespace.is_empty() {
        errors.required(&path.child("namespace"), "");
    } else {
        errors.check(
            &path.child("namespace"),
            &namespace,
            names::dns_label(&namespace),
        );
    }
    if let Some(generation) = meta.generation {
        errors.non_negative(&path.child("generation"), generation);
    }
    labels(meta.labels.as_ref(), &path.child("labels"), errors);
    annotations(meta, &path.child("annotations"), errors);
    owners(meta, &path.child("ownerReferences"), errors);
}

/// Judges keys and values of labels.
pub fn labels(
    labels: Option<&std::collections::BTreeMap<String, String>>,
    path: &Path,
    errors: &mut ErrorList,
) {
    for (key, value) in labels.into_iter().flatten() {
        errors.check(path, key, names::qualified_name(key));
        errors.check(&path.key(key), value, names::label_value(value));
    }
}

fn annotations(meta: &ObjectMeta, path: &Path, errors: &mut ErrorList) {
    let mut size = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        errors.check(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_LIMIT {
        errors.too_long(path, ANNOTATIONS_LIMIT);
    }
}

fn owners(meta: &ObjectMeta, path: &Path, errors: &mut ErrorList) {
    let mut controllers = 0;
    for (index, owner) in meta.owner_references.iter().flatten().enumerate() {
        let path = path.index(index);
        let fields = [
            ("apiVersion", &owner.api_version),
            ("kind", &owner.kind),
            ("name", &owner.name),
            ("uid", &owner.uid),
        ];
        for (field, value) in fields {
            if value.is_empty() {
                errors.invalid(&path.child(field), value.as_str(), "must not be empty");
            }
        }
        controllers += i32::from(owner.controller == Some(true));
    }
    if controllers > 1 {
        errors.invalid(
            path,
            controllers,
            "Only one reference can have Controller set to true",
        );
    }
}
