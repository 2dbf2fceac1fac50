//! Storage classes, drivers, attachments.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::{At, immutable};

/// Judges a storage class.
pub fn storage_class(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    let provisioner = object.field("provisioner");
    if provisioner.need("", errors) {
        let lower = provisioner.text().to_lowercase();
        errors.check(
            &provisioner.path,
            provisioner.text(),
            names::qualified_name(&lower),
        );
    }
    let parameters = object.field("parameters");
    if parameters.entries().count() > 512 {
        errors.too_long(&parameters.path, 512);
    }
    object
        .field("reclaimPolicy")
        .one_of(&["Delete", "Retain"], errors);
    object
        .field("volumeBindingMode")
        .need_one_of(&["Immediate", "WaitForFirstConsumer"], errors);
}

/// Judges the change of a storage class.
pub fn storage_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    for field in ["parameters", "provisioner"] {
        let (new, old) = (At::root(new).field(field), At::root(old).field(field));
        if new.value != old.value {
            let detail = format!("updates to {field} are forbidden.");
            new.forbidden(&detail, errors);
        }
    }
    immutable(new, old, &["reclaimPolicy", "volumeBindingMode"], errors);
}

/// Judges a class of volume attributes.
pub fn attributes_class(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    object.field("driverName").need("", errors);
    let parameters = object.field("parameters");
    if parameters.is_empty() {
        errors.required(&parameters.path, "must contain at least one key/value pair");
    }
}

/// Judges the change of a class of volume attributes.
pub fn attributes_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["driverName", "parameters"], errors);
}

/// Judges a CSI driver.
pub fn csi_driver(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    spec.field("fsGroupPolicy").one_of(&policies, errors);
    for mode in spec.field("volumeLifecycleModes").items() {
        mode.one_of(&["Ephemeral", "Persistent"], errors);
    }
}

/// Judges the change of a CSI driver.
pub fn csi_driver_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(
        new,
        old,
        &[
            "spec.attachRequired",
            "spec.fsGroupPolicy",
            "spec.volumeLifecycleModes",
        ],
        errors,
    );
}

/// Judges a node's drivers.
pub fn csi_node(object: &Value, errors: &mut ErrorList) {
    let mut seen = Vec::new();
    for driver in At::root(object).at("spec.drivers").items() {
        let (name, node) = (driver.field("name"), driver.field("nodeID"));
        if name.need("", errors) && seen.contains(&name.text()) {
            errors.duplicate(&name.path, name.text());
        }
        seen.push(name.text());
        node.need("", errors);
    }
}

/// Judges an attachment.
pub fn attachment(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    spec.field("attacher").need("", errors);
    spec.field("nodeName").need("", errors);
    let source = spec.field("source");
    let (inline, named) = (
        source.field("inlineVolumeSpec"),
        source.field("persistentVolumeName"),
    );
    if !inline.is_given() && !named.is_given() {
        let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        errors.required(&source.path, detail);
    }
}

/// Judges the change of an attachment.
pub fn attachment_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec"], errors);
}
