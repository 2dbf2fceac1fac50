//! The mount calls: tmpfs, hugetlbfs, bind from a descriptor, unmount, and reading the mount
//! table. Decides nothing.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount,
};

use super::mountinfo::{self, MountEntry};

/// The mount table of this thread.
///
/// # Errors
/// It cannot be read, or a line of it cannot be parsed.
pub fn table() -> io::Result<Vec<MountEntry>> {
    let bytes = fs::read("/proc/thread-self/mountinfo")?;
    mountinfo::parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Mounts a new tmpfs on `target`, root mode 0777.
///
/// # Errors
/// What the kernel says.
pub fn tmpfs(target: &Path, size: u64, noswap: bool) -> io::Result<()> {
    let mut options = String::from("mode=0777");
    if size > 0 {
        options.push_str(&format!(",size={size}"));
    }
    if noswap {
        options.push_str(",noswap");
    }
    new_file_system("tmpfs", target, &options)
}

/// Mounts a new hugetlbfs with pages of `page_size` bytes on `target`, root mode 0777.
///
/// # Errors
/// What the kernel says; `EINVAL` for a page size it does not have.
pub fn hugetlbfs(target: &Path, page_size: u64) -> io::Result<()> {
    new_file_system(
        "hugetlbfs",
        target,
        &format!("mode=0777,pagesize={page_size}"),
    )
}

fn new_file_system(kind: &str, target: &Path, options: &str) -> io::Result<()> {
    let options = CString::new(options)?;
    let flags = MountFlags::empty();
    Ok(rustix::mount::mount(
        kind,
        target,
        kind,
        flags,
        options.as_c_str(),
    )?)
}

/// Binds what `source` refers to, and nothing mounted below it, on `target`.
///
/// # Errors
/// What the kernel says.
pub fn bind(source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(source, c"", flags)?;
    Ok(move_mount(
        tree,
        c"",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}

/// Unmounts what is topmost on `target`. A busy or foreign file system is detached: it vanishes
/// from here at once and goes for good when its last user does. Not mounted is success.
///
/// # Errors
/// What the kernel says.
pub fn unmount_at(target: &Path, foreign: bool) -> io::Result<()> {
    let detach = || unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    let done = if foreign {
        detach()
    } else {
        unmount(target, UnmountFlags::NOFOLLOW)
    };
    let done = match done {
        Err(Errno::BUSY) => detach(),
        other => other,
    };
    match done {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
