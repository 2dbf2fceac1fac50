//! Makes, fills, empties and removes cgroup directories. Decides nothing; touches no cgroup but
//! the ones it is given and, on the way to them, their parents.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::time::Instant;

use super::hierarchy::{Hierarchy, HierarchyError, enabled};
use super::names::{BadCgroupRoot, CgroupName, Driver};
use super::plan::Limits;
use super::systemd::SystemdError;
use super::v1::Write;
use super::{v1, v2};

/// How long killed processes may take to end.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// How long an emptied cgroup may stay busy in the kernel.
const REMOVE_DEADLINE: Duration = Duration::from_secs(2);

/// A cgroup could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The mount table could not be read.
    #[error("read mount table: {0}")]
    MountTable(io::Error),
    /// The machine lacks what is needed.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The configured root is no path.
    #[error(transparent)]
    Root(#[from] BadCgroupRoot),
    /// systemd refused or did not answer.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// A step on a file or directory failed.
    #[error("{step} {}: {source}", path.display())]
    Step {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Processes did not end after SIGKILL, so the cgroup stays.
    #[error("cgroup {}: processes {pids:?} did not end within {KILL_DEADLINE:?} of SIGKILL", path.display())]
    Unkillable {
        /// The cgroup's directory.
        path: PathBuf,
        /// Who is left.
        pids: Vec<i32>,
    },
}

fn step<T>(step: &'static str, path: &Path, done: io::Result<T>) -> Result<T, CgroupError> {
    done.map_err(|source| CgroupError::Step {
        step,
        path: path.to_owned(),
        source,
    })
}

/// Makes `name`, and its parents where they are missing, in every hierarchy.
pub(super) fn create(
    hierarchy: &Hierarchy,
    name: &CgroupName,
    driver: Driver,
) -> Result<(), CgroupError> {
    match create_level(hierarchy, name, driver) {
        Err(CgroupError::Step { source, .. })
            if source.kind() == io::ErrorKind::NotFound && !name.is_root() =>
        {
            create(hierarchy, &name.parent(), driver)?;
            create_level(hierarchy, name, driver)
        }
        done => done,
    }
}

/// Makes `name` where its parent is there; `NotFound` when that is missing anywhere.
fn create_level(
    hierarchy: &Hierarchy,
    name: &CgroupName,
    driver: Driver,
) -> Result<(), CgroupError> {
    if name.is_root() {
        return Ok(());
    }
    if let Hierarchy::Unified { mount } = hierarchy {
        enable_controllers(&mount.join(name.parent().directory(driver)))?;
    }
    for directory in hierarchy.directories(name, driver) {
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return step("create cgroup", &directory, Err(error));
            }
            _ => {}
        }
    }
    match hierarchy.directory("cpuset", name, driver) {
        Some(directory) if matches!(hierarchy, Hierarchy::Legacy { .. }) => {
            inherit_cpuset(&directory)
        }
        _ => Ok(()),
    }
}

/// Lets the children of a v2 cgroup have the controllers that it has.
fn enable_controllers(directory: &Path) -> Result<(), CgroupError> {
    let have = directory.join("cgroup.controllers");
    let have = step("read", &have, fs::read_to_string(&have))?;
    let file = directory.join("cgroup.subtree_control");
    let children = step("read", &file, fs::read_to_string(&file))?;
    let wanted = enabled(&have);
    if wanted.is_empty() || wanted == enabled(&children) {
        return Ok(());
    }
    step("enable controllers", &file, write_file(&file, &wanted))
}

/// A new v1 cpuset has no CPUs and no memory nodes, and so could hold no process.
fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = directory.join(file);
        let have = step("read", &own, fs::read_to_string(&own))?;
        if !have.trim().is_empty() {
            continue;
        }
        let above = directory.parent().unwrap_or(directory).join(file);
        let value = step("read", &above, fs::read_to_string(&above))?;
        step("write", &own, write_file(&own, value.trim()))?;
    }
    Ok(())
}

/// Writes `limits` to the files of `name`. Values of controllers that this machine lacks are
/// left out, as [`Hierarchy::notes`] says.
pub(super) fn write_limits(
    hierarchy: &Hierarchy,
    name: &CgroupName,
    driver: Driver,
    limits: &Limits,
) -> Result<(), CgroupError> {
    let writes = match hierarchy {
        Hierarchy::Unified { .. } => v2::writes(limits),
        Hierarchy::Legacy { .. } => v1::writes(limits),
    };
    let mut again = Vec::new();
    for write in &writes {
        let Some(directory) = hierarchy.directory(write.controller, name, driver) else {
            continue;
        };
        let path = directory.join(&write.file);
        match write_one(&path, write) {
            // A quota and its period must fit each other at every moment: try the other first.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => again.push((path, write)),
            done => step("write", &path, done)?,
        }
    }
    again
        .into_iter()
        .try_for_each(|(path, write)| step("write", &path, write_one(&path, write)))
}

fn write_one(path: &Path, write: &Write) -> io::Result<()> {
    match write_file(path, &write.value) {
        // Page sizes and optional controllers vary from kernel to kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_optional(&write.file) => Ok(()),
        done => done,
    }
}

/// One write to a file that is there: asked to make one, the kernel would answer `EPERM`.
fn write_file(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}

fn is_optional(file: &str) -> bool {
    file.starts_with("hugetlb.") || file.starts_with("pids.")
}

/// Kills all processes in these cgroup trees, then removes them. Gone already is success.
pub(super) fn destroy(directories: &[PathBuf]) -> Result<(), CgroupError> {
    kill_all(directories)?;
    directories
        .iter()
        .try_for_each(|directory| remove_tree(directory))
}

/// A cgroup and all below it, innermost first.
fn tree(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(parent) = all.get(next) {
        let entries = match fs::read_dir(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            done => Some(done?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                all.push(entry.path());
            }
        }
        next += 1;
    }
    all.reverse();
    Ok(all)
}

fn remove_tree(directory: &Path) -> Result<(), CgroupError> {
    let until = Instant::now() + REMOVE_DEADLINE;
    let mut pause = Duration::from_millis(1);
    loop {
        let left = step("list cgroup", directory, tree(directory))?;
        let busy = left.iter().find_map(|path| match fs::remove_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some((path, error)),
            _ => None,
        });
        let Some((path, error)) = busy else {
            return Ok(());
        };
        let transient = matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY));
        if !transient || Instant::now() + pause > until {
            return step("remove cgroup", path, Err(error));
        }
        // The kernel lets go of the last processes some time after they were reaped, and tells
        // nobody on v1.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Sends SIGKILL until no process is left, and waits for each to end.
pub(super) fn kill_all(directories: &[PathBuf]) -> Result<(), CgroupError> {
    let until = Instant::now() + KILL_DEADLINE;
    loop {
        for directory in directories {
            // cgroup v2: also catches what forks meanwhile. Not there on v1.
            let _ = write_file(&directory.join("cgroup.kill"), "1");
        }
        let mut pids = HashSet::new();
        for directory in directories {
            pids.extend(step(
                "list processes of cgroup",
                directory,
                processes(directory),
            )?);
        }
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let path = directories.first().cloned().unwrap_or_default();
            let pids = pids
                .into_iter()
                .map(|pid| pid.as_raw_nonzero().get())
                .collect();
            return Err(CgroupError::Unkillable { path, pids });
        }
        for pid in pids {
            let done = kill_one(pid, directories, until).map_err(io::Error::from);
            step(
                "kill process of cgroup",
                directories.first().unwrap_or(&PathBuf::new()),
                done,
            )?;
        }
    }
}

/// Processes of a cgroup tree, without this one.
pub(super) fn processes(directory: &Path) -> io::Result<HashSet<Pid>> {
    let mut pids = HashSet::new();
    for directory in tree(directory)? {
        match fs::read_to_string(directory.join("cgroup.procs")) {
            Ok(text) => pids.extend(text.lines().filter_map(|l| Pid::from_raw(l.parse().ok()?))),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    pids.remove(&getpid());
    pids.remove(&Pid::INIT);
    Ok(pids)
}

/// `ENODEV` is what a cgroup answers that is removed while it is read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

fn kill_one(pid: Pid, directories: &[PathBuf], until: Instant) -> Result<(), Errno> {
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        done => done?,
    };
    // The number may have gone to another process since it was read; the handle cannot.
    let still = directories
        .iter()
        .any(|d| processes(d).is_ok_and(|all| all.contains(&pid)));
    if !still {
        return Ok(());
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(error),
    }
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).unwrap_or_default();
    match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}
