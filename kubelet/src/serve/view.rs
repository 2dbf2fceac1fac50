//! What the servers may ask the agent. Object safe, synchronous and cheap: an implementation reads
//! a published snapshot and never waits.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;

use super::route::{ContainerTarget, PodTarget};
use crate::journal::{Journal, PodView};

#[cfg(test)]
pub(crate) mod fake;

/// The node as its servers see it.
pub trait NodeView: Send + Sync {
    /// The pods this node was told to run, with spec and status as the API would show them.
    fn pods(&self) -> Vec<Arc<Pod>>;

    /// The pods that the runtime runs, wanted or not.
    fn running_pods(&self) -> Vec<Arc<Pod>>;

    /// One pod by namespace and name.
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods().into_iter().find(|pod| {
            pod.metadata.namespace.as_deref().unwrap_or("default") == namespace
                && pod.metadata.name.as_deref() == Some(name)
        })
    }

    /// The log file of a container's current instance, or of the one before it.
    fn container_log(
        &self,
        target: &ContainerTarget,
        previous: bool,
    ) -> Result<LogTarget, LogUnavailable>;

    /// The runtime's ID of a running container.
    fn container_id(&self, target: &ContainerTarget) -> Result<String, TargetError>;

    /// The runtime's ID of a pod's ready sandbox.
    fn sandbox_id(&self, target: &PodTarget) -> Result<String, TargetError>;

    /// Whether the pod loop has turned lately; the text says since when it has not.
    fn sync_loop_fresh(&self) -> Result<(), String>;

    /// The journal of decisions.
    fn journal(&self) -> &Journal;

    /// What is known of a pod beyond its status: timers and what they will do.
    fn pod_view(&self, pod: &Pod) -> PodView {
        PodView::of(pod)
    }

    /// The configuration in force, as JSON of `KubeletConfiguration`.
    fn config_json(&self) -> serde_json::Value;
}

/// Where a container's log is, and whether more of it may come.
#[derive(Debug, Clone)]
pub struct LogTarget {
    /// The file that the runtime writes (or wrote) to.
    pub path: PathBuf,
    /// True while that instance of the container runs; followers stop once it is false and all is
    /// read. A dropped sender counts as false.
    pub running: watch::Receiver<bool>,
}

/// Why there is no log to show. The texts are what `kubectl logs` users know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogUnavailable {
    /// The node does not have that pod.
    #[error("pod \"{pod}\" does not exist")]
    NoPod {
        /// The pod's name.
        pod: String,
    },
    /// The pod has no container of that name.
    #[error("container \"{container}\" not found in pod \"{pod}\"")]
    NoContainer {
        /// The container's name.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// Nothing is known about the container yet.
    #[error("container \"{container}\" in pod \"{pod}\" is not available")]
    NotAvailable {
        /// The container's name.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// The container has not been started yet.
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    Waiting {
        /// The container's name.
        container: String,
        /// The pod's name.
        pod: String,
        /// What it waits for.
        reason: String,
    },
    /// There was no instance before this one, or it is gone.
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious {
        /// The container's name.
        container: String,
        /// The pod's name.
        pod: String,
    },
}

/// Why a container or sandbox cannot be talked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The node does not have that pod (or has one with another UID).
    #[error("pod \"{pod}\" does not exist")]
    NoPod {
        /// The pod's name.
        pod: String,
    },
    /// The pod has no container of that name.
    #[error("container \"{container}\" not found in pod \"{pod}\"")]
    NoContainer {
        /// The container's name.
        container: String,
        /// The pod's name.
        pod: String,
    },
    /// It is there, and does not run.
    #[error("container \"{container}\" in pod \"{pod}\" is not running")]
    NotRunning {
        /// The container's name, or the word sandbox.
        container: String,
        /// The pod's name.
        pod: String,
    },
}
