//! Volumes.

use std::collections::BTreeMap;

use keelson_api::WireQuantity;
use keelson_api::quantity::Quantity;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::persistent_volume_claim::{PersistentVolumeClaim, storage};
use super::{Meta, kind};

/// The index of volumes by the claim that they are for, by [`claim_word`].
pub const CLAIM: &str = "claim";
/// The index of volumes that are for no claim, by class.
pub const FREE: &str = "free";

/// Set where the controller, not a user, tied a volume and a claim together.
pub const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A PersistentVolume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: VolumeSpec,
    /// `status`.
    pub status: VolumeStatus,
}

kind!(
    PersistentVolume,
    Resource::fixed("", "v1", "persistentvolumes", "PersistentVolume", false),
    vec![
        Index::new(CLAIM, |volume: &PersistentVolume, words| {
            if let Some(claim) = &volume.spec.claim_ref {
                words.push(claim_word(&claim.namespace, &claim.name));
            }
        }),
        Index::new(FREE, |volume: &PersistentVolume, words| {
            if volume.spec.claim_ref.is_none() {
                words.push(volume.class().to_owned());
            }
        }),
    ]
);

/// The word under which [`CLAIM`] has the volumes of a claim.
#[must_use]
pub fn claim_word(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// `spec` of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeSpec {
    /// The class; empty for none.
    pub storage_class_name: Box<str>,
    /// The claim it is for.
    pub claim_ref: Option<ClaimRef>,
    /// Its size.
    pub capacity: BTreeMap<String, WireQuantity>,
    /// How it is usable.
    pub access_modes: Vec<Box<str>>,
    /// `Filesystem` or `Block`.
    pub volume_mode: Option<Box<str>>,
    /// `Retain`, `Delete` or `Recycle`.
    pub persistent_volume_reclaim_policy: Box<str>,
    /// The class of its attributes.
    pub volume_attributes_class_name: Option<Box<str>>,
}

/// `spec.claimRef` of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    /// The claim's namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid; empty where whoever comes under this name may have the volume.
    pub uid: Box<str>,
}

/// `status` of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeStatus {
    /// `Pending`, `Available`, `Bound`, `Released` or `Failed`.
    pub phase: Box<str>,
}

impl PersistentVolume {
    /// The class it is of; empty for none.
    #[must_use]
    pub fn class(&self) -> &str {
        let old = self.metadata.annotations.get(OLD_CLASS);
        old.map_or(&*self.spec.storage_class_name, String::as_str)
    }

    /// How large it is.
    #[must_use]
    pub fn size(&self) -> Quantity {
        storage(&self.spec.capacity)
    }

    /// Whether it is meant for this claim, or has it already.
    #[must_use]
    pub fn is_for(&self, claim: &PersistentVolumeClaim) -> bool {
        let meta = &claim.metadata;
        self.spec.claim_ref.as_ref().is_some_and(|to| {
            to.name == meta.name
                && to.namespace == meta.namespace
                && (to.uid.is_empty() || to.uid == meta.uid)
        })
    }

    /// Whether it has this annotation.
    #[must_use]
    pub fn has_note(&self, name: &str) -> bool {
        self.metadata.annotations.contains_key(name)
    }
}
