//! Takes down what a pod had mounted, then removes its directory. Never stops at the first
//! failure, never enters a mount, and treats what is gone as done. The mount table says what is
//! mounted, so nothing has to be remembered, and no file system is touched to find out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::mountinfo::{MountEntry, mounts_below};
use super::{dir, mount};

/// One step of a teardown that failed. The next call tries it again.
#[derive(Debug, thiserror::Error)]
pub enum TearDownError {
    /// The mount table could not be read; nothing was removed.
    #[error("tear down {}: read mount table: {source}", pod_dir.display())]
    MountTable {
        /// The pod's directory.
        pod_dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A mount could not be undone.
    #[error("unmount {} ({fs_type}): {source}", path.display())]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Kind of the file system.
        fs_type: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something is still mounted, so what holds it was not removed.
    #[error("{} is still mounted ({fs_type}): nothing was removed around it", path.display())]
    StillMounted {
        /// Where.
        path: PathBuf,
        /// Kind of the file system.
        fs_type: String,
    },
    /// A file or directory could not be removed.
    #[error("remove {}: {source}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Takes down the volumes of a pod whose containers have ended; its other files stay.
///
/// # Errors
/// All that failed.
pub fn tear_down_volumes(pod_dir: &Path) -> Result<(), Vec<TearDownError>> {
    let parts = [pod_dir.join("volume-subpaths"), pod_dir.join("volumes")];
    let failures: Vec<_> = parts.iter().flat_map(|part| tear_down_dir(part)).collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

/// Takes down the volumes of a pod and removes all of its directory.
///
/// # Errors
/// All that failed.
pub fn tear_down(pod_dir: &Path) -> Result<(), Vec<TearDownError>> {
    tear_down_volumes(pod_dir)?;
    let failures = tear_down_dir(pod_dir);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures)
    }
}

fn tear_down_dir(top: &Path) -> Vec<TearDownError> {
    // Mount points are known to the kernel by their real path. Of a path whose parents hold
    // symlinks only the local part is resolved here: `top` itself may be a dead mount.
    let Some(top) = real_path(top) else {
        return Vec::new();
    };
    let mut failures = match unmount_all(&top) {
        Ok(failures) => failures,
        Err(source) => {
            return vec![TearDownError::MountTable {
                pod_dir: top,
                source,
            }];
        }
    };
    if failures.is_empty() {
        let left = dir::remove_tree(&top).into_iter();
        failures.extend(left.map(|(path, source)| TearDownError::Remove { path, source }));
    }
    failures
}

/// The path with its parent resolved; `None` when the parent is gone.
fn real_path(top: &Path) -> Option<PathBuf> {
    Some(fs::canonicalize(top.parent()?).ok()?.join(top.file_name()?))
}

/// Undoes all mounts at and below `top`; returns what failed and what is left.
fn unmount_all(top: &Path) -> io::Result<Vec<TearDownError>> {
    let before = mount::table()?;
    let mounts = mounts_below(&before, top);
    if mounts.is_empty() {
        return Ok(Vec::new());
    }
    let mut failures: Vec<_> = mounts.into_iter().filter_map(unmount_one).collect();
    let after = mount::table()?;
    let left = mounts_below(&after, top).into_iter();
    let unexplained = left.filter(|entry| !failures.iter().any(|f| f.is_at(&entry.mount_point)));
    let unexplained: Vec<_> = unexplained.map(TearDownError::still_mounted).collect();
    failures.extend(unexplained);
    Ok(failures)
}

fn unmount_one(entry: &MountEntry) -> Option<TearDownError> {
    let done = mount::unmount_at(&entry.mount_point, entry.is_foreign());
    done.err().map(|source| TearDownError::Unmount {
        path: entry.mount_point.clone(),
        fs_type: entry.fs_type.clone(),
        source,
    })
}

impl TearDownError {
    fn still_mounted(entry: &MountEntry) -> Self {
        Self::StillMounted {
            path: entry.mount_point.clone(),
            fs_type: entry.fs_type.clone(),
        }
    }

    fn is_at(&self, at: &Path) -> bool {
        matches!(self, Self::Unmount { path, .. } if path == at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_go_first_and_gone_is_done() {
        let root = tempfile::tempdir().unwrap();
        let pod = root.path().join("pod");
        fs::create_dir_all(pod.join("volumes/kubernetes.io~empty-dir/v/d")).unwrap();
        fs::create_dir_all(pod.join("volume-subpaths/v/app/0")).unwrap();
        fs::write(pod.join("etc-hosts"), "x").unwrap();
        tear_down_volumes(&pod).unwrap();
        assert!(pod.join("etc-hosts").exists());
        assert!(!pod.join("volumes").exists() && !pod.join("volume-subpaths").exists());
        tear_down(&pod).unwrap();
        assert!(!pod.exists());
        tear_down(&pod).unwrap();
        tear_down(&root.path().join("never/was")).unwrap();
    }
}
