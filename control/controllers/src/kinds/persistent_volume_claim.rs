//! Claims on volumes.

use std::collections::BTreeMap;

use keelson_api::WireQuantity;
use keelson_api::meta::LabelSelector;
use keelson_api::quantity::Quantity;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::Deserialize;

use super::{Meta, kind};

/// The index of claims by the volume that they name.
pub const VOLUME: &str = "volume";
/// The index of claims that wait for a volume, by [`waiting_for`] and [`CLASSLESS`].
pub const WAITING: &str = "waiting";
/// The word for waiting claims that say nothing about a class.
pub const CLASSLESS: &str = "-";

/// Set on claims that were bound once.
pub const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ClaimSpec,
    /// `status`.
    pub status: ClaimStatus,
}

kind!(
    PersistentVolumeClaim,
    Resource::fixed(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        true
    ),
    vec![
        Index::new(VOLUME, |claim: &PersistentVolumeClaim, words| {
            if !claim.spec.volume_name.is_empty() {
                words.push(claim.spec.volume_name.to_string());
            }
        }),
        Index::new(WAITING, |claim: &PersistentVolumeClaim, words| {
            if claim.is_complete() || !claim.spec.volume_name.is_empty() {
                return;
            }
            words.push(waiting_for(claim.class()));
            if !claim.names_class() {
                words.push(CLASSLESS.to_owned());
            }
        }),
    ]
);

/// The word under which [`WAITING`] has claims of a class.
#[must_use]
pub fn waiting_for(class: &str) -> String {
    format!("class/{class}")
}

/// `spec` of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSpec {
    /// The class; empty for none, absent for the usual one.
    pub storage_class_name: Option<Box<str>>,
    /// The volume it has or asks for.
    pub volume_name: Box<str>,
    /// `Filesystem` or `Block`.
    pub volume_mode: Option<Box<str>>,
    /// How the volume has to be usable.
    pub access_modes: Vec<Box<str>>,
    /// How much is asked for.
    pub resources: ClaimResources,
    /// Which volumes will do.
    pub selector: Option<Box<LabelSelector>>,
}

/// `spec.resources` of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimResources {
    /// What is asked for; only `storage` is read.
    pub requests: BTreeMap<String, WireQuantity>,
}

/// `status` of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimStatus {
    /// `Pending`, `Bound` or `Lost`.
    pub phase: Box<str>,
    /// The modes of the volume.
    pub access_modes: Vec<Box<str>>,
    /// The size of the volume.
    pub capacity: BTreeMap<String, WireQuantity>,
    /// The class of attributes that the volume has.
    pub current_volume_attributes_class_name: Option<Box<str>>,
}

impl PersistentVolumeClaim {
    /// The class it wants; empty for none.
    #[must_use]
    pub fn class(&self) -> &str {
        let old = self.metadata.annotations.get(OLD_CLASS);
        old.map(String::as_str)
            .or(self.spec.storage_class_name.as_deref())
            .unwrap_or_default()
    }

    /// Whether it says anything about a class.
    #[must_use]
    pub fn names_class(&self) -> bool {
        self.spec.storage_class_name.is_some() || self.has_note(OLD_CLASS)
    }

    /// Whether it was bound once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.has_note(COMPLETED)
    }

    /// Whether a node was chosen for a volume that is to be made.
    #[must_use]
    pub fn has_node(&self) -> bool {
        self.has_note(SELECTED_NODE)
    }

    /// Whether it has this annotation.
    #[must_use]
    pub fn has_note(&self, name: &str) -> bool {
        self.metadata.annotations.contains_key(name)
    }

    /// How much it asks for.
    #[must_use]
    pub fn size(&self) -> Quantity {
        storage(&self.spec.resources.requests)
    }
}

/// The amount of `storage` among others.
#[must_use]
pub fn storage(amounts: &BTreeMap<String, WireQuantity>) -> Quantity {
    let amount = amounts.get("storage");
    amount
        .and_then(|amount| Quantity::try_from(amount).ok())
        .unwrap_or(Quantity::ZERO)
}
