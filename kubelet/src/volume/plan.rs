//! Decides what the volumes of a pod need and what each container mounts. Pure: the pod, paths
//! and facts about the node in, a [`VolumePlan`] out. Refuses, naming volume and field, whatever
//! cannot be done, before anything is touched.

mod mounts;
mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use keelson_api::resources::Amounts;

use super::content::Payload;
use super::empty_dir::Medium;
use super::host_path::HostPathType;
use super::ownership::Ownership;
use crate::model::objects::Objects;
use crate::pod_files::layout::{Paths, UnsafeSegment, check_segment};

/// What the node adds to the decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What pods may use on this node, by resource name: the upper bound of a memory emptyDir,
    /// and what the downward API tells containers that have no limit.
    pub allocatable: Amounts,
    /// tmpfs knows `noswap` (kernel 6.4).
    pub tmpfs_noswap: bool,
    /// The pod's runtime handler reports the feature `RecursiveReadOnlyMounts`.
    pub recursive_read_only: bool,
    /// SELinux is enforcing or permissive here, so mounts are relabelled.
    pub selinux: bool,
    /// Expanded environment of each container, for `subPathExpr`.
    pub environment: BTreeMap<String, BTreeMap<String, String>>,
    /// What the pod refers to in the API.
    pub objects: Objects,
}

/// Everything about the volumes of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumePlan {
    /// `ROOT/pods/UID`.
    pub pod_dir: PathBuf,
    /// What has to be there before containers start, in the order of `spec.volumes`.
    pub volumes: Vec<PlannedVolume>,
    /// Mounts of each container (init and ephemeral ones too), in the order of `volumeMounts`.
    pub mounts: BTreeMap<String, Vec<PlannedMount>>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedVolume {
    /// `spec.volumes[].name`.
    pub name: String,
    /// What it takes to have it.
    pub step: VolumeStep,
}

/// What it takes to have a volume on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeStep {
    /// Make an empty directory of a medium.
    EmptyDir {
        /// Where, below the pod's directory.
        path: PathBuf,
        /// Of what.
        medium: Medium,
        /// `fsGroup` of the pod.
        ownership: Option<Ownership>,
    },
    /// Write files whose content is known, into a tmpfs.
    Content {
        /// Where, below the pod's directory.
        path: PathBuf,
        /// The files.
        payload: Payload,
        /// `fsGroup` of the pod.
        ownership: Option<Ownership>,
        /// The tmpfs.
        medium: Medium,
    },
    /// Check, and maybe create, a path of the host.
    HostPath {
        /// The path.
        path: PathBuf,
        /// What it has to be.
        kind: HostPathType,
    },
    /// Nothing: the runtime mounts an image.
    Image {
        /// The image to be pulled.
        reference: String,
        /// `Always`, `Never` or `IfNotPresent`, if set.
        pull_policy: Option<String>,
    },
}

impl VolumeStep {
    /// Where the volume lies on the host; `None` for images.
    #[must_use]
    pub fn host_path(&self) -> Option<&PathBuf> {
        match self {
            Self::EmptyDir { path, .. }
            | Self::Content { path, .. }
            | Self::HostPath { path, .. } => Some(path),
            Self::Image { .. } => None,
        }
    }

    /// Whether the kubelet made the volume, so that its label and owner are ours to set.
    fn is_managed(&self) -> bool {
        matches!(self, Self::EmptyDir { .. } | Self::Content { .. })
    }
}

/// How mounts made later travel between host and container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// Neither way.
    #[default]
    Private,
    /// From host to container.
    HostToContainer,
    /// Both ways; privileged containers only.
    Bidirectional,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A whole volume.
    Path(PathBuf),
    /// A part of a volume. It is looked up when the container starts, because an earlier
    /// container of the pod may have made it.
    SubPath {
        /// The volume.
        volume: PathBuf,
        /// Relative path in it, `subPath` or the expanded `subPathExpr`.
        sub_path: PathBuf,
        /// Where it is bound for the runtime to take it from.
        target: PathBuf,
    },
    /// An image, or a directory in it.
    Image {
        /// The image.
        reference: String,
        /// Directory in the image, if not its root.
        sub_path: Option<String>,
    },
}

/// One mount of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedMount {
    /// The volume it shows.
    pub volume: String,
    /// Absolute path in the container.
    pub container_path: String,
    /// What is seen there.
    pub source: MountSource,
    /// Read-only.
    pub read_only: bool,
    /// Read-only with all that is mounted below it.
    pub recursive_read_only: bool,
    /// How later mounts travel.
    pub propagation: Propagation,
    /// The runtime gives the content the pod's SELinux label.
    pub selinux_relabel: bool,
}

/// Why a pod's volumes cannot be had. Each names the field and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum VolumeError {
    #[error(transparent)]
    Segment(#[from] UnsafeSegment),
    #[error("spec.volumes: name {volume:?} is used twice: every volume needs a name of its own")]
    Duplicate { volume: String },
    #[error("volume {volume:?} has no source: set one, for example emptyDir: {{}}")]
    NoSource { volume: String },
    #[error("volume {volume:?}: {kind} is not supported without an apiserver")]
    NeedsApiServer { volume: String, kind: &'static str },
    #[error("volume {volume:?}: {kind} {name:?} not found")]
    Missing {
        volume: String,
        kind: &'static str,
        name: String,
    },
    #[error("volume {volume:?}: {kind} is not supported by this kubelet")]
    Unsupported { volume: String, kind: &'static str },
    #[error(
        "volume {volume:?}: unknown emptyDir.medium {medium:?}: use \"\", \"Memory\", \
         \"HugePages\" or \"HugePages-SIZE\""
    )]
    UnknownMedium { volume: String, medium: String },
    #[error("volume {volume:?}: {field} {value:?} is no quantity of bytes such as 64Mi")]
    BadQuantity {
        volume: String,
        field: &'static str,
        value: String,
    },
    #[error(
        "volume {volume:?}: no container requests huge pages of {pages}: add \
         resources.requests of hugepages-SIZE"
    )]
    PagesNotRequested { volume: String, pages: String },
    #[error(
        "volume {volume:?}: medium HugePages is ambiguous, the pod requests {sizes}: say \
         HugePages-SIZE"
    )]
    AmbiguousPages { volume: String, sizes: String },
    #[error("volume {volume:?}: hostPath.path {path:?} must be absolute and without '..'")]
    HostPathForm { volume: String, path: String },
    #[error("volume {volume:?}: {kind} is an invalid hostPath.type")]
    HostPathType { volume: String, kind: String },
    #[error("volume {volume:?}: item {path:?}: {cure}")]
    Item {
        volume: String,
        path: String,
        cure: String,
    },
    #[error("volume {volume:?}: image.reference is empty: name an image")]
    NoImage { volume: String },
    #[error(
        "container {container:?}: volumeMounts names volume {volume:?}, which spec.volumes lacks"
    )]
    UnknownVolume { container: String, volume: String },
    #[error(
        "container {container:?}: volumeDevices {volume:?} needs a block volume of a \
         PersistentVolumeClaim, which is not supported without an apiserver"
    )]
    BlockDevice { container: String, volume: String },
    #[error("container {container:?}: volumeMounts {volume:?}: {field} {value:?} {cure}")]
    Mount {
        container: String,
        volume: String,
        field: &'static str,
        value: String,
        cure: &'static str,
    },
}

/// Decides everything about the volumes of `pod`, whose UID is `uid`.
///
/// # Errors
/// The first [`VolumeError`] in the order of the manifest.
pub fn plan(pod: &Pod, uid: &str, paths: &Paths, facts: &Facts) -> Result<VolumePlan, VolumeError> {
    check_segment("pod UID", uid)?;
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let volumes = sources::volumes(pod, spec, uid, paths, facts)?;
    let mounts = mounts::mounts(spec, &volumes, uid, paths, facts)?;
    Ok(VolumePlan {
        pod_dir: paths.pod(uid),
        volumes,
        mounts,
    })
}

#[cfg(test)]
mod tests;
