//! Has containerd and the kubelet running: as units where systemd is process 1 and the node is the
//! machine's own, as daemons otherwise. One that runs with what it should run with is left alone.

use super::{Options, Outcome, PATIENCE, UpError};
use crate::cluster::Cluster;
use crate::configuration;
use crate::daemon::{self, Daemon};
use crate::kubelet_socket::ask;
use crate::layout::Layout;
use crate::units;
use keelson_cri::containerd::Problem;
use keelson_cri::values::CgroupDriver;
use keelson_cri::{Client, Deadlines, Endpoint};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a daemon that is replaced may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// How long a daemon may take to hold its lock.
const SETTLE: Duration = Duration::from_secs(2);

/// How often a daemon that starts is asked whether it is there: nothing announces a socket.
const STEP: Duration = Duration::from_millis(20);

/// Whether systemd runs this node's daemons.
pub(crate) fn by_systemd(layout: &Layout) -> bool {
    units::is_systemd() && *layout == Layout::new(Path::new("/"))
}

/// The cgroup driver for a node of this layout: systemd wants to be the only one who makes cgroups
/// where it is process 1.
#[must_use]
pub fn usual_cgroup_driver(layout: &Layout) -> CgroupDriver {
    if by_systemd(layout) {
        CgroupDriver::Systemd
    } else {
        CgroupDriver::Cgroupfs
    }
}

/// Whether a daemon runs, whoever runs it.
pub(crate) fn is_running(layout: &Layout, name: &str) -> bool {
    daemon::running(&layout.lock_of(name)).is_some()
        || (by_systemd(layout) && units::is_active(&units::unit_of(name)))
}

/// containerd's program: where it was said to be, where `make runtime` puts it, or in `PATH`.
pub(super) fn containerd_program(options: &Options) -> Result<PathBuf, UpError> {
    let fetched = std::fs::read_dir("/opt/keelson")
        .into_iter()
        .flatten()
        .flatten();
    let mut fetched: Vec<_> = fetched.map(|entry| entry.path().join("usr/bin")).collect();
    fetched.sort();
    fetched.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = match &options.containerd {
        Some(folder) => vec![folder.clone()],
        None => fetched
            .into_iter()
            .chain(std::env::split_paths(&path))
            .collect(),
    };
    let programs = folders.iter().map(|folder| folder.join("containerd"));
    programs
        .into_iter()
        .find(|program| is_version_2(program))
        .ok_or_else(|| {
            let names: Vec<_> = folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect();
            UpError::NoContainerd {
                searched: names.join(" "),
            }
        })
}

/// Asks a program for its version: `containerd github.com/containerd/containerd v2.1.0 ...`.
fn is_version_2(program: &Path) -> bool {
    let said = Command::new(program).arg("--version").output();
    said.is_ok_and(|output| major(&String::from_utf8_lossy(&output.stdout)).is_some_and(|n| n >= 2))
}

fn major(said: &str) -> Option<u32> {
    let version = said.split_whitespace().nth(2)?;
    version
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Has containerd running and answering.
pub(super) async fn containerd(options: &Options) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    let program = containerd_program(options)?;
    let mut path = OsString::from(program.parent().unwrap_or(Path::new("/usr/bin")));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()));
    let config = layout.containerd_config();
    let args = vec!["--config".into(), config.clone().into()];
    let daemon = Daemon {
        env: vec![("PATH", path)],
        log: layout.log_of("containerd"),
        lock: layout.lock_of("containerd"),
        stamp: stamp(&program, &args, &config),
        program,
        args,
    };
    let outcome = have_running(layout, "containerd", &daemon)?;
    serves(layout, "containerd", async || {
        containerd_answers(layout).await
    })
    .await?;
    Ok(outcome)
}

/// Has the kubelet running and answering.
pub(super) async fn kubelet(options: &Options) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    let args = configuration::kubelet_args(layout, options.cluster.as_ref());
    let daemon = Daemon {
        program: layout.binary(),
        env: Vec::new(),
        log: layout.log_of("kubelet"),
        lock: layout.lock_of("kubelet"),
        stamp: stamp(&layout.binary(), &args, &layout.kubelet_config()),
        args,
    };
    let outcome = have_running(layout, "kubelet", &daemon)?;
    let enrols = || {
        options
            .cluster
            .as_ref()
            .is_some_and(|one| enrols(layout, one))
    };
    serves(layout, "kubelet", async || match enrols() {
        true => Ok(()),
        false => kubelet_answers(layout).await,
    })
    .await?;
    Ok(outcome)
}

/// What a daemon was started with: its program, when that was made, its arguments and its
/// configuration.
fn stamp(program: &Path, args: &[OsString], config: &Path) -> String {
    let made = std::fs::metadata(program).and_then(|meta| meta.modified());
    let config = std::fs::read_to_string(config).unwrap_or_default();
    format!("{} {made:?}\n{args:?}\n{config}", program.display())
}

fn have_running(layout: &Layout, name: &str, daemon: &Daemon) -> Result<Outcome, UpError> {
    if by_systemd(layout) {
        return by_unit(layout, name, daemon);
    }
    if let Some(running) = daemon::running(&daemon.lock) {
        if running.stamp == daemon.stamp {
            return Ok(Outcome::There);
        }
        daemon::stop(running.pid, GRACE)?;
    }
    daemon::start(&layout.binary(), daemon)?;
    Ok(Outcome::Done)
}

/// With systemd the stamp is a file of its own, which outlives a reboot as the unit does.
fn by_unit(layout: &Layout, name: &str, daemon: &Daemon) -> Result<Outcome, UpError> {
    let unit = units::unit_of(name);
    let changed = crate::files::put(&layout.stamp_of(name), daemon.stamp.as_bytes(), 0o644)?;
    if units::is_active(&unit) && !changed {
        return Ok(Outcome::There);
    }
    units::start(&unit, changed)?;
    Ok(Outcome::Done)
}

/// Why a daemon does not serve yet.
enum NotYet {
    /// It may come.
    Wait(String),
    /// It will not, however long we wait.
    Never(String),
}

/// containerd answers, and nothing about it keeps pods from running.
async fn containerd_answers(layout: &Layout) -> Result<(), NotYet> {
    let socket = Endpoint::from(layout.containerd_socket());
    let quick = Deadlines::from_request_timeout(Duration::from_secs(5));
    let facts = keelson_cri::containerd::observe(&Client::new(&socket, quick)).await;
    match keelson_cri::containerd::check(&facts).first() {
        None => Ok(()),
        Some(problem @ Problem::NoAnswer(_)) => Err(NotYet::Wait(problem.to_string())),
        Some(problem) => Err(NotYet::Never(problem.to_string())),
    }
}

/// A kubelet that asks for its first certificate answers nobody yet; how long that takes is up to
/// the cluster.
fn enrols(layout: &Layout, cluster: &Cluster) -> bool {
    !cluster.has_control_plane()
        && !cluster.observer(layout).exists()
        && is_running(layout, "kubelet")
}

async fn kubelet_answers(layout: &Layout) -> Result<(), NotYet> {
    let answer = ask(&layout.kubelet_socket(), "/pods").await;
    answer
        .map(drop)
        .map_err(|error| NotYet::Wait(error.to_string()))
}

/// Waits until a daemon serves. One that ended will not, so that is told at once.
async fn serves(
    layout: &Layout,
    name: &'static str,
    ask: impl AsyncFn() -> Result<(), NotYet>,
) -> Result<(), UpError> {
    let start = Instant::now();
    loop {
        let why = match ask().await {
            Ok(()) => return Ok(()),
            Err(NotYet::Never(why)) => why,
            Err(NotYet::Wait(why)) if start.elapsed() > PATIENCE => why,
            Err(NotYet::Wait(_)) if start.elapsed() > SETTLE && !is_running(layout, name) => {
                "it ended".to_owned()
            }
            Err(NotYet::Wait(_)) => {
                sleep(STEP).await;
                continue;
            }
        };
        return Err(UpError::Silent {
            name,
            why,
            log: log_command(layout, name),
            tail: tail(layout, name),
        });
    }
}

/// How many lines of a log a message holds.
const LINES: usize = 12;

/// The command that shows a daemon's log.
fn log_command(layout: &Layout, name: &str) -> String {
    if by_systemd(layout) {
        format!("journalctl -u {}", units::unit_of(name))
    } else {
        format!("less {}", layout.log_of(name).display())
    }
}

/// The last lines of a daemon's log, for a message.
fn tail(layout: &Layout, name: &str) -> String {
    let text = if by_systemd(layout) {
        units::log(&units::unit_of(name), LINES)
    } else {
        std::fs::read(layout.log_of(name)).unwrap_or_default()
    };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let check = |said: &str, expected| assert_eq!(major(said), expected, "{said}");
        check(
            "containerd github.com/containerd/containerd/v2 2.1.9+ds1-5 ",
            Some(2),
        );
        check(
            "containerd github.com/containerd/containerd v1.6.20~ds1 1.6.20",
            Some(1),
        );
        check("containerd", None);
    }
}
