//! Parser of `/proc/PID/mountinfo`, and the questions that the mount table answers without
//! touching a file system. Pure: bytes in, values out.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One line of the mount table; paths are unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Unique id of the mount.
    pub id: u64,
    /// Path inside the mounted file system that is visible here.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Kind of file system, for example `ext4`.
    pub fs_type: String,
    /// Device or other source, unescaped.
    pub source: PathBuf,
    /// Options of the mount itself, for example `ro,nosuid`.
    pub options: String,
    /// Options of the file system, for example `rw,size=16k` or `rw,memory`.
    pub super_options: String,
}

/// A line that is no mount table line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the mount table lacks {missing}")]
pub struct MountInfoError {
    /// Line number, from 1.
    pub line: usize,
    /// The first field that is missing or malformed.
    pub missing: &'static str,
}

/// Parses a whole table.
///
/// # Errors
/// The first line that does not follow `proc(5)`.
pub fn parse(table: &[u8]) -> Result<Vec<MountEntry>, MountInfoError> {
    table
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            parse_line(line).map_err(|missing| MountInfoError {
                line: at + 1,
                missing,
            })
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Result<MountEntry, &'static str> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = |name: &'static str| fields.next().filter(|f| !f.is_empty()).ok_or(name);
    let id = std::str::from_utf8(next("mount id")?)
        .ok()
        .and_then(|id| id.parse().ok());
    let id = id.ok_or("mount id")?;
    next("parent id")?;
    next("device number")?;
    let root = path(next("root")?);
    let mount_point = path(next("mount point")?);
    let options = text(next("mount options")?);
    while next("separator")? != b"-" {}
    let fs_type = text(next("file system type")?);
    // The source may be empty, for example `mount -t tmpfs ""`.
    let source = path(fields.next().ok_or("mount source")?);
    let super_options = text(fields.next().unwrap_or_default());
    Ok(MountEntry {
        id,
        root,
        mount_point,
        fs_type,
        source,
        options,
        super_options,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Undoes the kernel's `\ooo` escapes of blank, tab, newline and backslash.
fn path(escaped: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'\\')
            .then(|| tail.get(..3).and_then(octal))
            .flatten();
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(out))
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

impl MountEntry {
    /// Whether the file system needs another party to answer: a server, or a process. Touching
    /// it may block for ever.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        const FOREIGN: [&str; 17] = [
            "9p",
            "afs",
            "autofs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
            "ocfs2",
            "smb3",
            "smbfs",
        ];
        self.fs_type.starts_with("fuse") && self.fs_type != "fusectl"
            || FOREIGN.contains(&self.fs_type.as_str())
    }
}

/// The mount that `path` (absolute, no symlinks) lies on. Of mounts stacked on one point the
/// last one counts, as in the kernel.
#[must_use]
pub fn mount_of<'a>(table: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    let covering = table
        .iter()
        .filter(|entry| path.starts_with(&entry.mount_point));
    covering.max_by_key(|entry| entry.mount_point.components().count())
}

/// The topmost mount exactly at `path`.
#[must_use]
pub fn mounted_at<'a>(table: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    table.iter().rev().find(|entry| entry.mount_point == path)
}

/// Mounts at or below `dir`, in the order in which they have to be unmounted: later mounts lie
/// on top of earlier ones, deeper ones below them.
#[must_use]
pub fn mounts_below<'a>(table: &'a [MountEntry], dir: &Path) -> Vec<&'a MountEntry> {
    let mut below: Vec<_> = table
        .iter()
        .filter(|e| e.mount_point.starts_with(dir))
        .collect();
    below.reverse();
    below.sort_by_key(|entry| std::cmp::Reverse(entry.mount_point.components().count()));
    below
}

/// Whether following `path` may lead onto a foreign file system. `read_link` is asked only about
/// paths that are known to lie on local ones, so the answer costs no risk. More than 40 links, or
/// a path that is not absolute, count as foreign.
pub fn may_block(
    table: &[MountEntry],
    path: &Path,
    mut read_link: impl FnMut(&Path) -> Option<PathBuf>,
) -> bool {
    let mut pending: Vec<PathBuf> = segments(path);
    let mut here = PathBuf::from("/");
    let mut links = 0;
    if !path.is_absolute() {
        return true;
    }
    while let Some(segment) = pending.pop() {
        if segment == Path::new("..") {
            here.pop();
            continue;
        }
        here.push(segment);
        if mount_of(table, &here).is_some_and(MountEntry::is_foreign) {
            return true;
        }
        let Some(target) = read_link(&here) else {
            continue;
        };
        links += 1;
        if links > 40 {
            return true;
        }
        here.pop();
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        pending.extend(segments(&target));
    }
    false
}

/// Named segments of a path, last one first; `.` and the root are left out.
fn segments(path: &Path) -> Vec<PathBuf> {
    use std::path::Component;
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    let mut parts: Vec<_> = path.components().filter_map(named).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests;
