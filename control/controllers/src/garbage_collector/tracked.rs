//! What is kept of every object: who owns it and what holds it.

use jiff::Timestamp;
use keelson_client::Object;
use keelson_client::cache::Key;
use keelson_client::index::Index;
use serde::{Deserialize, Deserializer};

use crate::kinds::OwnerReference;

/// The index by the uids of all owners.
pub const OWNERS: &str = "owners";
/// The finalizer of an owner that waits for what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner that lets go of what it owns.
pub const ORPHAN: &str = "orphan";

/// Any object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Tracked {
    /// `metadata`.
    pub metadata: Metadata,
}

/// `metadata`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name.
    pub name: Box<str>,
    /// The namespace.
    pub namespace: Box<str>,
    /// The uid.
    pub uid: Box<str>,
    /// The version.
    pub resource_version: Box<str>,
    /// When its removal began.
    pub deletion_timestamp: Option<Timestamp>,
    /// The owners.
    #[serde(deserialize_with = "null_is_empty")]
    pub owner_references: Box<[OwnerReference]>,
    /// Who has to agree before it is gone.
    #[serde(deserialize_with = "null_is_empty")]
    pub finalizers: Box<[Box<str>]>,
}

fn null_is_empty<'de, D, T>(input: D) -> Result<Box<[T]>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

impl Object for Tracked {
    fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    fn name(&self) -> &str {
        &self.metadata.name
    }

    fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Tracked {
    /// How objects are found by their owners.
    #[must_use]
    pub fn indexes() -> Vec<Index<Self>> {
        vec![Index::new(OWNERS, |object: &Self, words| {
            let owners = object.metadata.owner_references.iter();
            words.extend(owners.map(|owner| owner.uid.to_string()));
        })]
    }

    /// Whether it has a finalizer.
    #[must_use]
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.metadata
            .finalizers
            .iter()
            .any(|known| &**known == name)
    }

    /// Whether it leaves and waits for what it owns.
    #[must_use]
    pub fn waits_for_dependents(&self) -> bool {
        self.metadata.deletion_timestamp.is_some() && self.has_finalizer(FOREGROUND)
    }

    /// Whether it leaves and lets go of what it owns.
    #[must_use]
    pub fn orphans_dependents(&self) -> bool {
        self.metadata.deletion_timestamp.is_some() && self.has_finalizer(ORPHAN)
    }

    /// The reference to this owner.
    #[must_use]
    pub fn owner(&self, uid: &str) -> Option<&OwnerReference> {
        self.metadata
            .owner_references
            .iter()
            .find(|owner| &*owner.uid == uid)
    }

    /// Whether an owner that leaves in the foreground waits for it.
    #[must_use]
    pub fn blocks(&self, uid: &str) -> bool {
        self.owner(uid)
            .is_some_and(|owner| owner.block_owner_deletion == Some(true))
    }
}

/// The key of an object of a kind. The kind is its plural and group.
#[must_use]
pub fn key(kind: &str, object: &Key) -> Key {
    Key::new(&format!("{kind}/{}", object.namespace), &object.name)
}

/// The kind and the object that a key is about.
#[must_use]
pub fn of_key(key: &Key) -> Option<(&str, Key)> {
    let (kind, namespace) = key.namespace.split_once('/')?;
    Some((kind, Key::new(namespace, &key.name)))
}

/// The group of an `apiVersion`.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}
