//! `storage.k8s.io`.

use super::Resource;
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
            .defaults(storage::csi_driver)
            .strategy(Strategy {
                generation: true,
                ..GUARDED
            }),
        Resource::cluster(V1, "CSINode", "csinodes").strategy(GUARDED),
        Resource::namespaced(V1, "CSIStorageCapacity", "csistoragecapacities").strategy(GUARDED),
        Resource::cluster(V1, "StorageClass", "storageclasses")
            .defaults(storage::storage_class)
            .short(&["sc"]),
        Resource::cluster(V1, "VolumeAttachment", "volumeattachments")
            .status()
            .strategy(GUARDED),
        Resource::cluster(V1, "VolumeAttributesClass", "volumeattributesclasses").short(&["vac"]),
    ]
}
