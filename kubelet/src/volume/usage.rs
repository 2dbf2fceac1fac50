//! How much a volume holds, for eviction and statistics. Walks through descriptors, stays on the
//! mount it started on and stops at a budget, so that a pod cannot make it expensive.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{self as rfs, StatVfs};

use super::dir;

/// What a directory tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Allocated bytes; a file with several names counts once.
    pub bytes: u64,
    /// Files, directories and links, the root included.
    pub inodes: u64,
    /// The budget ran out: the true numbers are higher.
    pub truncated: bool,
}

/// Measures the tree at `path`, looking at no more than `budget` entries. A file system of the
/// volume's own (tmpfs, hugetlbfs) answers at once.
///
/// # Errors
/// The walk failed.
pub fn usage(path: &Path, budget: u64) -> io::Result<Usage> {
    let root = dir::open(path)?;
    let stat = rfs::fstat(&root)?;
    let above = path.parent().map(rfs::lstat).transpose()?;
    if above.is_some_and(|above| above.st_dev != stat.st_dev) {
        return Ok(whole_file_system(&rfs::fstatvfs(&root)?));
    }
    let mut usage = Usage {
        bytes: allocated(stat.st_blocks),
        inodes: 1,
        truncated: false,
    };
    let mut linked = HashSet::new();
    dir::walk(root.as_fd(), &mut |entry| {
        if usage.inodes >= budget {
            usage.truncated = true;
            return Ok(ControlFlow::Break(()));
        }
        if entry.stat.st_nlink < 2 || is_dir(entry.stat.st_mode) || linked.insert(entry.stat.st_ino)
        {
            usage.bytes += allocated(entry.stat.st_blocks);
            usage.inodes += 1;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(usage)
}

fn is_dir(mode: u32) -> bool {
    rfs::FileType::from_raw_mode(mode) == rfs::FileType::Directory
}

/// `st_blocks` counts 512-byte units on every file system.
fn allocated(blocks: i64) -> u64 {
    u64::try_from(blocks).unwrap_or(0) * 512
}

fn whole_file_system(fs: &StatVfs) -> Usage {
    Usage {
        bytes: fs.f_blocks.saturating_sub(fs.f_bfree) * fs.f_frsize,
        inodes: fs.f_files.saturating_sub(fs.f_ffree),
        truncated: false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn counts_each_file_once_and_stops_at_the_budget() {
        let root = tempfile::tempdir().unwrap();
        let volume = root.path().join("v");
        fs::create_dir(&volume).unwrap();
        let empty = usage(&volume, 1000).unwrap();
        assert_eq!((empty.inodes, empty.truncated), (1, false));
        fs::write(volume.join("a"), vec![1; 64 << 10]).unwrap();
        fs::hard_link(volume.join("a"), volume.join("b")).unwrap();
        let filled = usage(&volume, 1000).unwrap();
        assert_eq!(filled.inodes, 2);
        let grown = filled.bytes - empty.bytes;
        assert!((64 << 10..80 << 10).contains(&grown), "{grown}");
        assert!(usage(&volume, 1).unwrap().truncated);
        assert!(usage(&volume.join("none"), 1).is_err());
    }
}
