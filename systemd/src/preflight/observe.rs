//! Reads the facts that the preflight judges. Changes nothing.

use super::Facts;
use std::fs::read_to_string;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// What there is: `disk` is where data will go, `ports` are those which the node will listen on.
#[must_use]
pub fn observe(disk: &Path, ports: &[u16]) -> Facts {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    Facts {
        uid: rustix::process::geteuid().as_raw(),
        capabilities: capabilities(&read("/proc/self/status")),
        mounts: read("/proc/self/mountinfo"),
        controllers: read("/sys/fs/cgroup/cgroup.controllers"),
        filesystems: read("/proc/filesystems"),
        swaps: read("/proc/swaps"),
        busy_ports: ports
            .iter()
            .copied()
            .filter(|port| is_taken(*port))
            .collect(),
        free_bytes: free_bytes(disk),
        network: None,
        has_hosts: Path::new("/etc/hosts").exists(),
        oci_runtime: in_path(&["runc", "crun"]).map(|path| path.display().to_string()),
    }
}

/// The first of `names` that is a file in one of `PATH`'s folders.
pub(crate) fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

fn is_taken(port: u16) -> bool {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Free bytes of the file system that `path`, or the nearest folder above that exists, is on.
fn free_bytes(path: &Path) -> u64 {
    let existing = path
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    rustix::fs::statvfs(existing)
        .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\n";
        assert_eq!(capabilities(status), 1 << 12);
        assert_eq!(capabilities(""), 0);
    }

    #[test]
    fn sees_a_listener() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        drop(listener);
        assert!(!is_taken(port));
    }
}
