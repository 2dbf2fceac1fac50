//! Environment variables and where their values come from.

use super::containers::{Volumes, local_path};
use super::text;
use super::volumes::VolumeKind;
use crate::core::{
    Container, EnvVarSource, FileKeySelector, ObjectFieldSelector, ResourceFieldSelector,
};
use crate::field_path;
use crate::quantity::Quantity;
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

pub(super) fn validate(c: &Container, volumes: &Volumes, path: &Path, errors: &mut ErrorList) {
    for (index, variable) in c.env.iter().flatten().enumerate() {
        let path = path.child("env").index(index);
        match variable.name.as_str() {
            "" => errors.required(&path.child("name"), ""),
            name => errors.check(&path.child("name"), name, names::env_name(name)),
        }
        if let Some(from) = &variable.value_from {
            let path = path.child("valueFrom");
            if variable.value.as_ref().is_some_and(|v| !v.is_empty()) {
                errors.invalid(&path, "", "may not be specified when `value` is not empty");
            }
            source(from, volumes, &path, errors);
        }
    }
    for (index, from) in c.env_from.iter().flatten().enumerate() {
        let path = path.child("envFrom").index(index);
        let prefix = text(from.prefix.as_ref());
        if !prefix.is_empty() {
            errors.check(&path.child("prefix"), prefix, names::env_name(prefix));
        }
        let sources = [
            (
                "configMapRef",
                from.config_map_ref.as_ref().map(|r| &r.name),
            ),
            ("secretRef", from.secret_ref.as_ref().map(|r| &r.name)),
        ];
        let count = sources.iter().filter(|(_, name)| name.is_some()).count();
        if count == 0 {
            errors.invalid(
                &path,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            );
        } else if count > 1 {
            errors.invalid(
                &path,
                "",
                "may not have more than one field specified at a time",
            );
        }
        for (field, name) in sources {
            if let Some(name) = name {
                object_name(name, &path.child(field).child("name"), errors);
            }
        }
    }
}

fn object_name(name: &str, path: &Path, errors: &mut ErrorList) {
    match name {
        "" => errors.required(path, ""),
        name => errors.check(path, name, names::dns_subdomain(name)),
    }
}

fn source(from: &EnvVarSource, volumes: &Volumes, path: &Path, errors: &mut ErrorList) {
    let mut count = 0;
    if let Some(field) = &from.field_ref {
        count += 1;
        field_ref(
            field,
            &field_path::ENV_FIELDS,
            false,
            &path.child("fieldRef"),
            errors,
        );
    }
    if let Some(resource) = &from.resource_field_ref {
        count += 1;
        resource_ref(resource, false, &path.child("resourceFieldRef"), errors);
    }
    if let Some(file) = &from.file_key_ref {
        count += 1;
        file_key(file, volumes, &path.child("fileKeyRef"), errors);
    }
    let keys = [
        (
            "configMapKeyRef",
            from.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key)),
        ),
        (
            "secretKeyRef",
            from.secret_key_ref.as_ref().map(|r| (&r.name, &r.key)),
        ),
    ];
    for (field, reference) in keys {
        let Some((name, key)) = reference else {
            continue;
        };
        count += 1;
        let path = path.child(field);
        object_name(name, &path.child("name"), errors);
        match key.as_str() {
            "" => errors.required(&path.child("key"), ""),
            key => errors.check(&path.child("key"), key, names::config_key(key)),
        }
    }
    if count == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid(path, "", why);
    } else if count > 1 {
        errors.invalid(
            path,
            "",
            "may not have more than one field specified at a time",
        );
    }
}

/// A field of the pod; `whole_maps` allows all labels or annotations at once.
pub(super) fn field_ref(
    field: &ObjectFieldSelector,
    allowed: &[&str],
    whole_maps: bool,
    path: &Path,
    errors: &mut ErrorList,
) {
    if text(field.api_version.as_ref()).is_empty() {
        errors.required(&path.child("apiVersion"), "");
    }
    let at = path.child("fieldPath");
    let asked = field.field_path.as_str();
    if asked.is_empty() {
        errors.required(&at, "");
        return;
    }
    if let Some((map, key)) = field_path::split_subscript(asked) {
        match map {
            "metadata.labels" => errors.check(&at, key, names::qualified_name(key)),
            "metadata.annotations" => {
                errors.check(&at, key, names::qualified_name(&key.to_lowercase()));
            }
            _ => errors.invalid(&at, map, "does not support subscript"),
        }
        return;
    }
    let whole = matches!(asked, "metadata.labels" | "metadata.annotations");
    if !(allowed.contains(&asked) || whole_maps && whole) {
        errors.not_supported(&at, asked, allowed);
    }
}

/// A resource of a container; in a volume the container must be named.
pub(super) fn resource_ref(
    resource: &ResourceFieldSelector,
    in_volume: bool,
    path: &Path,
    errors: &mut ErrorList,
) {
    if in_volume && text(resource.container_name.as_ref()).is_empty() {
        errors.required(&path.child("containerName"), "");
    }
    let at = path.child("resource");
    match resource.resource.as_str() {
        "" => errors.required(&at, ""),
        name if field_path::is_resource(name) => {}
        name => errors.not_supported(&at, name, &field_path::RESOURCES),
    }
    let Some(divisor) = &resource.divisor else {
        return;
    };
    let at = path.child("divisor");
    match Quantity::try_from(divisor) {
        Ok(amount) if amount.signum() < 0 => {
            errors.invalid(
                &at,
                divisor.0.as_str(),
                "must be greater than or equal to 0",
            );
        }
        Ok(amount) if !amount.is_zero() && !is_divisor(&resource.resource, &divisor.0) => {
            let why = match resource.resource.ends_with("cpu") {
                true => "only divisor's values 1m and 1 are supported with the cpu resource",
                false => {
                    "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with this resource"
                }
            };
            errors.invalid(&at, divisor.0.as_str(), why);
        }
        Ok(_) => {}
        Err(error) => errors.invalid(&at, divisor.0.as_str(), error.to_string()),
    }
}

fn is_divisor(resource: &str, divisor: &str) -> bool {
    match resource.ends_with("cpu") {
        true => matches!(divisor, "1m" | "1"),
        false => {
            let suffixes = [
                "", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
            ];
            divisor
                .strip_prefix('1')
                .is_some_and(|suffix| suffixes.contains(&suffix))
        }
    }
}

fn file_key(file: &FileKeySelector, volumes: &Volumes, path: &Path, errors: &mut ErrorList) {
    match file.key.as_str() {
        "" => errors.required(&path.child("key"), ""),
        key => errors.check(&path.child("key"), key, names::env_name(key)),
    }
    match volumes.get(&file.volume_name) {
        _ if file.volume_name.is_empty() => errors.required(&path.child("volumeName"), ""),
        Some(VolumeKind::EmptyDir) => {}
        Some(_) => {
            let why = "must be an emptyDir volume";
            errors.invalid(&path.child("volumeName"), file.volume_name.as_str(), why);
        }
        None => errors.not_found(&path.child("volumeName"), file.volume_name.as_str()),
    }
    match file.path.as_str() {
        "" => errors.required(&path.child("path"), ""),
        text => local_path(text, &path.child("path"), errors),
    }
}
