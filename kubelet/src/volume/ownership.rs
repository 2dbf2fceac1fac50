//! fsGroup: which owner and mode the files of a volume get ([`Ownership::of`] and the mode rules
//! are pure), and the walk that sets them through file descriptors, following no link and
//! entering no other mount.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use k8s_openapi::api::core::v1::PodSpec;
use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, Stat};

use super::dir::{self, Entry};

/// `fsGroupChangePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangePolicy {
    /// Walk the volume at every start.
    #[default]
    Always,
    /// Walk it only when its root does not look right.
    OnRootMismatch,
}

/// What `securityContext.fsGroup` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// The group.
    pub group: u32,
    /// When to walk.
    pub policy: ChangePolicy,
}

impl Ownership {
    /// Reads the pod's security context; `None` without a valid `fsGroup`.
    #[must_use]
    pub fn of(spec: &PodSpec) -> Option<Self> {
        let security = spec.security_context.as_ref()?;
        let group = u32::try_from(security.fs_group?).ok()?;
        let policy = match security.fs_group_change_policy.as_deref() {
            Some("OnRootMismatch") => ChangePolicy::OnRootMismatch,
            _ => ChangePolicy::Always,
        };
        Some(Self { group, policy })
    }
}

const SET_GID: u32 = 0o2000;
const GROUP_RW: u32 = 0o660;
const GROUP_READ: u32 = 0o440;
const DIR_SEARCH: u32 = 0o110;

/// Mode bits that are added to a file or directory of a volume.
fn added_mode(is_dir: bool, read_only: bool) -> u32 {
    let access = if read_only { GROUP_READ } else { GROUP_RW };
    if is_dir {
        access | SET_GID | DIR_SEARCH
    } else {
        access
    }
}

/// Whether the root of a volume has the group and all the bits already.
fn root_matches(stat: &Stat, group: u32, read_only: bool) -> bool {
    let wanted = added_mode(true, read_only);
    stat.st_gid == group && stat.st_mode & wanted == wanted
}

/// Gives the volume at `path` to its group, all of it or, as the policy says, nothing.
///
/// # Errors
/// The first entry that could not be changed.
pub fn apply(path: &Path, ownership: Ownership, read_only: bool) -> io::Result<()> {
    let root = dir::open(path)?;
    let stat = rfs::fstat(&root)?;
    let keep = ownership.policy == ChangePolicy::OnRootMismatch;
    if keep && root_matches(&stat, ownership.group, read_only) {
        return Ok(());
    }
    // The root is changed last: a walk that was cut short is repeated under either policy.
    dir::walk(root.as_fd(), &mut |entry| {
        change(entry, ownership.group, read_only).map(ControlFlow::Continue)
    })?;
    change_dir(root.as_fd(), &stat, ownership.group, read_only)
}

fn change(entry: &Entry<'_>, group: u32, read_only: bool) -> io::Result<()> {
    let stat = &entry.stat;
    let file_type = FileType::from_raw_mode(stat.st_mode);
    if stat.st_gid != group {
        let gid = Some(Gid::from_raw(group));
        rfs::chownat(entry.fd, c"", None, gid, AtFlags::EMPTY_PATH)?;
    }
    let mode = stat.st_mode & 0o7777;
    let wanted = mode | added_mode(file_type == FileType::Directory, read_only);
    if file_type == FileType::Symlink || wanted == mode && stat.st_gid == group {
        return Ok(());
    }
    entry.chmod(wanted)
}

fn change_dir(dir: BorrowedFd<'_>, stat: &Stat, group: u32, read_only: bool) -> io::Result<()> {
    rfs::fchown(dir, None, Some(Gid::from_raw(group)))?;
    let mode = stat.st_mode & 0o7777 | added_mode(true, read_only);
    Ok(rfs::fchmod(dir, Mode::from_raw_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use k8s_openapi::api::core::v1::PodSecurityContext;

    use super::*;

    #[test]
    fn the_pod_says_group_and_policy() {
        let check = |group, policy: Option<&str>, want| {
            let security = PodSecurityContext {
                fs_group: group,
                fs_group_change_policy: policy.map(ToOwned::to_owned),
                ..PodSecurityContext::default()
            };
            let spec = PodSpec {
                security_context: Some(security),
                ..PodSpec::default()
            };
            assert_eq!(Ownership::of(&spec).map(|o| (o.group, o.policy)), want);
        };
        check(None, None, None);
        check(Some(-1), None, None);
        check(Some(7), None, Some((7, ChangePolicy::Always)));
        let on_mismatch = ChangePolicy::OnRootMismatch;
        check(Some(7), Some("OnRootMismatch"), Some((7, on_mismatch)));
    }

    #[test]
    fn modes() {
        assert_eq!(added_mode(true, false), 0o2770);
        assert_eq!(added_mode(true, true), 0o2550);
        assert_eq!(added_mode(false, false), 0o660);
        assert_eq!(added_mode(false, true), 0o440);
    }

    #[test]
    fn files_get_bits_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::write(&outside, "x").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
        let volume = root.path().join("volume");
        fs::create_dir_all(volume.join("d")).unwrap();
        fs::write(volume.join("d/f"), "x").unwrap();
        fs::set_permissions(volume.join("d/f"), fs::Permissions::from_mode(0o604)).unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        let group = fs::metadata(&volume).unwrap().gid();
        let ownership = Ownership {
            group,
            policy: ChangePolicy::Always,
        };
        apply(&volume, ownership, false).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&volume.join("d/f")), 0o664);
        assert_eq!(mode(&volume.join("d")) & 0o2770, 0o2770);
        assert_eq!(mode(&volume) & 0o2770, 0o2770);
        assert_eq!(mode(&outside), 0o600);
    }

    #[test]
    fn a_root_that_matches_spares_the_walk() {
        let root = tempfile::tempdir().unwrap();
        let group = fs::metadata(root.path()).unwrap().gid();
        let ownership = Ownership {
            group,
            policy: ChangePolicy::OnRootMismatch,
        };
        apply(root.path(), ownership, false).unwrap();
        let late = root.path().join("late");
        fs::write(&late, "x").unwrap();
        fs::set_permissions(&late, fs::Permissions::from_mode(0o600)).unwrap();
        apply(root.path(), ownership, false).unwrap();
        assert_eq!(fs::metadata(&late).unwrap().mode() & 0o777, 0o600);
    }
}
