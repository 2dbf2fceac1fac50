//! What to do next. An action names everything that it needs; its outcome comes back as an
//! [`super::Event`] under the same [`Key`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::desired::ProbeKind;
use super::resources::{Change, ContainerChange};

/// What an action works on. Of one pod, two actions of equal key never run at the same time, and
/// actions of different keys may.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The pod cgroup.
    Cgroup,
    /// Directories and volumes.
    Volumes,
    /// The sandbox.
    Sandbox,
    /// The image of a container.
    Image(Arc<str>),
    /// The life of a container: create and start, kill, remove.
    Container(Arc<str>),
    /// The postStart hook of a container.
    PostStart(Arc<str>),
    /// A probe of a container.
    Probe(Arc<str>, ProbeKind),
}

/// Why a container is killed: decides event, message and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KillReason {
    /// The pod goes away.
    PodTerminating,
    /// The pod's sandbox has to be made again.
    SandboxChanged,
    /// The container's definition changed.
    SpecChanged,
    /// Its liveness probe failed.
    Liveness,
    /// Its startup probe failed.
    Startup,
    /// Its postStart hook failed.
    PostStartFailed,
    /// Its resources changed, and it can take them on only by a restart.
    Resize,
    /// The runtime lost track of it.
    StateUnknown,
    /// The spec has no container of this name.
    NotInSpec,
    /// A main container ended for good, so sidecars stop.
    PodFinished,
}

/// One thing to do for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the pod cgroup and set its limits. -> `Done::Cgroup`
    SetUpCgroup,
    /// Change the limits of the pod cgroup and of running containers. -> `Done::Resized`
    Resize {
        /// Those of the pod cgroup.
        pod: Change,
        /// Those of containers.
        containers: Vec<ContainerChange>,
    },
    /// Create the pod's directories and mount its volumes. -> `Done::Volumes`
    SetUpVolumes,
    /// Unmount volumes, remove directories and the cgroup. -> `Done::TornDown`
    TearDown {
        /// Keep the log directory (a finished pod that still exists); else remove it as well.
        keep_logs: bool,
    },
    /// `RunPodSandbox`. -> `Done::Sandbox`
    CreateSandbox {
        /// One more than the highest attempt seen.
        attempt: u32,
    },
    /// `StopPodSandbox`. -> `Done::SandboxStopped`
    StopSandbox {
        /// Which.
        id: Arc<str>,
    },
    /// `RemovePodSandbox`. -> `Done::SandboxRemoved`
    RemoveSandbox {
        /// Which.
        id: Arc<str>,
    },
    /// Make sure that the container's image is there, under its pull policy. -> `Done::Image`
    EnsureImage {
        /// Whose image.
        container: Arc<str>,
    },
    /// Create and start a container. -> `Done::Started`
    StartContainer {
        /// Which container of the spec.
        container: Arc<str>,
        /// Its restart count.
        attempt: u32,
        /// In which sandbox.
        sandbox: Arc<str>,
        /// The image by digest, from `Done::Image`.
        image_ref: Arc<str>,
    },
    /// Run the postStart hook. -> `Done::PostStart`
    RunPostStart {
        /// Whose hook.
        container: Arc<str>,
        /// The container's id.
        id: Arc<str>,
    },
    /// Run preStop where there is one, then `StopContainer` with what is left of the grace.
    /// -> `Done::Killed`
    KillContainer {
        /// Which container of the spec (or of its labels, when the spec has none such).
        container: Arc<str>,
        /// Its id.
        id: Arc<str>,
        /// Time for preStop and the stop signal together.
        grace: Duration,
        /// Run the preStop hook.
        pre_stop: bool,
        /// Why.
        reason: KillReason,
        /// For the event: what failed.
        message: String,
    },
    /// `RemoveContainer`. -> `Done::ContainerRemoved`
    RemoveContainer {
        /// Its name, for the key.
        container: Arc<str>,
        /// Which.
        id: Arc<str>,
    },
    /// Run one probe once. -> `Done::Probe`
    RunProbe {
        /// Whose.
        container: Arc<str>,
        /// The container's id.
        id: Arc<str>,
        /// Which probe.
        kind: ProbeKind,
    },
    /// Give up what runs under this key: its future is dropped, then the pod is listed afresh.
    /// -> `Event::Cancelled`
    Cancel(Key),
}

impl Action {
    /// What it works on.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::SetUpCgroup | Self::Resize { .. } => Key::Cgroup,
            Self::SetUpVolumes | Self::TearDown { .. } => Key::Volumes,
            Self::CreateSandbox { .. } | Self::StopSandbox { .. } | Self::RemoveSandbox { .. } => {
                Key::Sandbox
            }
            Self::EnsureImage { container } => Key::Image(container.clone()),
            Self::StartContainer { container, .. }
            | Self::KillContainer { container, .. }
            | Self::RemoveContainer { container, .. } => Key::Container(container.clone()),
            Self::RunPostStart { container, .. } => Key::PostStart(container.clone()),
            Self::RunProbe {
                container, kind, ..
            } => Key::Probe(container.clone(), *kind),
            Self::Cancel(key) => key.clone(),
        }
    }
}
