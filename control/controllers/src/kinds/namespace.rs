//! Namespaces.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Condition, Meta, kind};

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `metadata`.
    pub metadata: Meta,
    /// `spec`.
    pub spec: NamespaceSpec,
    /// `status`.
    pub status: NamespaceStatus,
}

kind!(
    Namespace,
    Resource::fixed("", "v1", "namespaces", "Namespace", false)
);

/// `spec` of a namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// Who has to empty it before it is gone.
    pub finalizers: Vec<Box<str>>,
}

/// `status` of a namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    pub phase: Box<str>,
    /// How its removal gets on.
    pub conditions: Vec<Condition>,
}

impl Namespace {
    /// Whether objects can be made in it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.metadata.is_leaving() && &*self.status.phase != "Terminating"
    }
}
