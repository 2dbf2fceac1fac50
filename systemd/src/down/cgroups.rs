//! The cgroup that all pods of a node are below: killing what is in it and removing it, in every
//! hierarchy that is mounted.

use crate::daemon;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Folders of the cgroup `name` in all mounted hierarchies. `mountinfo` is
/// `/proc/self/mountinfo`'s text.
#[must_use]
pub fn folders(mountinfo: &str, name: &str) -> Vec<PathBuf> {
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return Vec::new();
    }
    mountinfo
        .lines()
        .filter(|line| line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| Path::new(point).join(name))
        .collect()
}

/// Kills every process in the cgroup `name` and removes it with all below. What stays is in the
/// answer, with the reason.
#[must_use]
pub fn remove(name: &str) -> Vec<String> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folders = folders(&mountinfo, name);
    for folder in &folders {
        kill_below(folder);
    }
    folders
        .iter()
        .flat_map(|folder| remove_below(folder))
        .collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}

fn kill_below(folder: &Path) {
    for child in children(folder) {
        kill_below(&child);
    }
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        // What cannot be killed shows as a cgroup that cannot be removed.
        let _ = daemon::stop(pid, Duration::ZERO);
    }
}

fn remove_below(folder: &Path) -> Vec<String> {
    let mut kept: Vec<_> = children(folder)
        .iter()
        .flat_map(|child| remove_below(child))
        .collect();
    match fs::remove_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => kept.push(format!("cgroup {}: {error}", folder.display())),
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_hierarchies_and_never_a_root() {
        let info = "\
30 22 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 22 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 22 0:32 / /run rw - tmpfs tmpfs rw
";
        assert_eq!(
            folders(info, "/keelson"),
            [
                Path::new("/sys/fs/cgroup/memory/keelson"),
                Path::new("/sys/fs/cgroup/unified/keelson")
            ]
        );
        assert_eq!(folders(info, "/"), [] as [&Path; 0]);
    }
}
