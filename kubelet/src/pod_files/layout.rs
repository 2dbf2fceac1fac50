//! Where everything of a pod lies below the kubelet's root directory. Pure: it only joins paths,
//! and refuses names that would leave their directory.

use std::path::{Path, PathBuf};

/// A pod UID, volume or container name that cannot be one path segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {value:?} cannot be used as a directory name: it must be 1 to 253 bytes without \
     '/' and not '.' or '..'"
)]
pub struct UnsafeSegment {
    /// Which name it is, for example `volume name`.
    pub what: &'static str,
    /// The refused value.
    pub value: String,
}

/// Paths below the kubelet's root directory (`--root-dir`, `/var/lib/kubelet`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Paths below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `ROOT/pods`, one directory per pod UID.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// `ROOT/pods/UID`.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// `ROOT/pods/UID/volumes`.
    #[must_use]
    pub fn volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }

    /// `ROOT/pods/UID/volumes/kubernetes.io~TYPE/NAME`, where `kind` is TYPE, for example
    /// `empty-dir`.
    #[must_use]
    pub fn volume(&self, uid: &str, kind: &str, name: &str) -> PathBuf {
        self.volumes(uid)
            .join(format!("kubernetes.io~{kind}"))
            .join(name)
    }

    /// `ROOT/pods/UID/volume-subpaths/VOLUME/CONTAINER/INDEX`, the bind mount of one `subPath`.
    #[must_use]
    pub fn subpath(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod(uid)
            .join("volume-subpaths")
            .join(volume)
            .join(container)
            .join(index.to_string())
    }

    /// `ROOT/pods/UID/containers/NAME`.
    #[must_use]
    pub fn container(&self, uid: &str, name: &str) -> PathBuf {
        self.pod(uid).join("containers").join(name)
    }

    /// `ROOT/pods/UID/containers/NAME/RESTARTS`: the termination log of the instance that was
    /// started after so many restarts. One file per instance, so a late reader never sees the
    /// words of another instance.
    #[must_use]
    pub fn termination_log(&self, uid: &str, container: &str, restarts: u32) -> PathBuf {
        self.container(uid, container).join(restarts.to_string())
    }

    /// `ROOT/pods/UID/etc-hosts`.
    #[must_use]
    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }
}

/// Accepts `value` as one path segment.
///
/// # Errors
/// [`UnsafeSegment`] when it is empty, too long, a dot entry, or has a slash or NUL in it.
pub fn check_segment<'a>(what: &'static str, value: &'a str) -> Result<&'a str, UnsafeSegment> {
    let dots = value == "." || value == "..";
    if value.is_empty() || value.len() > 253 || dots || value.contains(['/', '\0']) {
        return Err(UnsafeSegment {
            what,
            value: value.to_owned(),
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_layout() {
        let paths = Paths::new("/var/lib/kubelet");
        let check = |got: PathBuf, want: &str| assert_eq!(got, Path::new(want));
        check(
            paths.volume("u1", "empty-dir", "cache"),
            "/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/cache",
        );
        check(
            paths.subpath("u1", "cache", "app", 2),
            "/var/lib/kubelet/pods/u1/volume-subpaths/cache/app/2",
        );
        check(paths.hosts("u1"), "/var/lib/kubelet/pods/u1/etc-hosts");
        check(
            paths.termination_log("u1", "app", 3),
            "/var/lib/kubelet/pods/u1/containers/app/3",
        );
    }

    #[test]
    fn segments_that_would_escape_are_refused() {
        let long = "a".repeat(254);
        for bad in ["", ".", "..", "a/b", "/", "a\0b", long.as_str()] {
            assert!(check_segment("volume name", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "..a", "cache-1", "0a9f"] {
            assert_eq!(check_segment("volume name", good), Ok(good));
        }
    }
}
