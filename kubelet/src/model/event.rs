//! What happened: outcomes of actions and news from the runtime, the only inputs that change what
//! is observed.

use std::sync::Arc;

use jiff::Timestamp;

use super::action::Key;
use super::desired::ProbeKind;
use super::observed::{ObservedContainer, ObservedSandbox};
use super::time::Mono;

/// Something that happened to one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "events are few, and passed on at once"
)]
pub enum Event {
    /// An action ended well.
    Done(Done),
    /// An action failed. For a failure that may have happened all the same (a deadline, a broken
    /// connection) a [`Event::Listed`] of the pod follows before anything else is decided.
    Failed {
        /// Which action.
        key: Key,
        /// Why, as the API names it.
        reason: FailReason,
        /// For people: step, object, cure.
        message: String,
    },
    /// An action was given up on request.
    Cancelled(Key),
    /// What the pod's volumes show has changed where it comes from.
    Outdated,
    /// News of some containers or of the sandbox (a CRI container event): merged, nothing is
    /// concluded from what is absent.
    Seen {
        /// The sandbox, when the news carries it.
        sandbox: Option<ObservedSandbox>,
        /// Containers.
        containers: Vec<ObservedContainer>,
    },
    /// The process of a container has ended; the runtime's state will show it soon.
    Exited {
        /// The container.
        id: Arc<str>,
        /// What its process ended with.
        exit_code: i32,
        /// When.
        at: Timestamp,
    },
    /// A full listing of the pod that began at `since`: what it lacks and was not confirmed later
    /// is gone.
    Listed {
        /// When the listing began.
        since: Mono,
        /// Every sandbox of the pod.
        sandboxes: Vec<ObservedSandbox>,
        /// Every container of the pod.
        containers: Vec<ObservedContainer>,
    },
}

/// How an action ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The pod cgroup stands.
    Cgroup,
    /// The pod cgroup and these containers have what the action gave them.
    Resized {
        /// The containers as they are now.
        containers: Vec<ObservedContainer>,
    },
    /// Directories and volumes stand.
    Volumes,
    /// Volumes and cgroup are gone.
    TornDown {
        /// The pod's own files and logs are still there, as they were asked to be.
        files_kept: bool,
    },
    /// The sandbox is ready.
    Sandbox(ObservedSandbox),
    /// The sandbox is stopped.
    SandboxStopped {
        /// Which.
        id: Arc<str>,
    },
    /// The sandbox is removed.
    SandboxRemoved {
        /// Which.
        id: Arc<str>,
    },
    /// The image is there.
    Image {
        /// For which container.
        container: Arc<str>,
        /// By digest.
        image_ref: Arc<str>,
    },
    /// The container runs (or has already ended).
    Started(ObservedContainer),
    /// The postStart hook succeeded.
    PostStart {
        /// Of which container.
        container: Arc<str>,
        /// Its id.
        id: Arc<str>,
    },
    /// The container's process is gone.
    Killed(ObservedContainer),
    /// The container is removed.
    ContainerRemoved {
        /// Its name.
        container: Arc<str>,
        /// Which.
        id: Arc<str>,
    },
    /// A probe ran.
    Probe {
        /// Of which container.
        container: Arc<str>,
        /// Its id.
        id: Arc<str>,
        /// Which probe.
        kind: ProbeKind,
        /// What it said; `None` when it could not be told (not counted).
        success: Option<bool>,
        /// For the event.
        message: String,
    },
}

/// Why an action failed, in the API's words where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailReason {
    /// The pod cgroup could not be made (`FailedCreatePodContainer`).
    Cgroup,
    /// Resources could not be changed in place (`ResizeError`).
    Resize,
    /// A volume could not be set up (`FailedMount`).
    Mount,
    /// Tear-down left something (`FailedTearDown`).
    TearDown,
    /// The sandbox could not be made (`FailedCreatePodSandBox`).
    Sandbox,
    /// The sandbox could not be stopped or removed (`FailedKillPod`).
    KillPod,
    /// `ErrImagePull`.
    ErrImagePull,
    /// `ErrImageNeverPull`.
    ErrImageNeverPull,
    /// `InvalidImageName`.
    InvalidImageName,
    /// `CreateContainerConfigError`: the pod's own definition can't be met.
    CreateContainerConfigError,
    /// `CreateContainerError`: the runtime refused to create it.
    CreateContainerError,
    /// `RunContainerError`: the runtime could not start it.
    RunContainerError,
    /// `FailedPostStartHook`.
    PostStartHook,
    /// The container could not be stopped (`FailedKillPod`).
    KillContainer,
    /// The container could not be removed.
    RemoveContainer,
    /// The runtime can't be reached: not the pod's fault, retried when it is back.
    RuntimeUnavailable,
}
