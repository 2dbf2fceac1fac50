//! Classes of storage.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Meta, kind};

const DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// A StorageClass.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageClass {
    /// `metadata`.
    pub metadata: Meta,
    /// Who makes volumes of it.
    pub provisioner: Box<str>,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Box<str>,
}

kind!(
    StorageClass,
    Resource::fixed(
        "storage.k8s.io",
        "v1",
        "storageclasses",
        "StorageClass",
        false
    )
);

impl StorageClass {
    /// Whether its claims are bound once a pod that uses them has a node.
    #[must_use]
    pub fn waits(&self) -> bool {
        &*self.volume_binding_mode == "WaitForFirstConsumer"
    }

    /// Whether claims that name no class get it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        let annotations = &self.metadata.annotations;
        let mut words = DEFAULT.iter().filter_map(|name| annotations.get(*name));
        words.any(|word| word == "true")
    }
}
