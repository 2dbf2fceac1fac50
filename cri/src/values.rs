//! What the runtime tells us, as plain values. No wire type and no connection is visible here.
//!
//! Times are absent where the runtime reports none (a container that was not started has no
//! `started_at`). Maps are ordered, so equal values print equally.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

pub mod stats;

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// Whether a sandbox can hold running containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SandboxState {
    /// Its namespaces stand and, unless on the host's network, its addresses too.
    Ready,
    /// It was stopped or its pause process died.
    NotReady,
}

/// A pod sandbox as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// UID of the pod.
    pub uid: String,
    /// Counts the sandboxes that this pod has had.
    pub attempt: u32,
    /// Its state.
    pub state: SandboxState,
    /// When it was created.
    pub created_at: Timestamp,
    /// As given at its creation.
    pub labels: Labels,
    /// As given at its creation.
    pub annotations: Labels,
    /// The handler that runs it, empty for the default.
    pub runtime_handler: String,
}

/// A pod sandbox in detail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SandboxStatus {
    /// What a listing shows too.
    pub sandbox: Sandbox,
    /// Addresses, the primary one first; empty on the host's network and once stopped.
    pub ips: Vec<IpAddr>,
    /// It uses the host's network namespace.
    pub host_network: bool,
}

/// A sandbox and, from runtimes that have them at hand, its containers, all at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodStatus {
    /// The sandbox.
    pub sandbox: SandboxStatus,
    /// Its containers. Empty also where the runtime does not report them here.
    pub containers: Vec<ContainerStatus>,
    /// When the runtime looked; absent where it does not report containers here.
    pub at: Option<Timestamp>,
    /// The runtime's own details; filled only when asked for verbosely.
    pub info: Labels,
}

/// State of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running,
    /// Its process is gone.
    Exited,
    /// The runtime lost track of it, or reports a state that we do not know.
    Unknown,
}

/// A container as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// The sandbox that it lives in.
    pub sandbox_id: String,
    /// Its name within the pod.
    pub name: String,
    /// Counts the instances that this container has had.
    pub attempt: u32,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// The image as it was asked for.
    pub image: String,
    /// The image that runs, by digest or id.
    pub image_ref: String,
    /// The image that runs, by id; empty from older runtimes.
    pub image_id: String,
    /// As given at its creation.
    pub labels: Labels,
    /// As given at its creation.
    pub annotations: Labels,
}

/// A container in detail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerStatus {
    /// The runtime's id.
    pub id: String,
    /// Its name within the pod.
    pub name: String,
    /// Counts the instances that this container has had.
    pub attempt: u32,
    /// Its state.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code; meaningful once it has exited.
    pub exit_code: i32,
    /// The runtime's word for how it ended, such as `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// The runtime's message for people.
    pub message: String,
    /// The image as it was asked for.
    pub image: String,
    /// The image that runs, by digest or id.
    pub image_ref: String,
    /// The image that runs, by id; empty from older runtimes.
    pub image_id: String,
    /// As given at its creation.
    pub labels: Labels,
    /// As given at its creation.
    pub annotations: Labels,
    /// Mounts, as the runtime made them.
    pub mounts: Vec<MountStatus>,
    /// Absolute path of its log file.
    pub log_path: String,
    /// The limits in force, where reported.
    pub resources: Option<Resources>,
    /// The identity that its first process got, where reported.
    pub user: Option<ContainerUser>,
    /// The signal that stops it, such as `SIGTERM`, where reported.
    pub stop_signal: Option<String>,
}

/// A mount of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MountStatus {
    /// Where it is seen in the container.
    pub container_path: String,
    /// What is mounted; empty for an image.
    pub host_path: String,
    /// The image that is mounted, if it is one.
    pub image: Option<String>,
    /// It can't be written through.
    pub read_only: bool,
    /// Neither can the mounts below it.
    pub recursive_read_only: bool,
}

/// Limits in force, in cgroup terms. Absent means not limited or not reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// `cpu.shares`.
    pub cpu_shares: Option<i64>,
    /// CPU time per period in microseconds; negative for unlimited.
    pub cpu_quota: Option<i64>,
    /// The period in microseconds.
    pub cpu_period: Option<i64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    /// Memory and swap together, bytes.
    pub memory_swap_limit: Option<i64>,
    /// As `cpuset.cpus`; empty for all.
    pub cpuset_cpus: String,
    /// As `cpuset.mems`; empty for all.
    pub cpuset_mems: String,
    /// Further cgroup v2 files and their contents.
    pub unified: Labels,
}

/// The identity of a container's first process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerUser {
    /// User id.
    pub uid: i64,
    /// Primary group id.
    pub gid: i64,
    /// Further group ids.
    pub supplemental_groups: Vec<i64>,
}

/// An image on the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// Digest of its configuration.
    pub id: String,
    /// Names with tags.
    pub repo_tags: Vec<String>,
    /// Names with digests.
    pub repo_digests: Vec<String>,
    /// Bytes on disk, as the runtime counts them.
    pub size: u64,
    /// The user that the image runs as, if it gives a number.
    pub uid: Option<i64>,
    /// The user that the image runs as, if it gives a name.
    pub username: String,
    /// It must not be collected.
    pub pinned: bool,
    /// The handler that it was pulled for, empty for the default.
    pub runtime_handler: String,
}

/// Who the runtime is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeVersion {
    /// Such as `containerd`.
    pub name: String,
    /// The runtime's own version.
    pub version: String,
    /// The CRI version that it speaks: `v1`.
    pub api_version: String,
}

/// How the runtime is, and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuntimeStatus {
    /// Usually `RuntimeReady` and `NetworkReady`.
    pub conditions: Vec<RuntimeCondition>,
    /// The handlers that pods can choose by RuntimeClass.
    pub handlers: Vec<RuntimeHandler>,
    /// It can ignore the groups of an image's `/etc/group`.
    pub supplemental_groups_policy: bool,
    /// User namespaces work for pods on the host's network.
    pub user_namespaces_host_network: bool,
    /// The runtime's own details; filled only when asked for verbosely.
    pub info: Labels,
}

impl RuntimeStatus {
    /// The condition `RuntimeReady` holds.
    #[must_use]
    pub fn runtime_ready(&self) -> bool {
        self.holds("RuntimeReady")
    }

    /// The condition `NetworkReady` holds.
    #[must_use]
    pub fn network_ready(&self) -> bool {
        self.holds("NetworkReady")
    }

    fn holds(&self, kind: &str) -> bool {
        self.conditions.iter().any(|c| c.kind == kind && c.status)
    }
}

/// One aspect of the runtime's health.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeCondition {
    /// Its type, such as `NetworkReady`.
    pub kind: String,
    /// It holds.
    pub status: bool,
    /// One word why not.
    pub reason: String,
    /// Why not, for people.
    pub message: String,
}

/// One way to run containers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuntimeHandler {
    /// Its name; the default handler's is empty.
    pub name: String,
    /// Mounts can be read-only all the way down.
    pub recursive_read_only_mounts: bool,
    /// Pods can have user namespaces.
    pub user_namespaces: bool,
}

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CgroupDriver {
    /// systemd, over D-Bus.
    Systemd,
    /// The runtime itself, in the file system.
    Cgroupfs,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was made.
    Created,
    /// Its process started.
    Started,
    /// Its process ended.
    Stopped,
    /// It was removed.
    Deleted,
}

/// Something happened to a container or a sandbox.
///
/// Events tell *when to look*; they may be old, for a runtime can replay what it kept while nobody
/// listened, and the state they carry is that of their own time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The container; for a sandbox's own events, the id of the sandbox.
    pub container_id: String,
    /// When it happened.
    pub created_at: Timestamp,
    /// The sandbox after the event, unless it is gone.
    pub sandbox: Option<SandboxStatus>,
    /// All containers of the sandbox after the event.
    pub containers: Vec<ContainerStatus>,
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecOutput {
    /// Standard output; the runtime may cut it.
    pub stdout: Vec<u8>,
    /// Standard error; the runtime may cut it.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}
