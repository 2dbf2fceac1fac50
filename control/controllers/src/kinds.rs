//! The kinds that controllers watch, with the fields that some controller reads and no other: what
//! is missing here is dropped when an answer is decoded. One type per kind for the whole program,
//! so that each kind is watched once. Must not know who reads what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keelson_client::Resource;
use keelson_client::index::Index;
use serde::{Deserialize, Serialize};

pub mod certificate_request;
pub mod cluster_role;
pub mod condition;
pub mod config_map;
pub mod controller_revision;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod disruption_budget;
pub mod endpoint_slice;
pub mod endpoints;
pub mod job;
pub mod namespace;
pub mod node;
pub mod node_lease;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
pub mod replica_set;
pub mod resource_quota;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod service_cidr;
pub mod stateful_set;
pub mod storage_class;
pub mod template;

pub use certificate_request::CertificateRequest;
pub use cluster_role::ClusterRole;
pub use condition::Condition;
pub use config_map::ConfigMap;
pub use controller_revision::ControllerRevision;
pub use cron_job::CronJob;
pub use daemon_set::DaemonSet;
pub use deployment::Deployment;
pub use disruption_budget::DisruptionBudget;
pub use endpoint_slice::EndpointSlice;
pub use endpoints::Endpoints;
pub use job::Job;
pub use keelson_client::Object;
pub use namespace::Namespace;
pub use node::Node;
pub use node_lease::NodeLease;
pub use persistent_volume::PersistentVolume;
pub use persistent_volume_claim::PersistentVolumeClaim;
pub use pod::Pod;
pub use replica_set::{ReplicaSet, ReplicationController};
pub use resource_quota::ResourceQuota;
pub use secret::Secret;
pub use service::Service;
pub use service_account::ServiceAccount;
pub use service_cidr::ServiceCidr;
pub use stateful_set::StatefulSet;
pub use storage_class::StorageClass;
pub use template::Template;

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// The index by controlling owner, which every kind has. Words are those of [`owned_by`] and
/// [`orphans_of`].
pub const CONTROLLER: &str = "controller";

/// The index by namespace, of kinds whose objects select others.
pub const NAMESPACE: &str = "namespace";

/// The annotation in which kubectl keeps what was applied. Nobody reads it here, and it is large.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which objects of a kind are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The one namespace; empty for all.
    pub namespace: &'static str,
    /// A field selector; empty for all.
    pub fields: &'static str,
}

impl Scope {
    /// All objects.
    pub const ALL: Self = Self {
        namespace: "",
        fields: "",
    };
}

/// A kind that is watched.
pub trait Kind: Object + std::fmt::Debug {
    /// How paths name it.
    const RESOURCE: Resource;

    /// Which objects are watched, where nothing else is said.
    const SCOPE: Scope = Scope::ALL;

    /// Its metadata.
    fn meta(&self) -> &Meta;

    /// How its objects are found, apart from their names and their owner.
    #[must_use]
    fn indexes() -> Vec<Index<Self>> {
        Vec::new()
    }

    /// The index by owner, and those of the kind.
    #[must_use]
    fn all_indexes() -> Vec<Index<Self>> {
        let mut indexes = vec![Index::new(CONTROLLER, |object: &Self, words| {
            words.push(controller_word(object.meta()));
        })];
        indexes.extend(Self::indexes());
        indexes
    }
}

/// Makes a type with the fields `metadata: Meta` a [`Kind`].
macro_rules! kind {
    ($type:ty, $resource:expr) => {
        $crate::kinds::kind!($type, $resource, Vec::new());
    };
    ($type:ty, $resource:expr, $indexes:expr) => {
        $crate::kinds::kind!($type, $resource, $indexes, $crate::kinds::Scope::ALL);
    };
    ($type:ty, $resource:expr, $indexes:expr, $scope:expr) => {
        impl keelson_client::Object for $type {
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
        impl $crate::kinds::Kind for $type {
            const RESOURCE: keelson_client::Resource = $resource;
            const SCOPE: $crate::kinds::Scope = $scope;
            fn meta(&self) -> &$crate::kinds::Meta {
                &self.metadata
            }
            fn indexes() -> Vec<keelson_client::index::Index<Self>> {
                $indexes
            }
        }
    };
}
pub(crate) use kind;

/// `metadata`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// The name.
    pub name: Box<str>,
    /// The namespace; empty for cluster-wide objects.
    pub namespace: Box<str>,
    /// What tells this object from others that had or will have its name.
    pub uid: Box<str>,
    /// The version of the object as a whole.
    pub resource_version: Box<str>,
    /// The version of its spec.
    pub generation: i64,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When its removal began, or is to end at the latest.
    pub deletion_timestamp: Option<Timestamp>,
    /// How long its removal may take, in seconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// The labels.
    pub labels: Labels,
    /// The annotations, without what kubectl keeps there for itself.
    #[serde(deserialize_with = "annotations")]
    pub annotations: Labels,
    /// The owners.
    pub owner_references: Vec<OwnerReference>,
    /// Who has to agree before it is gone.
    pub finalizers: Vec<Box<str>>,
}

fn annotations<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
    let mut all: Labels = Option::deserialize(from)?.unwrap_or_default();
    all.remove(LAST_APPLIED);
    Ok(all)
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference {
    /// The owner's `apiVersion`.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its name, in the same namespace or cluster-wide.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Whether it is the one owner that manages the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether the owner, removed in the foreground, waits for this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Meta {
    /// The owner that manages the object.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference> {
        let mut owners = self.owner_references.iter();
        owners.find(|owner| owner.controller == Some(true))
    }

    /// Whether its removal has begun.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// The word under which [`CONTROLLER`] has what an owner manages.
#[must_use]
pub fn owned_by(uid: &str) -> String {
    uid.to_owned()
}

/// The word under which [`CONTROLLER`] has the objects of a namespace that nobody manages.
#[must_use]
pub fn orphans_of(namespace: &str) -> String {
    format!("orphans/{namespace}")
}

fn controller_word(meta: &Meta) -> String {
    match meta.controller() {
        Some(owner) => owned_by(&owner.uid),
        None => orphans_of(&meta.namespace),
    }
}

#[cfg(test)]
mod tests {
    use keelson_client::Store;
    use serde_json::json;

    use super::{CONTROLLER, Kind as _, Pod, orphans_of, owned_by};

    #[test]
    fn owned_and_orphaned_objects_are_found() {
        let pod = |name: &str, owner: Option<&str>| -> Pod {
            let owners = owner.map(|uid| {
                json!([{"apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": true}])
            });
            serde_json::from_value(json!({"metadata": {
                "name": name, "namespace": "a", "resourceVersion": "1",
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "b": "c"},
                "ownerReferences": owners.unwrap_or(json!([])),
            }}))
            .unwrap()
        };
        let (store, mut writer) = Store::new(Pod::all_indexes());
        writer.apply(pod("one", Some("u")));
        writer.apply(pod("two", None));
        let names = |word: &str| -> Vec<String> {
            let found = store.by_index(CONTROLLER, word);
            found
                .iter()
                .map(|pod| pod.metadata.name.to_string())
                .collect()
        };
        assert_eq!(names(&owned_by("u")), ["one"]);
        assert_eq!(names(&orphans_of("a")), ["two"]);
        let annotations = &store.get("a", "one").unwrap().metadata.annotations;
        assert_eq!(annotations.len(), 1);
    }
}
