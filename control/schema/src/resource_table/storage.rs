//! `storage.k8s.io`.

use super::Resource;
use crate::columns;
use crate::defaults::storage;
use crate::strategy::Strategy;
use crate::validate;

const V1: (&str, &str) = ("storage.k8s.io", "v1");

const GUARDED: Strategy = Strategy {
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::cluster(V1, "CSIDriver", "csidrivers")
            .validate(validate::storage::csi_driver)
            .change(validate::storage::csi_driver_change)
            .columns(columns::storage::CSI_DRIVER)
            .defaults(storage::csi_driver)
            .strategy(Strategy {
                generation: true,
                ..GUARDED
            }),
        Resource::cluster(V1, "CSINode", "csinodes")
            .validate(validate::storage::csi_node)
            .change(validate::storage::csi_node_change)
            .columns(columns::storage::CSI_NODE)
            .strategy(GUARDED),
        Resource::namespaced(V1, "CSIStorageCapacity", "csistoragecapacities")
            .validate(validate::storage::capacity)
            .change(validate::storage::capacity_change)
            .columns(columns::storage::CSI_CAPACITY)
            .strategy(GUARDED),
        Resource::cluster(V1, "StorageClass", "storageclasses")
            .validate(validate::storage::storage_class)
            .change(validate::storage::storage_class_change)
            .columns(columns::storage::STORAGE_CLASS)
            .defaults(storage::storage_class)
            .short(&["sc"]),
        Resource::cluster(V1, "VolumeAttachment", "volumeattachments")
            .validate(validate::storage::attachment)
            .change(validate::storage::attachment_change)
            .status_rules(validate::storage::attachment_status)
            .columns(columns::storage::ATTACHMENT)
            .status()
            .strategy(GUARDED),
        Resource::cluster(V1, "VolumeAttributesClass", "volumeattributesclasses")
            .validate(validate::storage::attributes_class)
            .change(validate::storage::attributes_class_change)
            .columns(columns::storage::ATTRIBUTES_CLASS)
            .short(&["vac"]),
    ]
}
