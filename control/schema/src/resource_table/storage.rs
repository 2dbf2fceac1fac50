//! `storage.k8s.io`.

use super::Resource;
use crate::columns;
use crate::defaults::storage;
use crate::strategy::Strategy;

const V1: (&str, &str) = ("storage.k8s.io", "v1");

const GUARDED: Strategy = Strategy {
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::cluster(V1, "CSIDriver", "csidrivers")
            .columns(columns::storage::CSI_DRIVER)
            .defaults(storage::csi_driver)
            .strategy(Strategy {
                generation: true,
                ..GUARDED
            }),
        Resource::cluster(V1, "CSINode", "csinodes")
            .columns(columns::storage::CSI_NODE)
            .strategy(GUARDED),
        Resource::namespaced(V1, "CSIStorageCapacity", "csistoragecapacities")
            .columns(columns::storage::CSI_CAPACITY)
            .strategy(GUARDED),
        Resource::cluster(V1, "StorageClass", "storageclasses")
            .columns(columns::storage::STORAGE_CLASS)
            .defaults(storage::storage_class)
            .short(&["sc"]),
        Resource::cluster(V1, "VolumeAttachment", "volumeattachments")
            .columns(columns::storage::ATTACHMENT)
            .status()
            .strategy(GUARDED),
        Resource::cluster(V1, "VolumeAttributesClass", "volumeattributesclasses")
            .columns(columns::storage::ATTRIBUTES_CLASS)
            .short(&["vac"]),
    ]
}
