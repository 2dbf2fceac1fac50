//! Persistent volumes and claims.

use keelson_api::quantity::Quantity;
use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::rules::Rule::{Keys, Need, NeedForm, OneOf, Within};
use super::rules::{self, Rules};
use super::storage::driver_name;
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

/// What a volume's source must say.
const SOURCE: Rules = &[
    ("awsElasticBlockStore?.volumeID", Need("")),
    ("azureDisk?.diskName", Need("")),
    ("azureDisk?.diskURI", Need("")),
    ("azureFile?.secretName", Need("")),
    ("azureFile?.shareName", Need("")),
    ("cephfs?.monitors", Need("")),
    ("cinder?.volumeID", Need("")),
    ("csi?.driver", NeedForm(driver_name)),
    ("csi?.volumeHandle", Need("")),
    ("csi?.controllerPublishSecretRef?.name", Need("")),
    ("csi?.controllerPublishSecretRef?.namespace", Need("")),
    ("csi?.nodePublishSecretRef?.name", Need("")),
    ("csi?.nodePublishSecretRef?.namespace", Need("")),
    ("csi?.nodeStageSecretRef?.name", Need("")),
    ("csi?.nodeStageSecretRef?.namespace", Need("")),
    ("flexVolume?.driver", Need("")),
    ("gcePersistentDisk?.pdName", Need("")),
    ("gcePersistentDisk?.partition", Within(0, 255)),
    ("glusterfs?.endpoints", Need("")),
    ("glusterfs?.path", Need("")),
    ("hostPath?.path", Need("")),
    ("iscsi?.targetPortal", Need("")),
    ("iscsi?.iqn", Need("")),
    ("iscsi?.lun", Within(0, 255)),
    ("local?.path", Need("")),
    ("nfs?.server", Need("")),
    ("nfs?.path", Need("")),
    ("photonPersistentDisk?.pdID", Need("")),
    ("portworxVolume?.volumeID", Need("")),
    ("quobyte?.registry", Need("")),
    ("quobyte?.volume", Need("")),
    ("rbd?.monitors", Need("")),
    ("rbd?.image", Need("")),
    ("scaleIO?.gateway", Need("")),
    ("scaleIO?.system", Need("")),
    ("scaleIO?.volumeName", Need("")),
    ("vsphereVolume?.volumePath", Need("")),
];

fn sources(spec: &At<'_>, errors: &mut ErrorList) {
    rules::apply(spec, SOURCE, errors);
    let path = spec.at("hostPath.path");
    if path.text().split('/').any(|part| part == "..") {
        path.invalid("must not contain '..'", errors);
    }
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if path.text() == "/" && policy.text() == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        policy.forbidden(detail, errors);
    }
    let path = spec.at("nfs.path");
    if !path.is_empty() && !path.text().starts_with('/') {
        path.invalid("must be an absolute path", errors);
    }
    let affinity = spec.field("nodeAffinity");
    if spec.field("local").is_given() && !affinity.field("required").is_given() {
        errors.required(&affinity.path, "Local volume requires node affinity");
    } else if affinity.is_given() && !affinity.field("required").is_given() {
        let detail = "must specify required node constraints";
        errors.required(&affinity.field("required").path, detail);
    }
    let class = spec.field("volumeAttributesClassName");
    if class.is_given() {
        if class.is_empty() {
            errors.required(&class.path, "an empty string is disallowed");
        }
        class.form(names::dns_subdomain, errors);
        if !spec.field("csi").is_given() {
            let detail = "has to be specified when using volumeAttributesClassName";
            errors.required(&spec.field("csi").path, detail);
        }
    }
}

/// Judges the spec of a volume that a pod brings itself.
pub(super) fn inline(spec: &At<'_>, errors: &mut ErrorList) {
    access_modes(&spec.field("accessModes"), errors);
    sources(spec, errors);
    if !spec.field("csi").is_given() {
        errors.required(&spec.field("csi").path, "");
    }
}

/// Judges the change of a persistent volume: what it is stays.
pub fn volume_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (At::root(new).field("spec"), At::root(old).field("spec"));
    class_change(&now, &before, errors);
    let changed = SOURCES
        .iter()
        .any(|source| now.field(source).value != before.field(source).value);
    if changed {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(&now.path.child("persistentvolumesource"), detail);
    }
    immutable(new, old, &["spec.volumeMode"], errors);
    if before.field("nodeAffinity").is_given() {
        immutable(new, old, &["spec.nodeAffinity"], errors);
    }
}

/// A class of attributes is not given up.
fn class_change(now: &At<'_>, before: &At<'_>, errors: &mut ErrorList) {
    let name = "volumeAttributesClassName";
    let (now, before) = (now.field(name), before.field(name));
    if before.is_given() && !now.is_given() {
        now.forbidden("update from non-nil value to nil is forbidden", errors);
    } else if before.is_given() && now.is_empty() {
        let detail = "update from non-nil value to an empty string is forbidden";
        now.forbidden(detail, errors);
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
    spec.field("volumeAttributesClassName")
        .form(names::dns_subdomain, errors);
    spec.field("volumeMode")
        .one_of(&["Block", "Filesystem"], errors);
    for source in ["dataSource", "dataSourceRef"] {
        origin(&spec.field(source), errors);
    }
    let (from, reference) = (spec.field("dataSource"), spec.field("dataSourceRef"));
    let elsewhere = reference.field("namespace").is_given();
    if elsewhere && from.is_given() {
        let detail = "may not be specified when dataSourceRef.namespace is specified";
        from.invalid(detail, errors);
    } else if from.is_given() && reference.is_given() && from.value != reference.value {
        from.invalid("must match dataSourceRef", errors);
    }
}

/// Judges what a claim is filled from.
fn origin(source: &At<'_>, errors: &mut ErrorList) {
    if !source.is_given() {
        return;
    }
    source.field("name").need("", errors);
    let (kind, group) = (source.field("kind"), source.field("apiGroup"));
    kind.need("", errors);
    if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
        let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        kind.invalid(detail, errors);
    }
    group.form(names::dns_subdomain, errors);
}

const MAY_GROW: &str = "spec is immutable after creation except resources.requests and \
    volumeAttributesClassName for bound claims";

/// Judges the change of a claim: it may grow, and little else.
pub fn claim_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (now, before) = (At::root(new), At::root(old));
    let bound = before.at("status.phase").text() == "Bound";
    let unnamed = before.at("spec.volumeName").is_empty();
    let classless = !before.at("spec.storageClassName").is_given();
    let frozen = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| match name.as_str() {
                "volumeAttributesClassName" => !bound,
                // Whoever binds it, and whoever makes a class the default one, say so once.
                "volumeName" => !unnamed,
                "storageClassName" => !classless,
                _ => true,
            });
        }
        let requests = spec.pointer_mut("/resources/requests");
        if let (true, Some(Value::Object(requests))) = (bound, requests) {
            requests.remove("storage");
        }
        spec
    };
    if frozen(new) != frozen(old) {
        now.field("spec").forbidden(MAY_GROW, errors);
    }
    let size = |at: &At<'_>, path| Quantity::parse(at.at(path).text());
    let requested = "spec.resources.requests.storage";
    if let (Ok(wanted), Ok(asked)) = (size(&now, requested), size(&before, requested)) {
        let there = size(&before, "status.capacity.storage");
        if wanted < asked && there.is_ok_and(|there| wanted <= there) {
            let detail = "field can not be less than status.capacity";
            now.at(requested).forbidden(detail, errors);
        }
    }
    class_change(&now.field("spec"), &before.field("spec"), errors);
}

/// Judges the status of a claim.
pub fn claim_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let status = At::root(new).field("status");
    rules::apply(&status, STATUS, errors);
    for field in ["capacity", "allocatedResources"] {
        super::quota::amounts(&status.field(field), errors);
    }
}

const STATUS: Rules = &[
    ("phase", OneOf(&["Bound", "Lost", "Pending"])),
    ("allocatedResourceStatuses", Keys(names::qualified_name)),
    (
        "allocatedResourceStatuses{}",
        OneOf(&[
            "ControllerResizeInProgress",
            "ControllerResizeInfeasible",
            "NodeResizeInProgress",
            "NodeResizeInfeasible",
            "NodeResizePending",
        ]),
    ),
];
