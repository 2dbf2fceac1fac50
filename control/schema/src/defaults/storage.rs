//! Defaults of storage classes and drivers, and of priority classes.

use serde_json::Value;

use super::fill::Default::{AbsentText, Bool, List};
use super::fill::apply_rules;

/// Fills in a storage class.
pub fn storage_class(class: &mut Value) {
    let rules = [
        ("reclaimPolicy", AbsentText("Delete")),
        ("volumeBindingMode", AbsentText("Immediate")),
    ];
    apply_rules(class, &rules);
}

/// Fills in a CSI driver.
pub fn csi_driver(driver: &mut Value) {
    let rules = [
        ("spec.attachRequired", Bool(true)),
        ("spec.podInfoOnMount", Bool(false)),
        ("spec.storageCapacity", Bool(false)),
        ("spec.fsGroupPolicy", AbsentText("ReadWriteOnceWithFSType")),
        ("spec.volumeLifecycleModes", List(&["Persistent"])),
        ("spec.requiresRepublish", Bool(false)),
        ("spec.seLinuxMount", Bool(false)),
    ];
    apply_rules(driver, &rules);
}

/// Fills in a priority class.
pub fn priority_class(class: &mut Value) {
    apply_rules(
        class,
        &[("preemptionPolicy", AbsentText("PreemptLowerPriority"))],
    );
}
