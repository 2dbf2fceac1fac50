//! What is seen of one pod: sandboxes and containers in the runtime, prepared resources on the node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::time::Mono;

/// One pod as the runtime and the node show it. Rebuilt from the runtime after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedPod {
    /// Every sandbox that still exists, oldest attempt first.
    pub sandboxes: Vec<ObservedSandbox>,
    /// Every container that still exists, oldest attempt first within a name.
    pub containers: Vec<ObservedContainer>,
    /// The pod cgroup stands with its limits. False after a restart of the agent: setting it up
    /// again is idempotent and finds changed limits.
    pub cgroup_ready: bool,
    /// The pod's directories and volumes stand. False after a restart of the agent, likewise.
    pub volumes_ready: bool,
    /// Since when volumes may show something old.
    pub volumes_outdated: Option<Mono>,
    /// Directories, volumes or cgroup may be on the node and must be torn down before the pod is
    /// gone. True as soon as one of them was begun; after a restart true until torn down.
    pub resources_held: bool,
    /// Its directory and logs were left when the rest was torn down: they go with the pod object.
    pub files_kept: bool,
    /// Sandboxes and containers that were removed a short while ago, by id: late news of them is
    /// no news.
    pub removed: BTreeMap<Arc<str>, Mono>,
}

/// A pod sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSandbox {
    /// The runtime's id.
    pub id: Arc<str>,
    /// `attempt` of its metadata.
    pub attempt: u32,
    /// `SANDBOX_READY`.
    pub ready: bool,
    /// Addresses that CNI gave it, primary first; empty with host network.
    pub ips: Vec<IpAddr>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When this was last confirmed; a listing begun earlier can't contradict it.
    pub seen: Mono,
}

/// State of a container in the runtime. It only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    /// Exists, not started.
    Created,
    /// Its process runs.
    Running,
    /// The runtime lost track of it; it must be killed before a successor starts.
    Unknown,
    /// Its process is gone.
    Exited,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedContainer {
    /// The runtime's id.
    pub id: Arc<str>,
    /// The sandbox that it belongs to.
    pub sandbox_id: Arc<str>,
    /// Name in the pod's spec.
    pub name: Arc<str>,
    /// `attempt` of its metadata: the restart count at its creation.
    pub attempt: u32,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code of the process, once it is gone.
    pub exit_code: i32,
    /// The runtime's word for how it ended: `Completed`, `Error`, `OOMKilled`, ...
    pub reason: String,
    /// The runtime's message, or the termination message once it was read.
    pub message: String,
    /// `image` as asked for.
    pub image: Arc<str>,
    /// The image that really runs, by digest.
    pub image_ref: Arc<str>,
    /// The signal that stops it (`SIGTERM`), where the runtime tells.
    pub stop_signal: Option<Box<str>>,
    /// Who its first process runs as, where the runtime tells.
    pub user: Option<ContainerUser>,
    /// The limits in force as the runtime tells them, and CPU shares for the request of CPU.
    pub limits: Option<Limits>,
    /// [`super::ContainerSpec::hash`] at its creation, from its annotation.
    pub hash: u64,
    /// When this was last confirmed; a listing begun earlier can't contradict it.
    pub seen: Mono,
}

/// Limits of a container as a runtime tells them; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU shares in v1 terms.
    pub cpu_shares: u64,
    /// Most CPU in thousandths.
    pub cpu: u64,
    /// Most bytes of memory.
    pub memory: u64,
}

/// Identity of a container's first process (`ContainerStatus.user.linux`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUser {
    /// User id.
    pub uid: i64,
    /// Primary group id.
    pub gid: i64,
    /// Supplemental group ids.
    pub groups: Vec<i64>,
}

impl ObservedContainer {
    /// Its process may still be there.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(
            self.state,
            ContainerState::Running | ContainerState::Unknown
        )
    }
}

impl ObservedPod {
    /// The sandbox of the highest attempt.
    #[must_use]
    pub fn newest_sandbox(&self) -> Option<&ObservedSandbox> {
        self.sandboxes
            .iter()
            .max_by_key(|s| (s.attempt, s.created_at))
    }

    /// The container of that name with the highest attempt.
    #[must_use]
    pub fn newest_container(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers
            .iter()
            .filter(|c| &*c.name == name)
            .max_by_key(|c| (c.attempt, c.created_at))
    }
}
