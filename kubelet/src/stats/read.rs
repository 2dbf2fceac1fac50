//! What the kernel says of the machine: small files of /proc, and the sizes of file systems.
//! The parsers are pure.

use std::fs;
use std::path::Path;

use keelson_cri::values::stats::InterfaceUsage;

use super::input::{FsReading, NodeMemory, NodeReading, Packets};
use crate::cgroup::Usage;
use crate::cgroup::stats::{MemoryUsage, Pressure, Psi, PsiLine};

/// Reads the machine; what cannot be read is left out. `root` is the kubelet's directory, on a
/// local file system.
pub fn machine(name: &str, root: &Path) -> NodeReading {
    let stat = text("/proc/stat");
    let ticks = rustix::param::clock_ticks_per_second();
    let vmstat = text("/proc/vmstat");
    NodeReading {
        name: name.to_owned(),
        boot_second: value_of(&stat, "btime")
            .and_then(|boot| i64::try_from(boot).ok())
            .unwrap_or(0),
        cpu_nanos: cpu_nanos(&stat, ticks),
        memory: memory(&text("/proc/meminfo"), &vmstat),
        pressure: Pressure {
            cpu: psi(&text("/proc/pressure/cpu")),
            memory: psi(&text("/proc/pressure/memory")),
            io: psi(&text("/proc/pressure/io")),
        },
        interfaces: interfaces(&text("/proc/net/dev")),
        default_interface: default_interface(&text("/proc/net/route")),
        processes: processes(&text("/proc/sys/kernel/pid_max"), &text("/proc/loadavg")),
        fs: file_system(root),
        kubelet: own_usage(),
        ..NodeReading::default()
    }
}

/// How full the file system at `path` is.
pub fn file_system(path: &Path) -> Option<FsReading> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(FsReading {
        available: stat.f_bavail * stat.f_frsize,
        capacity: stat.f_blocks * stat.f_frsize,
        used: stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize,
        inodes_free: stat.f_ffree,
        inodes: stat.f_files,
        inodes_used: stat.f_files.saturating_sub(stat.f_ffree),
    })
}

/// Memory that is left and all there is, in bytes: what is used less what is easy to reclaim counts.
pub fn memory_left() -> Option<(u64, u64)> {
    let memory = memory(&text("/proc/meminfo"), "")?;
    let left = memory.free.saturating_add(memory.inactive_file);
    Some((left.min(memory.total), memory.total))
}

/// Process ids that are left and all there may be.
pub fn pids_left() -> Option<(u64, u64)> {
    let (most, running) = processes(&text("/proc/sys/kernel/pid_max"), &text("/proc/loadavg"))?;
    Some((most.saturating_sub(running), most))
}

/// Bytes on disk and number of the files in a directory of logs.
pub fn directory_size(directory: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut size = (0, 0);
    for entry in fs::read_dir(directory).ok()?.flatten() {
        if let Ok(data) = entry.metadata() {
            size = (size.0 + data.blocks() * 512, size.1 + 1);
        }
    }
    Some(size)
}

/// This process, from its own files.
fn own_usage() -> Option<Usage> {
    let usage = crate::metrics::process::ProcessUsage::read().ok()?;
    let cpu = std::time::Duration::try_from_secs_f64(usage.cpu_seconds).ok()?;
    Some(Usage {
        cpu_nanos: u64::try_from(cpu.as_nanos()).ok(),
        memory: Some(MemoryUsage {
            usage: usage.resident_bytes,
            working_set: usage.resident_bytes,
            rss: usage.resident_bytes,
            ..MemoryUsage::default()
        }),
        ..Usage::default()
    })
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number after a line's first word.
fn value_of(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix([' ', ':']));
    line?.split_whitespace().next()?.parse().ok()
}

/// Everything but idle and waiting time; guests are counted in user time already.
fn cpu_nanos(stat: &str, ticks: u64) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let busy = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|index| times.get(*index))
        .sum::<u64>();
    busy.checked_mul(1_000_000_000 / ticks.max(1))
}

fn memory(meminfo: &str, vmstat: &str) -> Option<NodeMemory> {
    let bytes = |name| value_of(meminfo, name).map(|kib| kib * 1024);
    let count = |name| value_of(vmstat, name).unwrap_or(0);
    Some(NodeMemory {
        total: bytes("MemTotal")?,
        free: bytes("MemFree")?,
        inactive_file: bytes("Inactive(file)").unwrap_or(0),
        anonymous: bytes("AnonPages").unwrap_or(0),
        swap_total: bytes("SwapTotal").unwrap_or(0),
        swap_free: bytes("SwapFree").unwrap_or(0),
        page_faults: count("pgfault"),
        major_page_faults: count("pgmajfault"),
    })
}

fn psi(text: &str) -> Option<Psi> {
    let line = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let field = |name: &str| {
            let mut words = line.split_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let average = |name| field(name)?.parse::<f64>().ok();
        Some(PsiLine {
            avg10: average("avg10")?,
            avg60: average("avg60")?,
            avg300: average("avg300")?,
            total_micros: field("total")?.parse().ok()?,
        })
    };
    Some(Psi {
        some: line("some")?,
        full: line("full").unwrap_or_default(),
    })
}

/// Interfaces that stand for traffic with the outside: no loopback, no ends of pods' cables.
fn interfaces(dev: &str) -> Vec<InterfaceUsage> {
    let lines = dev.lines().filter_map(|line| line.split_once(':'));
    let usage = lines.filter_map(|(name, counters)| {
        let name = name.trim();
        let fields: Vec<u64> = counters
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let inner = name == "lo"
            || ["veth", "docker", "cni", "cali"]
                .iter()
                .any(|start| name.starts_with(start));
        (!inner && fields.len() >= 16).then(|| InterfaceUsage {
            name: name.to_owned(),
            rx_bytes: Some(fields[0]),
            rx_errors: Some(fields[2]),
            tx_bytes: Some(fields[8]),
            tx_errors: Some(fields[10]),
        })
    });
    usage.collect()
}

/// Packets through the interfaces of the network that a process is in.
pub fn packets_of(pid: u32) -> Vec<(String, Packets)> {
    packets(&text(&format!("/proc/{pid}/net/dev")))
}

fn packets(dev: &str) -> Vec<(String, Packets)> {
    let lines = dev.lines().filter_map(|line| line.split_once(':'));
    let all = lines.filter_map(|(name, counters)| {
        let name = name.trim();
        let counters = counters.split_whitespace();
        let fields: Vec<u64> = counters.filter_map(|word| word.parse().ok()).collect();
        (name != "lo" && fields.len() >= 16).then(|| {
            let packets = Packets {
                received: fields[1],
                receive_dropped: fields[3],
                sent: fields[9],
                send_dropped: fields[11],
            };
            (name.to_owned(), packets)
        })
    });
    all.collect()
}

fn default_interface(route: &str) -> Option<String> {
    route.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (interface, destination) = (words.next()?, words.next()?);
        (destination == "00000000").then(|| interface.to_owned())
    })
}

fn processes(pid_max: &str, loadavg: &str) -> Option<(u64, u64)> {
    let running = loadavg.split_whitespace().nth(3)?.split_once('/')?.1;
    Some((pid_max.trim().parse().ok()?, running.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files() {
        assert_eq!(
            cpu_nanos("cpu  1 2 3 100 50 4 5 6 7 8\ncpu0 1", 100),
            Some(210_000_000)
        );
        assert_eq!(value_of("x 1\nbtime 42\n", "btime"), Some(42));
        let meminfo = "MemTotal:  10 kB\nMemFree: 4 kB\nInactive: 9 kB\nInactive(file): 1 kB\n";
        let seen = memory(meminfo, "pgfault 7\npgmajfault 2\n").unwrap();
        assert_eq!(
            (seen.total, seen.free, seen.inactive_file),
            (10240, 4096, 1024)
        );
        assert_eq!((seen.page_faults, seen.major_page_faults), (7, 2));
        let pressure = psi("some avg10=1.50 avg60=0.10 avg300=0.00 total=77\n").unwrap();
        assert_eq!(pressure.some.total_micros, 77);
        assert_eq!(psi(""), None);
        assert_eq!(
            processes("4194304\n", "0.1 0.2 0.3 2/345 999\n"),
            Some((4_194_304, 345))
        );
        let route = "Iface Destination Gateway\neth1 0000FEA9 0\neth0 00000000 0101A8C0\n";
        assert_eq!(default_interface(route).as_deref(), Some("eth0"));
    }

    #[test]
    fn interfaces_of_the_machine() {
        let dev = "Inter-| Receive\n face |bytes\n    lo: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n\
                   veth1: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n  eth0: 5 1 2 0 0 0 0 0 6 1 3 0 0 0 0 0\n";
        let seen = interfaces(dev);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].rx_bytes, seen[0].rx_errors), (Some(5), Some(2)));
        assert_eq!((seen[0].tx_bytes, seen[0].tx_errors), (Some(6), Some(3)));
        let expected = Packets {
            received: 1,
            receive_dropped: 0,
            sent: 1,
            send_dropped: 0,
        };
        assert!(packets(dev).contains(&("eth0".to_owned(), expected)));
        assert!(packets(dev).iter().all(|(name, _)| name != "lo"));
    }

    #[test]
    fn this_machine() {
        let here = machine("node-1", Path::new("/"));
        assert!(here.boot_second > 1_000_000_000 && here.cpu_nanos > Some(0));
        assert!(here.memory.unwrap().total > here.memory.unwrap().free);
        let fs = here.fs.unwrap();
        assert!(fs.capacity >= fs.used && fs.capacity > 0);
    }
}
