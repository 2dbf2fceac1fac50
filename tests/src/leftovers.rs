//! What a node that was taken down could have left on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Processes whose command line names `folder`, the caller aside.
///
/// # Panics
/// When the kernel does not tell.
#[must_use]
pub fn processes_naming(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).ok();
    pids.filter(|pid| Some(*pid) != own)
        .filter_map(|pid| {
            let line = text(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
            line.contains(folder.to_str()?)
                .then(|| format!("process {pid}: {line}"))
        })
        .collect()
}

/// The cgroup `name` in every hierarchy.
#[must_use]
pub fn cgroups(name: &str) -> Vec<String> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    let entries = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    roots.extend(entries.map(|entry| entry.path()));
    let ours = roots
        .into_iter()
        .map(|root| root.join(name.trim_start_matches('/')));
    ours.filter(|path| path.exists())
        .map(|path| format!("cgroup {}", path.display()))
        .collect()
}

/// Mounts below `root` that the calling thread sees.
///
/// # Panics
/// When the kernel does not tell.
#[must_use]
pub fn mounts(root: &Path) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
    let root = root.to_str().expect("a plain path");
    mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(4)
                .is_some_and(|point| point.starts_with(root))
        })
        .map(|line| format!("mount {line}"))
        .collect()
}

/// The bridge, ends of pods' links and nftables' tables that the calling thread sees.
///
/// # Panics
/// When the kernel does not tell.
#[must_use]
pub fn network(bridge: &str) -> Vec<String> {
    let links = fs::read_to_string("/proc/thread-self/net/dev").expect("net/dev");
    let names = links
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim);
    let mut left: Vec<_> = names
        .filter(|name| *name == bridge || name.starts_with("veth"))
        .map(|n| format!("link {n}"))
        .collect();
    let rules = Command::new("nft").args(["list", "tables"]).output();
    let rules = rules.map(|output| text(&output.stdout)).unwrap_or_default();
    left.extend(rules.lines().map(|line| format!("nft {line}")));
    left
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
