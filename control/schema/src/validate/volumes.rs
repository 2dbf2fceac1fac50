//! Persistent volumes and claims.

use keelson_api::quantity::Quantity;
use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable, selector};

const MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// What may hold a volume.
const SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

fn access_modes(modes: &At<'_>, errors: &mut ErrorList) {
    if modes.is_empty() {
        errors.required(&modes.path, "at least 1 access mode is required");
    }
    for mode in modes.items() {
        if !MODES.contains(&mode.text()) {
            errors.not_supported(&modes.path, mode.text(), MODES);
        }
    }
    let texts = modes.texts();
    if texts.contains(&"ReadWriteOncePod") && texts.len() > 1 {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.forbidden(&modes.path, detail);
    }
}

fn amount(amount: &At<'_>, errors: &mut ErrorList) {
    if Quantity::parse(amount.text()).is_ok_and(|quantity| quantity.signum() <= 0) {
        amount.invalid("must be greater than zero", errors);
    }
}

/// Judges a persistent volume.
pub fn volume(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    access_modes(&spec.field("accessModes"), errors);
    let capacity = spec.field("capacity");
    if capacity.is_empty() {
        errors.required(&capacity.path, "");
    } else if !capacity.field("storage").is_given() || capacity.entries().count() > 1 {
        errors.not_supported(&capacity.path, &capacity.value.to_string(), &["storage"]);
    }
    for (_, entry) in capacity.entries() {
        amount(&entry, errors);
    }
    let policies = ["Delete", "Recycle", "Retain"];
    spec.field("persistentVolumeReclaimPolicy")
        .one_of(&policies, errors);
    spec.field("volumeMode")
        .one_of(&["Block", "Filesystem"], errors);
    spec.field("storageClassName")
        .form(names::dns_subdomain, errors);
    let given: Vec<_> = SOURCES
        .iter()
        .filter(|s| spec.field(s).is_given())
        .collect();
    match given.as_slice() {
        [] => errors.required(&spec.path, "must specify a volume type"),
        [_, others @ ..] => {
            for other in others {
                spec.field(other)
                    .forbidden("may not specify more than 1 volume type", errors);
            }
        }
    }
    sources(&spec, errors);
}

fn sources(spec: &At<'_>, errors: &mut ErrorList) {
    let (host, nfs, local, csi) = (
        spec.field("hostPath"),
        spec.field("nfs"),
        spec.field("local"),
        spec.field("csi"),
    );
    if host.is_given() {
        let path = host.field("path");
        if path.need("", errors) && path.text().split('/').any(|part| part == "..") {
            path.invalid("must not contain '..'", errors);
        }
    }
    if nfs.is_given() {
        nfs.field("server").need("", errors);
        let path = nfs.field("path");
        if path.need("", errors) && !path.text().starts_with('/') {
            path.invalid("must be an absolute path", errors);
        }
    }
    if local.is_given() {
        local.field("path").need("", errors);
        if !spec.at("nodeAffinity.required").is_given() {
            let detail = "Local volume requires node affinity";
            errors.required(&spec.field("nodeAffinity").path, detail);
        }
    }
    if csi.is_given() {
        csi.field("driver").need("", errors);
        csi.field("volumeHandle").need("", errors);
    }
}

/// Judges the change of a persistent volume: what it is stays.
pub fn volume_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (At::root(new).field("spec"), At::root(old).field("spec"));
    let changed = SOURCES
        .iter()
        .any(|source| now.field(source).value != before.field(source).value);
    if changed {
        let detail = "spec.persistentvolumesource is immutable after creation";
        now.forbidden(detail, errors);
    }
    immutable(new, old, &["spec.volumeMode"], errors);
    if before.field("nodeAffinity").is_given() {
        immutable(new, old, &["spec.nodeAffinity"], errors);
    }
}

/// Judges a claim.
pub fn claim(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    access_modes(&spec.field("accessModes"), errors);
    selector::check(&spec.field("selector"), errors);
    let storage = spec.at("resources.requests").field("storage");
    if storage.is_given() {
        amount(&storage, errors);
    } else {
        errors.required(&spec.at("resources").path.key("storage"), "");
    }
    spec.field("storageClassName")
        .form(names::dns_subdomain, errors);
    spec.field("volumeMode")
        .one_of(&["Block", "Filesystem"], errors);
}

/// Judges the change of a claim: it may grow, and little else.
pub fn claim_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let frozen = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        let bound = !At::root(old).at("spec.volumeName").is_empty();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("volumeAttributesClassName");
            fields.remove("resources");
            if !bound {
                fields.remove("volumeName");
            }
        }
        spec
    };
    let spec = At::root(new).field("spec");
    if frozen(new) != frozen(old) {
        let detail = "spec is immutable after creation except resources.requests and \
            volumeAttributesClassName for bound claims";
        return spec.forbidden(detail, errors);
    }
    let pointer = "spec.resources.requests.storage";
    let size = |object| Quantity::parse(At::root(object).at(pointer).text());
    if let (Ok(now), Ok(before)) = (size(new), size(old)) {
        let bound = At::root(old).at("status.phase").text() == "Bound";
        if now < before
            && At::root(new)
                .at("status.capacity.storage")
                .text()
                .is_empty()
        {
            let detail = "field can not be less than previous value";
            spec.at("resources.requests")
                .field("storage")
                .forbidden(detail, errors);
        } else if now != before && !bound {
            let detail = "spec is immutable after creation except resources.requests and \
                volumeAttributesClassName for bound claims";
            spec.forbidden(detail, errors);
        }
    }
}
