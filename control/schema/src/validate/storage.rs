//! Storage classes, drivers, attachments.

use keelson_api::validate::field::ErrorList;
use keelson_api::validate::names;
use serde_json::Value;

use super::rules::Rule::{Amount, Form, Keys, Need, NeedForm, Short, Unique, Within};
use super::rules::{self, Rules};
use super::{At, immutable, selector};

/// The name of a driver.
pub(super) fn driver_name(name: &str) -> Vec<String> {
    let mut wrong = names::dns_subdomain(&name.to_lowercase());
    if name.len() > 63 {
        wrong.push("must be no more than 63 bytes".to_owned());
    }
    wrong
}

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
    rules::apply(&object, TOPOLOGIES, errors);
    object
        .field("volumeBindingMode")
        .need_one_of(&["Immediate", "WaitForFirstConsumer"], errors);
}

const TOPOLOGIES: Rules = &[
    (
        "allowedTopologies[].matchLabelExpressions[].key",
        Form(names::qualified_name),
    ),
    (
        "allowedTopologies[].matchLabelExpressions[].values",
        Need(""),
    ),
    (
        "allowedTopologies[].matchLabelExpressions[].values",
        Unique(&[]),
    ),
    (
        "allowedTopologies[].matchLabelExpressions",
        Unique(&["key"]),
    ),
];

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
    rules::apply(&object, &[("driverName", NeedForm(driver_name))], errors);
    let parameters = object.field("parameters");
    if parameters.is_empty() {
        errors.required(&parameters.path, "must contain at least one key/value pair");
    }
}

/// Judges the change of a class of volume attributes.
pub fn attributes_class_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["driverName", "parameters"], errors);
}

const DRIVER: Rules = &[
    ("metadata.name", Form(driver_name)),
    ("spec.attachRequired", Need("")),
    ("spec.podInfoOnMount", Need("")),
    ("spec.storageCapacity", Need("")),
    ("spec.tokenRequests", Unique(&["audience"])),
    (
        "spec.nodeAllocatableUpdatePeriodSeconds",
        Within(10, i64::MAX),
    ),
];

/// Judges a CSI driver.
pub fn csi_driver(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    rules::apply(&At::root(object), DRIVER, errors);
    for token in spec.field("tokenRequests").items() {
        let seconds = token.field("expirationSeconds");
        if seconds.int().is_some_and(|seconds| seconds < 600) {
            seconds.invalid("may not specify a duration less than 10 minutes", errors);
        }
        if seconds.int().is_some_and(|seconds| seconds > 1 << 32) {
            seconds.invalid(
                "may not specify a duration larger than 2^32 seconds",
                errors,
            );
        }
    }
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
    rules::apply(&At::root(object), NODE, errors);
}

const NODE: Rules = &[
    ("spec.drivers", Unique(&["name"])),
    ("spec.drivers[].name", NeedForm(driver_name)),
    ("spec.drivers[].nodeID", Need("")),
    ("spec.drivers[].nodeID", Short(256)),
    ("spec.drivers[].topologyKeys", Unique(&[])),
    (
        "spec.drivers[].topologyKeys[]",
        NeedForm(names::qualified_name),
    ),
    (
        "spec.drivers[].allocatable.count",
        Within(0, i32::MAX as i64),
    ),
];

/// Judges the change of a node's drivers: those that stay are the same, but for how many volumes
/// they can attach.
pub fn csi_node_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let fixed = ["name", "nodeID", "topologyKeys"];
    let drivers = |object| At::root(object).at("spec.drivers");
    for driver in drivers(new).items() {
        let name = |driver: &At<'_>| driver.field("name").value.clone();
        let mut all = drivers(old).items();
        let before = all.find(|before| name(before) == name(&driver));
        let differs = |before: &At<'_>| {
            let differs = |field| before.field(field).value != driver.field(field).value;
            fixed.into_iter().any(differs)
        };
        if before.is_some_and(|before| differs(&before)) {
            let path = keelson_api::validate::field::Path::new("CSINode");
            errors.invalid(&path, drivers(new).value.clone(), "field is immutable");
        }
    }
}

/// Judges how much there is left of a class of storage in a part of the cluster.
pub fn capacity(object: &Value, errors: &mut ErrorList) {
    let object = At::root(object);
    rules::apply(&object, CAPACITY, errors);
    selector::check(&object.field("nodeTopology"), errors);
}

const CAPACITY: Rules = &[
    ("storageClassName", NeedForm(names::dns_subdomain)),
    ("capacity", Amount),
    ("maximumVolumeSize", Amount),
];

/// Judges the change of a capacity.
pub fn capacity_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["nodeTopology", "storageClassName"], errors);
}

/// Judges an attachment.
pub fn attachment(object: &Value, errors: &mut ErrorList) {
    let spec = At::root(object).field("spec");
    rules::apply(&spec, ATTACHMENT, errors);
    let source = spec.field("source");
    let (inline, named) = (
        source.field("inlineVolumeSpec"),
        source.field("persistentVolumeName"),
    );
    if inline.is_given() && named.is_given() {
        let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        source.invalid(detail, errors);
    } else if inline.is_given() {
        super::volumes::inline(&inline, errors);
    } else if !named.is_given() {
        let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        errors.required(&source.path, detail);
    }
}

const ATTACHMENT: Rules = &[
    ("attacher", NeedForm(driver_name)),
    ("nodeName", NeedForm(names::dns_subdomain)),
    ("source.persistentVolumeName", Form(names::dns_subdomain)),
];

/// Judges the status of an attachment.
pub fn attachment_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let rules: Rules = &[
        ("attachError.message", Short(256 * 1024)),
        ("detachError.message", Short(256 * 1024)),
        ("attachmentMetadata", Keys(names::qualified_name)),
    ];
    rules::apply(&At::root(new).field("status"), rules, errors);
}

/// Judges the change of an attachment.
pub fn attachment_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable(new, old, &["spec"], errors);
}
