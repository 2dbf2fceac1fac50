//! Where pods come from: manifests in a folder, manifests behind a URL, later the apiserver.
//!
//! Each source publishes whole snapshots of what it wants, through a `watch` channel; `merge`
//! makes one of them. A manifest that cannot be worked with is a value as well
//! ([`SourceProblem`]), and never takes away a pod that runs. What happens with the pods is not
//! known here.

pub mod http;
mod identity;
mod ledger;
pub mod manifest;
pub mod merge;
mod references;
pub mod static_files;
mod watcher;

use std::fmt;
use std::sync::Arc;

pub use crate::model::desired::{DesiredPod, PodOrigin, PodUid};

/// Manifests larger than this are refused.
pub const MAX_MANIFEST: u64 = 10 << 20;

/// One thing that is wrong with a manifest or its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProblem {
    /// The file or URL.
    pub origin: PodOrigin,
    /// The line, from 1; 0 when it is not known or the source as a whole is meant.
    pub line: u32,
    /// The path of the field, such as `spec.containers[0].image`; empty for the whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

impl SourceProblem {
    /// A problem of the source as a whole.
    #[must_use]
    pub fn whole(origin: PodOrigin, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            origin,
            line: 0,
            field: String::new(),
            message: message.into(),
            cure: cure.into(),
        }
    }
}

/// The name people know an origin by.
#[must_use]
pub fn describe(origin: &PodOrigin) -> String {
    match origin {
        PodOrigin::File(path) => path.display().to_string(),
        PodOrigin::Http(url) => url.clone(),
        PodOrigin::Api => "the apiserver".to_owned(),
    }
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.origin))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if self.cure.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.cure)
        }
    }
}

/// What one source wants at one time.
#[derive(Clone, Debug, Default)]
pub struct SourceSnapshot {
    /// Whether the source has been read at all. Until then nothing may be concluded from a pod
    /// that is missing.
    pub ready: bool,
    /// The pods it wants.
    pub pods: Vec<Arc<DesiredPod>>,
    /// What is wrong with it.
    pub problems: Vec<SourceProblem>,
}
