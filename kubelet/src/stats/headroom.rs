//! What the node has left of what pods compete for: a few small files and two file systems.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::read;
use crate::cgroup::Usage;
use crate::evict::{Observations, Reading, Signal};

/// Reads what is left. `root` is the kubelet's directory, `images` that of images, `pods` what
/// pods may use together and what they do. What can't be read is missing.
#[must_use]
pub fn read(root: &Path, images: Option<&Path>, pods: Option<(u64, Usage)>) -> Observations {
    let mut observed = Observations::new();
    let mut put = |signal, reading: Option<(u64, u64)>| {
        if let Some((available, capacity)) = reading {
            let reading = Reading {
                available,
                capacity,
            };
            observed.insert(signal, reading);
        }
    };
    put(Signal::MemoryAvailable, read::memory_left());
    let pods = pods.and_then(|(allocatable, usage)| {
        let used = usage.memory?.working_set;
        Some((allocatable.saturating_sub(used), allocatable))
    });
    put(Signal::AllocatableMemoryAvailable, pods);
    let of_node = read::file_system(root);
    put(
        Signal::NodefsAvailable,
        of_node.map(|fs| (fs.available, fs.capacity)),
    );
    put(Signal::NodefsInodesFree, of_node.and_then(inodes));
    let of_images = images.and_then(read::file_system);
    put(
        Signal::ImagefsAvailable,
        of_images.map(|fs| (fs.available, fs.capacity)),
    );
    put(Signal::ImagefsInodesFree, of_images.and_then(inodes));
    put(Signal::PidAvailable, read::pids_left());
    observed
}

/// Free and all inodes; none where the file system makes them as it needs them.
fn inodes(fs: super::input::FsReading) -> Option<(u64, u64)> {
    (fs.inodes > 0).then_some((fs.inodes_free, fs.inodes))
}

/// Whether two paths lie on different file systems.
#[must_use]
pub fn are_apart(one: &Path, other: &Path) -> bool {
    let device = |path| fs::metadata(path).map(|data| data.dev()).ok();
    device(one)
        .zip(device(other))
        .is_some_and(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::stats::MemoryUsage;

    #[test]
    fn this_machine_has_something_left() {
        let usage = Usage {
            memory: Some(MemoryUsage {
                working_set: 40,
                ..MemoryUsage::default()
            }),
            ..Usage::default()
        };
        let root = Path::new("/");
        let observed = read(root, Some(root), Some((100, usage)));
        for (signal, reading) in &observed {
            assert!(
                reading.available <= reading.capacity,
                "{signal:?} {reading:?}"
            );
        }
        let pods = observed[&Signal::AllocatableMemoryAvailable];
        assert_eq!((pods.available, pods.capacity), (60, 100));
        let of = |signal| observed[&signal];
        assert_eq!(
            of(Signal::NodefsAvailable).capacity,
            of(Signal::ImagefsAvailable).capacity
        );
        assert!(
            of(Signal::MemoryAvailable).available > 0 && of(Signal::PidAvailable).available > 0
        );
        assert!(are_apart(root, Path::new("/proc")) && !are_apart(root, root));
        assert!(!read(root, None, None).contains_key(&Signal::ImagefsAvailable));
    }
}
