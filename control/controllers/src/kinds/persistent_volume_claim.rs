//! Claims on volumes.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Meta, kind};

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeClaim {
    /// `metadata`.
    pub metadata: Meta,
}

kind!(
    PersistentVolumeClaim,
    Resource::fixed(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        true
    )
);
