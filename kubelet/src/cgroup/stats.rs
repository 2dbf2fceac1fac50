//! What a cgroup has used, read straight from its files into one small buffer. The parsers are
//! pure. Files that a kernel or controller lacks leave their value out.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use super::hierarchy::Hierarchy;

/// Usage of one cgroup with all below it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time since it was made, in nanoseconds.
    pub cpu_nanos: Option<u64>,
    /// How often its CPU limit held it back; only where it has one.
    pub throttling: Option<Throttling>,
    /// Memory.
    pub memory: Option<MemoryUsage>,
    /// Swap, in bytes.
    pub swap_bytes: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// Bytes read from and written to block devices.
    pub io: Option<IoUsage>,
    /// How long work waited; cgroup v2 with PSI only.
    pub pressure: Option<Pressure>,
}

/// How often a CPU limit held a cgroup back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which it wanted CPU.
    pub periods: u64,
    /// Periods in which it used up its share.
    pub throttled_periods: u64,
    /// Time that it was held back, in nanoseconds.
    pub throttled_nanos: u64,
}

/// Memory of a cgroup, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All that is charged, page cache included.
    pub usage: u64,
    /// `usage` without page cache that is easy to reclaim.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Page faults since the cgroup was made.
    pub page_faults: u64,
    /// Page faults that had to read a disk.
    pub major_page_faults: u64,
    /// The limit of this cgroup, if there is one.
    pub limit: Option<u64>,
}

/// Traffic with block devices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoUsage {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

/// Pressure stall information by resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Waiting for a CPU.
    pub cpu: Option<Psi>,
    /// Waiting for memory.
    pub memory: Option<Psi>,
    /// Waiting for block devices.
    pub io: Option<Psi>,
}

/// Pressure stall information of one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Psi {
    /// At least one task waited.
    pub some: PsiLine,
    /// All tasks waited.
    pub full: PsiLine,
}

/// Shares of time in per cent, and the total in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PsiLine {
    /// Over the last 10 seconds.
    pub avg10: f64,
    /// Over the last minute.
    pub avg60: f64,
    /// Over the last 5 minutes.
    pub avg300: f64,
    /// Since the cgroup was made.
    pub total_micros: u64,
}

/// Larger than any file that is read here, except `io.stat` of a machine with many disks, of
/// which the lines that fit count.
const BUFFER: usize = 8192;

/// Reads files of one cgroup.
struct Reader<'a> {
    hierarchy: &'a Hierarchy,
    directory: &'a str,
    buffer: [u8; BUFFER],
}

/// Reads the cgroup at `directory`, a path below the mount points; `None` when it is gone.
#[must_use]
pub fn read_usage(hierarchy: &Hierarchy, directory: &str) -> Option<Usage> {
    let mut reader = Reader {
        hierarchy,
        directory,
        buffer: [0; BUFFER],
    };
    let usage = match hierarchy {
        Hierarchy::Unified { .. } => reader.v2(),
        Hierarchy::Legacy { .. } => reader.v1(),
    };
    (usage.cpu_nanos.is_some() || usage.memory.is_some()).then_some(usage)
}

impl Reader<'_> {
    fn path(&self, controller: &str, file: &str) -> Option<PathBuf> {
        let mount = match self.hierarchy {
            Hierarchy::Unified { mount } => mount,
            Hierarchy::Legacy { controllers } => controllers.get(controller)?,
        };
        Some(mount.join(self.directory).join(file))
    }

    fn text(&mut self, controller: &str, file: &str) -> Option<&str> {
        let mut open = File::open(self.path(controller, file)?).ok()?;
        let mut filled = 0;
        while let Some(rest) = self
            .buffer
            .get_mut(filled..)
            .filter(|rest| !rest.is_empty())
        {
            match open.read(rest).ok()? {
                0 => break,
                read => filled += read,
            }
        }
        std::str::from_utf8(&self.buffer[..filled]).ok()
    }

    fn number(&mut self, controller: &str, file: &str) -> Option<u64> {
        self.text(controller, file)?.trim().parse().ok()
    }

    fn psi(&mut self, file: &str) -> Option<Psi> {
        self.text("", file).and_then(parse_psi)
    }

    fn v2(&mut self) -> Usage {
        let limited = self
            .text("", "cpu.max")
            .is_some_and(|max| !max.starts_with("max"));
        let stat = self.text("", "cpu.stat");
        let micros = stat.and_then(|text| keyed(text, "usage_usec"));
        let throttling = stat.and_then(parse_throttling).filter(|_| limited);
        let pressure = Pressure {
            cpu: self.psi("cpu.pressure"),
            memory: self.psi("memory.pressure"),
            io: self.psi("io.pressure"),
        };
        Usage {
            cpu_nanos: micros.map(|micros| micros.saturating_mul(1000)),
            throttling,
            memory: self.memory_v2(),
            swap_bytes: self.number("", "memory.swap.current"),
            pids: self.number("", "pids.current"),
            io: self.text("", "io.stat").map(parse_io_v2),
            pressure: (pressure != Pressure::default()).then_some(pressure),
        }
    }

    fn memory_v2(&mut self) -> Option<MemoryUsage> {
        let usage = self.number("", "memory.current")?;
        let limit = self.number("", "memory.max");
        let text = self.text("", "memory.stat")?;
        let stat = |key| keyed(text, key).unwrap_or(0);
        Some(MemoryUsage {
            usage,
            working_set: usage.saturating_sub(stat("inactive_file")),
            rss: stat("anon"),
            page_faults: stat("pgfault"),
            major_page_faults: stat("pgmajfault"),
            limit,
        })
    }

    fn v1(&mut self) -> Usage {
        let memory = self.memory_v1();
        let limited = self.number("cpu", "cpu.cfs_quota_us").is_some();
        let throttling = self.text("cpu", "cpu.stat").and_then(parse_throttling);
        let with_swap = self.number("memory", "memory.memsw.usage_in_bytes");
        let swap = with_swap
            .zip(memory)
            .map(|(all, m)| all.saturating_sub(m.usage));
        let io = self
            .text("blkio", "blkio.throttle.io_service_bytes_recursive")
            .map(parse_io_v1);
        Usage {
            cpu_nanos: self.number("cpuacct", "cpuacct.usage"),
            throttling: throttling.filter(|_| limited),
            io,
            memory,
            swap_bytes: swap,
            pids: self.number("pids", "pids.current"),
            pressure: None,
        }
    }

    fn memory_v1(&mut self) -> Option<MemoryUsage> {
        let usage = self.number("memory", "memory.usage_in_bytes")?;
        let limit = self
            .number("memory", "memory.limit_in_bytes")
            .filter(|l| *l < NO_LIMIT_V1);
        let text = self.text("memory", "memory.stat")?;
        let stat = |key| keyed(text, key).unwrap_or(0);
        Some(MemoryUsage {
            usage,
            working_set: usage.saturating_sub(stat("total_inactive_file")),
            rss: stat("total_rss"),
            page_faults: stat("total_pgfault"),
            major_page_faults: stat("total_pgmajfault"),
            limit,
        })
    }
}

/// What v1 reports as the limit when there is none, less the rounding to pages.
const NO_LIMIT_V1: u64 = 1 << 62;

/// The value of `key` in lines of `KEY VALUE`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// Reads `cpu.stat`: version 2 counts microseconds, version 1 nanoseconds.
fn parse_throttling(text: &str) -> Option<Throttling> {
    let micros = keyed(text, "throttled_usec").map(|micros| micros.saturating_mul(1000));
    Some(Throttling {
        periods: keyed(text, "nr_periods")?,
        throttled_periods: keyed(text, "nr_throttled")?,
        throttled_nanos: micros.or_else(|| keyed(text, "throttled_time"))?,
    })
}

/// Sums `rbytes=` and `wbytes=` over all devices.
fn parse_io_v2(text: &str) -> IoUsage {
    text.split_whitespace()
        .fold(IoUsage::default(), |sum, word| {
            let add = |have: u64, key| {
                let more = word.strip_prefix(key).and_then(|value| value.parse().ok());
                have.saturating_add(more.unwrap_or(0))
            };
            IoUsage {
                read_bytes: add(sum.read_bytes, "rbytes="),
                written_bytes: add(sum.written_bytes, "wbytes="),
            }
        })
}

/// Sums lines of `MAJOR:MINOR Read N` and `... Write N`.
fn parse_io_v1(text: &str) -> IoUsage {
    text.lines().fold(IoUsage::default(), |mut sum, line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, value) = (
            words.next(),
            words.next().and_then(|v| v.parse::<u64>().ok()),
        );
        match (kind, value) {
            (Some("Read"), Some(bytes)) => sum.read_bytes = sum.read_bytes.saturating_add(bytes),
            (Some("Write"), Some(bytes)) => {
                sum.written_bytes = sum.written_bytes.saturating_add(bytes);
            }
            _ => {}
        }
        sum
    })
}

/// Reads a `*.pressure` file; `None` when it says nothing.
fn parse_psi(text: &str) -> Option<Psi> {
    let line = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |key: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(key))
        };
        Some(PsiLine {
            avg10: value("avg10=")?.parse().ok()?,
            avg60: value("avg60=")?.parse().ok()?,
            avg300: value("avg300=")?.parse().ok()?,
            total_micros: value("total=")?.parse().ok()?,
        })
    };
    // Kernels before 5.13 have no `full` line for CPUs.
    Some(Psi {
        some: line("some ")?,
        full: line("full ").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn files(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const PSI: &str = "some avg10=1.50 avg60=0.20 avg300=0.00 total=1234\n\
                       full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";

    #[test]
    fn v2_files() {
        let root = tempfile::tempdir().unwrap();
        files(
            root.path(),
            &[
                (
                    "p/cpu.stat",
                    "usage_usec 2500\nuser_usec 2000\nnr_periods 9\nnr_throttled 3\nthrottled_usec 7\n",
                ),
                ("p/cpu.max", "20000 100000\n"),
                ("p/memory.current", "10000\n"),
                ("p/memory.max", "max\n"),
                (
                    "p/memory.stat",
                    "anon 300\nfile 9000\ninactive_file 4000\npgfault 5\npgmajfault 1\n",
                ),
                ("p/pids.current", "3\n"),
                (
                    "p/io.stat",
                    "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
                ),
                ("p/cpu.pressure", PSI),
            ],
        );
        let hierarchy = Hierarchy::Unified {
            mount: root.path().to_owned(),
        };
        let got = read_usage(&hierarchy, "p").unwrap();
        assert_eq!(got.cpu_nanos, Some(2_500_000));
        let throttling = Throttling {
            periods: 9,
            throttled_periods: 3,
            throttled_nanos: 7000,
        };
        assert_eq!(got.throttling, Some(throttling));
        files(root.path(), &[("p/cpu.max", "max 100000\n")]);
        assert_eq!(read_usage(&hierarchy, "p").unwrap().throttling, None);
        let memory = MemoryUsage {
            usage: 10_000,
            working_set: 6000,
            rss: 300,
            page_faults: 5,
            major_page_faults: 1,
            limit: None,
        };
        assert_eq!((got.memory, got.pids), (Some(memory), Some(3)));
        assert_eq!(
            got.io,
            Some(IoUsage {
                read_bytes: 11,
                written_bytes: 22
            })
        );
        let cpu = got.pressure.unwrap().cpu.unwrap();
        assert_eq!(
            (cpu.some.avg10, cpu.some.total_micros, cpu.full.total_micros),
            (1.5, 1234, 7)
        );
        assert_eq!(read_usage(&hierarchy, "gone"), None);
    }

    #[test]
    fn v1_files() {
        let root = tempfile::tempdir().unwrap();
        files(
            root.path(),
            &[
                ("cpuacct/p/cpuacct.usage", "77\n"),
                ("cpu/p/cpu.cfs_quota_us", "-1\n"),
                (
                    "cpu/p/cpu.stat",
                    "nr_periods 9\nnr_throttled 3\nthrottled_time 7\n",
                ),
                ("memory/p/memory.usage_in_bytes", "10000\n"),
                ("memory/p/memory.limit_in_bytes", "9223372036854771712\n"),
                (
                    "memory/p/memory.stat",
                    "rss 1\ntotal_rss 300\ntotal_inactive_file 4000\ntotal_pgfault 5\n",
                ),
                (
                    "blkio/p/blkio.throttle.io_service_bytes_recursive",
                    "254:0 Read 8\n254:0 Write 9\n254:0 Sync 17\n254:16 Read 1\nTotal 18\n",
                ),
            ],
        );
        let controllers = ["cpu", "cpuacct", "memory", "blkio"]
            .map(|c| (c.to_owned(), root.path().join(c)))
            .into();
        let hierarchy = Hierarchy::Legacy { controllers };
        let got = read_usage(&hierarchy, "p").unwrap();
        let memory = got.memory.unwrap();
        assert_eq!(
            (got.cpu_nanos, memory.rss, memory.working_set),
            (Some(77), 300, 6000)
        );
        assert_eq!((memory.limit, got.pids, got.pressure), (None, None, None));
        assert_eq!(got.throttling, None, "there is no limit");
        files(root.path(), &[("cpu/p/cpu.cfs_quota_us", "20000\n")]);
        let throttling = read_usage(&hierarchy, "p").unwrap().throttling.unwrap();
        assert_eq!((throttling.periods, throttling.throttled_nanos), (9, 7));
        assert_eq!(
            got.io,
            Some(IoUsage {
                read_bytes: 9,
                written_bytes: 9
            })
        );
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "\\PC{0,300}") {
            let _ = (parse_psi(&text), parse_io_v1(&text), parse_io_v2(&text), keyed(&text, "a"));
        }
    }
}
