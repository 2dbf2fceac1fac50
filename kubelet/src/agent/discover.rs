//! Finds out what this node is: its name, addresses, processors and memory.

use std::fs;
use std::net::{IpAddr, UdpSocket};

use nix::unistd::gethostname;

use crate::cgroup::manager::page_sizes;

/// What the machine is, before anything is reserved of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors that this process may use, in milli-CPU.
    pub milli_cpu: i64,
    /// Bytes of memory.
    pub memory: i64,
    /// Huge page sizes that the kernel offers, in bytes.
    pub huge_pages: Vec<u64>,
    /// Kernel release: major and minor.
    pub kernel: (u32, u32),
    /// SELinux is on.
    pub selinux: bool,
    /// AppArmor is on.
    pub app_armor: bool,
}

/// Looks at the machine.
///
/// # Errors
/// `/proc/meminfo` can't be read.
pub fn machine() -> std::io::Result<Machine> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Machine {
        milli_cpu: i64::try_from(processors).unwrap_or(1) * 1000,
        memory: memory_of(&fs::read_to_string("/proc/meminfo")?),
        huge_pages: page_sizes(),
        kernel: kernel_of(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()),
        selinux: fs::exists("/sys/fs/selinux/enforce").unwrap_or(false),
        app_armor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|enabled| enabled.starts_with('Y')),
    })
}

/// The node's name: what was asked for, else the host's name in lower case.
///
/// # Errors
/// The kernel's word when the host's name can't be read.
pub fn node_name(asked: Option<&str>) -> std::io::Result<String> {
    match asked.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.to_lowercase()),
        None => Ok(gethostname()?.to_string_lossy().trim().to_lowercase()),
    }
}

/// The node's addresses: what was asked for, else those by which it reaches others.
#[must_use]
pub fn node_ips(asked: &[IpAddr]) -> Vec<IpAddr> {
    let asked: Vec<IpAddr> = asked
        .iter()
        .copied()
        .filter(|ip| !ip.is_unspecified())
        .collect();
    if !asked.is_empty() {
        return asked;
    }
    // Connecting a datagram socket sends nothing; it makes the kernel choose a source address.
    let towards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let source = |(from, to): (&str, &str)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
    };
    let found: Vec<IpAddr> = towards.into_iter().filter_map(source).collect();
    if found.is_empty() {
        vec![IpAddr::from([127, 0, 0, 1])]
    } else {
        found
    }
}

fn memory_of(meminfo: &str) -> i64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn kernel_of(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_and_release_are_read() {
        assert_eq!(
            memory_of("MemTotal:       24 kB\nMemFree: 1 kB\n"),
            24 * 1024
        );
        assert_eq!(memory_of("nothing"), 0);
        assert_eq!(kernel_of("6.18.44-x"), (6, 18));
    }

    #[test]
    fn asked_for_wins() {
        assert_eq!(node_name(Some(" Web-1 ")).unwrap(), "web-1");
        let ip = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(node_ips(&[ip]), [ip]);
        assert!(!node_ips(&[]).is_empty());
    }
}
