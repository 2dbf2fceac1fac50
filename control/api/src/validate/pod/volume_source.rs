//! What each source of a volume must and may say.

use std::collections::BTreeSet;

use super::containers::{local_path, relative_or_clean};
use super::{env, text};
use crate::core::{DownwardAPIVolumeFile, KeyToPath, ProjectedVolumeSource, Volume};
use crate::field_path::VOLUME_FIELDS;
use crate::quantity::Quantity;
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

pub(super) fn validate(v: &Volume, path: &Path, errors: &mut ErrorList) {
    local(v, path, errors);
    objects(v, path, errors);
    network(v, path, errors);
    if let Some(image) = &v.image {
        let path = path.child("image");
        if text(image.reference.as_ref()).is_empty() {
            errors.required(&path.child("reference"), "");
        }
        if let Some(policy) = &image.pull_policy {
            let known = ["Always", "IfNotPresent", "Never"];
            errors.choice(&path.child("pullPolicy"), policy, &known);
        }
    }
}

/// Directories of the node.
fn local(v: &Volume, path: &Path, errors: &mut ErrorList) {
    if let Some(empty) = &v.empty_dir {
        let path = path.child("emptyDir");
        let medium = text(empty.medium.as_ref());
        if !medium.is_empty() && medium != "Memory" && !medium.starts_with("HugePages") {
            errors.not_supported(
                &path.child("medium"),
                medium,
                &["Memory", "HugePages", "HugePages-<size>"],
            );
        }
        if let Some(limit) = &empty.size_limit {
            let at = path.child("sizeLimit");
            match Quantity::try_from(limit) {
                Ok(q) if q.signum() < 0 => {
                    errors.forbidden(&at, "SizeLimit field must be a valid resource quantity");
                }
                Ok(_) => {}
                Err(error) => errors.invalid(&at, limit.0.as_str(), error.to_string()),
            }
        }
    }
    if let Some(host) = &v.host_path {
        let path = path.child("hostPath");
        match host.path.as_str() {
            "" => errors.required(&path.child("path"), ""),
            text => relative_or_clean(text, &path.child("path"), errors),
        }
        let kind = text(host.type_.as_ref());
        if !kind.is_empty() {
            let known = [
                "BlockDevice",
                "CharDevice",
                "Directory",
                "DirectoryOrCreate",
                "File",
                "FileOrCreate",
                "Socket",
            ];
            errors.choice(&path.child("type"), kind, &known);
        }
    }
}

/// Objects of the API.
fn objects(v: &Volume, path: &Path, errors: &mut ErrorList) {
    if let Some(map) = &v.config_map {
        let path = path.child("configMap");
        if map.name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        mode(map.default_mode, &path.child("defaultMode"), errors);
        keys(map.items.as_ref(), &path.child("items"), errors);
    }
    if let Some(secret) = &v.secret {
        let path = path.child("secret");
        if text(secret.secret_name.as_ref()).is_empty() {
            errors.required(&path.child("secretName"), "");
        }
        mode(secret.default_mode, &path.child("defaultMode"), errors);
        keys(secret.items.as_ref(), &path.child("items"), errors);
    }
    if let Some(downward) = &v.downward_api {
        let path = path.child("downwardAPI");
        mode(downward.default_mode, &path.child("defaultMode"), errors);
        files(downward.items.as_ref(), &path.child("items"), errors);
    }
    if let Some(source) = &v.projected {
        projected(source, &path.child("projected"), errors);
    }
    if let Some(claim) = &v.persistent_volume_claim
        && claim.claim_name.is_empty()
    {
        errors.required(&path.child("persistentVolumeClaim").child("claimName"), "");
    }
    if let Some(ephemeral) = &v.ephemeral
        && ephemeral.volume_claim_template.is_none()
    {
        errors.required(&path.child("ephemeral").child("volumeClaimTemplate"), "");
    }
    if let Some(csi) = &v.csi {
        let at = path.child("csi").child("driver");
        match csi.driver.as_str() {
            "" => errors.required(&at, ""),
            driver if driver.len() > 63 => errors.too_long(&at, 63),
            driver => errors.check(&at, driver, names::dns_subdomain(&driver.to_lowercase())),
        }
    }
}

fn network(v: &Volume, path: &Path, errors: &mut ErrorList) {
    if let Some(nfs) = &v.nfs {
        let path = path.child("nfs");
        if nfs.server.is_empty() {
            errors.required(&path.child("server"), "");
        }
        if nfs.path.is_empty() {
            errors.required(&path.child("path"), "");
        } else if !nfs.path.starts_with('/') {
            errors.invalid(
                &path.child("path"),
                nfs.path.as_str(),
                "must be an absolute path",
            );
        }
    }
    if let Some(iscsi) = &v.iscsi {
        let path = path.child("iscsi");
        for (field, value) in [("targetPortal", &iscsi.target_portal), ("iqn", &iscsi.iqn)] {
            if value.is_empty() {
                errors.required(&path.child(field), "");
            }
        }
        errors.range(&path.child("lun"), iscsi.lun.into(), 0, 255);
    }
}

fn mode(mode: Option<i32>, path: &Path, errors: &mut ErrorList) {
    if let Some(mode) = mode.filter(|m| !(0..=0o777).contains(m)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.invalid(path, mode, why);
    }
}

fn keys(items: Option<&Vec<KeyToPath>>, path: &Path, errors: &mut ErrorList) {
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = path.index(index);
        if item.key.is_empty() {
            errors.required(&path.child("key"), "");
        }
        file_path(&item.path, &path.child("path"), errors);
        mode(item.mode, &path.child("mode"), errors);
    }
}

/// A path of a file in a volume. Names that start with two dots are kept for swapping contents.
fn file_path(text: &str, path: &Path, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.required(path, "");
        return;
    }
    local_path(text, path, errors);
    if text.starts_with("..") && !text.starts_with("../") && text != ".." {
        errors.invalid(path, text, "must not start with '..'");
    }
}

fn files(items: Option<&Vec<DownwardAPIVolumeFile>>, path: &Path, errors: &mut ErrorList) {
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = path.index(index);
        file_path(&item.path, &path.child("path"), errors);
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => {
                env::field_ref(field, &VOLUME_FIELDS, true, &path.child("fieldRef"), errors);
            }
            (None, Some(resource)) => {
                env::resource_ref(resource, true, &path.child("resourceFieldRef"), errors);
            }
            (Some(_), Some(_)) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid(&path, "resource", why);
            }
            (None, None) => {
                errors.required(&path, "one of fieldRef and resourceFieldRef is required")
            }
        }
        mode(item.mode, &path.child("mode"), errors);
    }
}

fn projected(source: &ProjectedVolumeSource, path: &Path, errors: &mut ErrorList) {
    mode(source.default_mode, &path.child("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for (index, part) in source.sources.iter().flatten().enumerate() {
        let path = path.child("sources").index(index);
        let mut given = Vec::new();
        let mut taken = Vec::new();
        if let Some(secret) = &part.secret {
            given.push("secret");
            named(&secret.name, &path.child("secret"), errors);
            keys(
                secret.items.as_ref(),
                &path.child("secret").child("items"),
                errors,
            );
            taken.extend(secret.items.iter().flatten().map(|i| &i.path));
        }
        if let Some(map) = &part.config_map {
            given.push("configMap");
            named(&map.name, &path.child("configMap"), errors);
            keys(
                map.items.as_ref(),
                &path.child("configMap").child("items"),
                errors,
            );
            taken.extend(map.items.iter().flatten().map(|i| &i.path));
        }
        if let Some(downward) = &part.downward_api {
            given.push("downwardAPI");
            files(
                downward.items.as_ref(),
                &path.child("downwardAPI").child("items"),
                errors,
            );
            taken.extend(downward.items.iter().flatten().map(|i| &i.path));
        }
        if let Some(token) = &part.service_account_token {
            given.push("serviceAccountToken");
            let path = path.child("serviceAccountToken");
            let seconds = token.expiration_seconds.unwrap_or(3600);
            if !(600..=1 << 32).contains(&seconds) {
                let why =
                    "may not specify a duration less than 10 minutes or larger than 2^32 seconds";
                errors.invalid(&path.child("expirationSeconds"), seconds, why);
            }
            file_path(&token.path, &path.child("path"), errors);
            taken.push(&token.path);
        }
        if let Some(bundle) = &part.cluster_trust_bundle {
            given.push("clusterTrustBundle");
            file_path(
                &bundle.path,
                &path.child("clusterTrustBundle").child("path"),
                errors,
            );
            taken.push(&bundle.path);
        }
        if part.pod_certificate.is_some() {
            given.push("podCertificate");
        }
        for field in given.iter().skip(1) {
            errors.forbidden(
                &path.child(field),
                "may not specify more than 1 volume type per source",
            );
        }
        for file in taken {
            if !file.is_empty() && !paths.insert(file.clone()) {
                errors.invalid(&path, file.as_str(), "conflicting duplicate paths");
            }
        }
    }
}

fn named(name: &str, path: &Path, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.required(&path.child("name"), "");
    }
}
