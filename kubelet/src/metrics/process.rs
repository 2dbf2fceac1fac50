//! `process_*` of this program from /proc/self, and its live tasks where Go programs show their
//! goroutines.

use std::fs;
use std::io;

use super::render::Text;

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// User and system time used so far, in seconds.
    pub cpu_seconds: f64,
    /// Start as Unix time, in seconds.
    pub start_seconds: f64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Bytes of memory held.
    pub resident_bytes: u64,
    /// File descriptors open.
    pub open_files: u64,
    /// File descriptors allowed.
    pub max_files: u64,
}

impl ProcessUsage {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let boot = fs::read_to_string("/proc/stat")?;
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let open_files = fs::read_dir("/proc/self/fd")?.count() as u64;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let times = parse_stat(&stat, boot_seconds(&boot), ticks, page);
        let mut usage = times.ok_or_else(|| io::Error::other("/proc/self/stat is not readable"))?;
        usage.open_files = open_files.saturating_sub(1);
        usage.max_files = limit.current.unwrap_or(u64::MAX);
        Ok(usage)
    }

    /// Adds the samples to a page.
    pub fn render(&self, out: &mut Text) {
        out.head(
            "process_cpu_seconds_total",
            "counter",
            "CPU time used, in seconds.",
        );
        out.line("process_cpu_seconds_total", &[], &self.cpu_seconds);
        let gauges: [(&str, &str, f64); 1] = [(
            "process_start_time_seconds",
            "Unix time of the start of the process, in seconds.",
            self.start_seconds,
        )];
        for (name, help, value) in gauges {
            out.head(name, "gauge", help);
            out.line(name, &[], &value);
        }
        for (name, help, value) in [
            (
                "process_virtual_memory_bytes",
                "Bytes of address space.",
                self.virtual_bytes,
            ),
            (
                "process_resident_memory_bytes",
                "Bytes of memory held.",
                self.resident_bytes,
            ),
            (
                "process_open_fds",
                "File descriptors open.",
                self.open_files,
            ),
            (
                "process_max_fds",
                "File descriptors allowed.",
                self.max_files,
            ),
        ] {
            out.head(name, "gauge", help);
            out.line(name, &[], &value);
        }
    }
}

/// The stand-in for `go_goroutines`: live tasks of the runtime.
pub fn render_tasks(out: &mut Text) {
    let Ok(handle) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let help = "Live tasks of this program, which has no goroutines but fills their panel.";
    out.head("go_goroutines", "gauge", help);
    out.line(
        "go_goroutines",
        &[],
        &(handle.metrics().num_alive_tasks() as u64),
    );
}

fn boot_seconds(stat: &str) -> f64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok())
        .unwrap_or(0.0)
}

/// Fields are counted from the state, after the command's closing parenthesis.
fn parse_stat(stat: &str, boot: f64, ticks: u64, page: u64) -> Option<ProcessUsage> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let seconds = |count: u64| as_float(count) / as_float(ticks);
    Some(ProcessUsage {
        cpu_seconds: seconds(number(11)? + number(12)?),
        start_seconds: boot + seconds(number(19)?),
        virtual_bytes: number(20)?,
        resident_bytes: number(21)? * page,
        open_files: 0,
        max_files: 0,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the text format carries floats, and 2^53 ticks are not reached"
)]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_nasty_name() {
        let line = "42 (a) b) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 1000 4096 7 99";
        let usage = parse_stat(line, 100.0, 100, 4096).unwrap();
        assert!((usage.cpu_seconds - 2.0).abs() < 1e-9);
        assert!((usage.start_seconds - 110.0).abs() < 1e-9);
        assert_eq!(
            (usage.virtual_bytes, usage.resident_bytes),
            (4096, 7 * 4096)
        );
        assert_eq!(parse_stat("42 (a", 0.0, 100, 4096), None);
    }

    #[test]
    fn this_process_is_alive() {
        let usage = ProcessUsage::read().unwrap();
        assert!(usage.resident_bytes > 1 << 20 && usage.open_files >= 3);
        assert!(usage.start_seconds > 1e9 && usage.max_files >= usage.open_files);
        let mut text = Text::default();
        usage.render(&mut text);
        assert!(text.finish().contains("\nprocess_resident_memory_bytes "));
    }

    #[tokio::test]
    async fn live_tasks_are_counted() {
        let waiting = tokio::spawn(std::future::pending::<()>());
        let mut text = Text::default();
        render_tasks(&mut text);
        waiting.abort();
        assert!(text.finish().ends_with("\ngo_goroutines 1\n"));
    }
}
