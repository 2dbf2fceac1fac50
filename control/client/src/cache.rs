//! A reflector: keeps a local store equal to what the server holds, by list and watch.
//!
//! [`step`] decides (pure), [`reflect`] carries out, [`store`] holds. Must not know what objects
//! mean: their types bring the fields that their users read, everything else is dropped when an
//! answer is decoded.
//!
//! # Guarantees
//! - After [`Store::synced`] every object that was there is in the store; an object that is not
//!   changed any more is, in the end, in the store as it is on the server.
//! - A listener hears of each object in order, but not of every version.
//!
//! # Caveats
//! During a relist old and new objects stand side by side until its last page.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

pub mod changes;
pub mod reflect;
pub mod step;
pub mod store;

pub use changes::Changes;
pub use reflect::{Reflector, reflect};
pub use store::{Store, Writer};

/// Namespace and name. Cluster-wide objects have an empty namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl Key {
    /// The key of an object.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// An object that can be kept in a store. All types of `k8s_openapi` can; a type of one's own,
/// with only the fields that are read, implements it in four lines.
pub trait Object: DeserializeOwned + Send + Sync + 'static {
    /// `metadata.namespace`, empty for cluster-wide objects.
    fn namespace(&self) -> &str;
    /// `metadata.name`.
    fn name(&self) -> &str;
    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
    /// Namespace and name.
    fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }
}

impl<T> Object for T
where
    T: Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + Sync + 'static,
{
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or("")
    }

    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or("")
    }

    fn resource_version(&self) -> &str {
        self.metadata().resource_version.as_deref().unwrap_or("")
    }
}

/// What happened to an object.
#[derive(Debug)]
pub enum Change<T> {
    /// It is there, new or changed.
    Applied {
        /// What was before, if it was there.
        old: Option<Arc<T>>,
        /// What is now.
        new: Arc<T>,
    },
    /// It is gone.
    Removed {
        /// What was last known of it.
        old: Arc<T>,
    },
}

impl<T> Change<T> {
    pub(crate) fn between(old: Option<Arc<T>>, new: Option<Arc<T>>) -> Option<Self> {
        match (old, new) {
            (old, Some(new)) => Some(Self::Applied { old, new }),
            (Some(old), None) => Some(Self::Removed { old }),
            (None, None) => None,
        }
    }

    /// What was before.
    #[must_use]
    pub fn previous(&self) -> Option<&Arc<T>> {
        match self {
            Self::Applied { old, .. } => old.as_ref(),
            Self::Removed { old } => Some(old),
        }
    }

    /// What is now.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<T>> {
        match self {
            Self::Applied { new, .. } => Some(new),
            Self::Removed { .. } => None,
        }
    }

    /// The newest state that is known.
    #[must_use]
    pub fn latest(&self) -> &Arc<T> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Removed { old } => old,
        }
    }
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied { old, new } => Self::Applied {
                old: old.clone(),
                new: new.clone(),
            },
            Self::Removed { old } => Self::Removed { old: old.clone() },
        }
    }
}
