//! Columns of volumes, storage classes and drivers.

use serde_json::{Value, json};

use super::Column;
use super::network::is_default;
use super::pods::access_modes;
use super::read::{UNSET, flag, items, shown, text, texts};

/// `kubectl get persistentvolumes`.
pub const VOLUME: &[Column] = &[
    Column::NAME,
    Column::at("Capacity", ".spec.capacity.storage"),
    Column::of("Access Modes", |v, _| {
        json!(access_modes(v, "/spec/accessModes"))
    }),
    Column::at("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
    Column::of("Status", |v, _| json!(phase(v))),
    Column::of("Claim", |volume, _| {
        let Some(claim) = volume.pointer("/spec/claimRef") else {
            return json!("");
        };
        json!(format!(
            "{}/{}",
            text(claim, "/namespace"),
            text(claim, "/name")
        ))
    }),
    Column::of("StorageClass", |v, _| {
        json!(text(v, "/spec/storageClassName"))
    }),
    Column::of("VolumeAttributesClass", |v, _| {
        or_unset(text(v, "/spec/volumeAttributesClassName"))
    }),
    Column::of("Reason", |v, _| json!(text(v, "/status/reason"))),
    Column::AGE,
    Column::wide("VolumeMode", |v, _| or_unset(text(v, "/spec/volumeMode"))),
];

/// `kubectl get persistentvolumeclaims`.
pub const CLAIM: &[Column] = &[
    Column::NAME,
    Column::of("Status", |claim, _| json!(phase(claim))),
    Column::of("Volume", |claim, _| json!(text(claim, "/spec/volumeName"))),
    Column::of("Capacity", |claim, _| {
        json!(bound(claim, "/status/capacity/storage"))
    }),
    Column::of("Access Modes", |claim, _| {
        let bound = !text(claim, "/spec/volumeName").is_empty();
        json!(if bound {
            access_modes(claim, "/status/accessModes")
        } else {
            String::new()
        })
    }),
    Column::of("StorageClass", |claim, _| {
        json!(text(claim, "/spec/storageClassName"))
    }),
    Column::of("VolumeAttributesClass", |claim, _| {
        or_unset(text(claim, "/spec/volumeAttributesClassName"))
    }),
    Column::AGE,
    Column::wide("VolumeMode", |claim, _| {
        or_unset(text(claim, "/spec/volumeMode"))
    }),
];

fn phase(object: &Value) -> &str {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return "Terminating";
    }
    text(object, "/status/phase")
}

fn bound(claim: &Value, pointer: &str) -> String {
    if text(claim, "/spec/volumeName").is_empty() {
        return String::new();
    }
    shown(claim.pointer(pointer))
}

fn or_unset(text: &str) -> Value {
    json!(if text.is_empty() { UNSET } else { text })
}

/// `kubectl get storageclasses`.
pub const STORAGE_CLASS: &[Column] = &[
    Column::new(
        "Name",
        "string",
        "name",
        0,
        super::Cell::Function(|class, _| {
            json!(marked(class, "storageclass.kubernetes.io/is-default-class"))
        }),
    ),
    Column::at("Provisioner", ".provisioner"),
    Column::of("ReclaimPolicy", |class, _| {
        json!(or(text(class, "/reclaimPolicy"), "Delete"))
    }),
    Column::of("VolumeBindingMode", |class, _| {
        json!(or(text(class, "/volumeBindingMode"), "Immediate"))
    }),
    Column::of("AllowVolumeExpansion", |class, _| {
        json!(flag(class, "/allowVolumeExpansion"))
    }),
    Column::AGE,
];

fn or<'v>(text: &'v str, default: &'v str) -> &'v str {
    if text.is_empty() { default } else { text }
}

fn marked(class: &Value, annotation: &str) -> String {
    let name = text(class, "/metadata/name");
    if is_default(class, annotation) {
        format!("{name} (default)")
    } else {
        name.to_owned()
    }
}

/// `kubectl get volumeattributesclasses`.
pub const ATTRIBUTES_CLASS: &[Column] = &[
    Column::NAME,
    Column::at("DriverName", ".driverName"),
    Column::AGE,
];

/// `kubectl get volumeattachments`.
pub const ATTACHMENT: &[Column] = &[
    Column::NAME,
    Column::at("Attacher", ".spec.attacher"),
    Column::of("PV", |a, _| {
        json!(text(a, "/spec/source/persistentVolumeName"))
    }),
    Column::at("Node", ".spec.nodeName"),
    Column::of("Attached", |a, _| json!(flag(a, "/status/attached"))),
    Column::AGE,
];

/// `kubectl get csinodes`.
pub const CSI_NODE: &[Column] = &[
    Column::NAME,
    Column::count("Drivers", |node, _| {
        json!(items(node, "/spec/drivers").len())
    }),
    Column::AGE,
];

/// `kubectl get csidrivers`.
pub const CSI_DRIVER: &[Column] = &[
    Column::NAME,
    Column::of("AttachRequired", |d, _| {
        json!(
            d.pointer("/spec/attachRequired")
                .and_then(Value::as_bool)
                .unwrap_or(true)
        )
    }),
    Column::of("PodInfoOnMount", |d, _| {
        json!(flag(d, "/spec/podInfoOnMount"))
    }),
    Column::of("StorageCapacity", |d, _| {
        json!(flag(d, "/spec/storageCapacity"))
    }),
    Column::of("TokenRequests", |driver, _| {
        let audiences = items(driver, "/spec/tokenRequests")
            .iter()
            .map(|t| text(t, "/audience"));
        let audiences = audiences.collect::<Vec<_>>().join(",");
        or_unset(&audiences)
    }),
    Column::of("RequiresRepublish", |d, _| {
        json!(flag(d, "/spec/requiresRepublish"))
    }),
    Column::of("Modes", |driver, _| {
        or_unset(&texts(driver, "/spec/volumeLifecycleModes").join(","))
    }),
    Column::AGE,
];

/// `kubectl get csistoragecapacities`.
pub const CSI_CAPACITY: &[Column] = &[
    Column::NAME,
    Column::at("StorageClassName", ".storageClassName"),
    Column::of("Capacity", |c, _| json!(shown(c.get("capacity")))),
    Column::AGE,
];
