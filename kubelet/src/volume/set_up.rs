//! Carries out a [`VolumePlan`]. Each step may be repeated, and adopts what an earlier run left:
//! the mount table says what is mounted, not memory. What was mounted but could not be finished
//! is unmounted again.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::content::{self, Payload};
use super::empty_dir::Medium;
use super::host_path::{self, HostPathError};
use super::killable::{self, Request};
use super::mountinfo::{MountEntry, mounted_at};
use super::ownership::{self, Ownership};
use super::plan::{MountSource, PlannedMount, PlannedVolume, Propagation, VolumePlan, VolumeStep};
use super::{mount, subpath};

/// A volume or mount could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The mount table could not be read.
    #[error("read mount table: {0}")]
    MountTable(io::Error),
    /// One step for one volume failed.
    #[error("volume {volume:?}: {step} {}: {source}", path.display())]
    Volume {
        /// The volume.
        volume: String,
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A hostPath is not what the pod asks for.
    #[error("volume {volume:?}: {source}")]
    HostPath {
        /// The volume.
        volume: String,
        /// Why.
        source: HostPathError,
    },
    /// A subPath leads out of its volume.
    #[error("volume {volume:?}: subPath {} leads out of the volume", sub_path.display())]
    Escape {
        /// The volume.
        volume: String,
        /// The path as written.
        sub_path: PathBuf,
    },
}

/// What the runtime is told to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountFrom {
    /// A path of the host.
    Host(PathBuf),
    /// An image, or a directory in it.
    Image {
        /// The image.
        reference: String,
        /// Directory in it.
        sub_path: Option<String>,
    },
}

/// A mount that can be given to the runtime now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyMount {
    /// Absolute path in the container.
    pub container_path: String,
    /// What is seen there.
    pub from: MountFrom,
    /// Read-only.
    pub read_only: bool,
    /// Read-only with all that is mounted below it.
    pub recursive_read_only: bool,
    /// How later mounts travel.
    pub propagation: Propagation,
    /// The runtime gives the content the pod's SELinux label.
    pub selinux_relabel: bool,
}

/// Prepares every volume of the pod. Blocks on local disks, and on a file server for at most ten
/// seconds per hostPath.
///
/// # Errors
/// The first volume that could not be prepared; those before it stay.
pub fn set_up(plan: &VolumePlan) -> Result<(), SetUpError> {
    if plan.volumes.is_empty() {
        return Ok(());
    }
    let table = mount::table().map_err(SetUpError::MountTable)?;
    plan.volumes
        .iter()
        .try_for_each(|volume| set_up_one(volume, &table))
}

fn set_up_one(volume: &PlannedVolume, table: &[MountEntry]) -> Result<(), SetUpError> {
    let name = &volume.name;
    match &volume.step {
        VolumeStep::EmptyDir {
            path,
            medium,
            ownership,
        } => empty_dir(path, medium, *ownership, table).map_err(|failure| failure.of(name)),
        VolumeStep::Content {
            path,
            payload,
            ownership,
            medium,
        } => empty_dir(path, medium, None, table)
            .and_then(|()| {
                at(
                    "write files of",
                    path,
                    write_content(path, payload, *ownership),
                )
            })
            .map_err(|failure| failure.of(name)),
        VolumeStep::HostPath { path, kind } => {
            host_path::ensure(path, *kind, table).map_err(|source| SetUpError::HostPath {
                volume: name.clone(),
                source,
            })
        }
        VolumeStep::Image { .. } => Ok(()),
    }
}

fn write_content(path: &Path, payload: &Payload, ownership: Option<Ownership>) -> io::Result<()> {
    let stamp = Timestamp::now()
        .strftime("%Y_%m_%d_%H_%M_%S.%9f")
        .to_string();
    content::write(path, payload, &stamp, ownership).map(drop)
}

/// Resolves the mounts of one container, right before it is created: a subPath may have been
/// made by a container that ran before. Blocks as [`set_up`] does.
///
/// # Errors
/// The first mount that could not be prepared.
pub fn prepare_mounts(plan: &VolumePlan, container: &str) -> Result<Vec<ReadyMount>, SetUpError> {
    let planned = plan
        .mounts
        .get(container)
        .map(Vec::as_slice)
        .unwrap_or_default();
    planned.iter().map(ready).collect()
}

fn ready(mount: &PlannedMount) -> Result<ReadyMount, SetUpError> {
    let from = match &mount.source {
        MountSource::Path(path) => MountFrom::Host(path.clone()),
        MountSource::Image {
            reference,
            sub_path,
        } => MountFrom::Image {
            reference: reference.clone(),
            sub_path: sub_path.clone(),
        },
        MountSource::SubPath {
            volume,
            sub_path,
            target,
        } => {
            bind_sub_path(volume, sub_path, target)
                .map_err(|source| sub_path_error(mount, sub_path, source))?;
            MountFrom::Host(target.clone())
        }
    };
    Ok(ReadyMount {
        container_path: mount.container_path.clone(),
        from,
        read_only: mount.read_only,
        recursive_read_only: mount.recursive_read_only,
        propagation: mount.propagation,
        selinux_relabel: mount.selinux_relabel,
    })
}

fn bind_sub_path(volume: &Path, sub_path: &Path, target: &Path) -> io::Result<()> {
    let table = mount::table()?;
    // A server that is gone shows here, at a deadline, and not in a lookup that never returns.
    killable::ask(Request::Look, volume, &table)?;
    subpath::bind(volume, sub_path, target, &table)
}

fn sub_path_error(mount: &PlannedMount, sub_path: &Path, source: io::Error) -> SetUpError {
    let (volume, path) = (mount.volume.clone(), sub_path.to_owned());
    if source.raw_os_error() == Some(libc::EXDEV) {
        return SetUpError::Escape {
            volume,
            sub_path: path,
        };
    }
    SetUpError::Volume {
        volume,
        step: "prepare subPath",
        path,
        source,
    }
}

/// A step that failed, before the volume it belongs to is known.
struct Failure {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Failure {
    fn of(self, volume: &str) -> SetUpError {
        let Self { step, path, source } = self;
        SetUpError::Volume {
            volume: volume.to_owned(),
            step,
            path,
            source,
        }
    }
}

fn at<T>(step: &'static str, path: &Path, done: io::Result<T>) -> Result<T, Failure> {
    done.map_err(|source| Failure {
        step,
        path: path.to_owned(),
        source,
    })
}

fn empty_dir(
    path: &Path,
    medium: &Medium,
    ownership: Option<Ownership>,
    table: &[MountEntry],
) -> Result<(), Failure> {
    let made = at("create directory", path, make_open_dir(path))?;
    let mounted = at("mount", path, mount_medium(path, medium, table))?;
    // A volume that was there before keeps the owners and modes its containers chose.
    if !made && !mounted {
        return Ok(());
    }
    if !mounted {
        let open = Permissions::from_mode(0o777);
        at("set mode of", path, fs::set_permissions(path, open))?;
    }
    let Some(ownership) = ownership else {
        return Ok(());
    };
    let owned = ownership::apply(path, ownership, false);
    if owned.is_err() && mounted {
        // The error that matters is the first one; the next run mounts again.
        let _ = mount::unmount_at(path, false);
    }
    at("give to fsGroup", path, owned)
}

/// Makes the directory, and reports whether it was missing.
fn make_open_dir(path: &Path) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(parent)?;
    }
    match DirBuilder::new().mode(0o777).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A crash between mkdir and chmod leaves the bits that the umask took away.
            let meta = fs::symlink_metadata(path)?;
            let untouched = meta.is_dir() && fs::read_dir(path)?.next().is_none();
            Ok(untouched)
        }
        Err(error) => Err(error),
    }
}

/// Mounts the medium unless it is there; reports whether it did.
fn mount_medium(path: &Path, medium: &Medium, table: &[MountEntry]) -> io::Result<bool> {
    if matches!(medium, Medium::Disk) || mounted_at(table, path).is_some() {
        return Ok(false);
    }
    match medium {
        Medium::Memory { size, noswap } => mount::tmpfs(path, *size, *noswap)?,
        Medium::HugePages { page_size } => mount::hugetlbfs(path, *page_size)?,
        Medium::Disk => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
