//! ControllerRevisions: templates that DaemonSets and StatefulSets had.

use keelson_client::Resource;
use serde::Deserialize;

use super::{Meta, Template, kind};

/// A ControllerRevision.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ControllerRevision {
    /// `metadata`.
    pub metadata: Meta,
    /// What its owner was, as a patch that brings it back.
    pub data: Template,
    /// The newest has the highest.
    pub revision: i64,
}

kind!(
    ControllerRevision,
    Resource::fixed(
        "apps",
        "v1",
        "controllerrevisions",
        "ControllerRevision",
        true
    )
);
