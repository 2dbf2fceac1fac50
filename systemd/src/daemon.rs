//! Daemons on a machine without systemd: each in a session of its own, known by a lock.
//!
//! A daemon holds a record lock on its file for as long as it lives. The kernel names the holder
//! and drops the lock with the process, so a stale file or a reused process id cannot mislead, and
//! children do not inherit it. What the file says is the stamp of what the daemon was started
//! with; a different stamp is a reason to start it anew.

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, read_to_string};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Why a daemon could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its log or lock file cannot be opened.
    #[error("open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process could not be made.
    #[error("start {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A signal did not reach it.
    #[error("stop process {pid}: {source}")]
    Signal {
        /// The process.
        pid: i32,
        /// What the kernel said.
        source: nix::Error,
    },
    /// It outlived SIGKILL, which only a process stuck in the kernel does.
    #[error("process {pid} is still there {seconds} s after SIGKILL: is it stuck in the kernel?")]
    Stuck {
        /// The process.
        pid: i32,
        /// How long we waited.
        seconds: u64,
    },
    /// Another process took the lock first.
    #[error("{path} is locked: it runs already")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

/// A program to run for good.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the environment.
    pub env: Vec<(&'static str, OsString)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// The file that it holds a lock on while it lives.
    pub lock: PathBuf,
    /// What it was started with: another stamp means that it must be started anew.
    pub stamp: String,
}

/// A daemon that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its process.
    pub pid: i32,
    /// The stamp it was started with.
    pub stamp: String,
}

/// The daemon which holds the lock on `path`, if one does.
#[must_use]
pub fn running(path: &Path) -> Option<Running> {
    let file = File::open(path).ok()?;
    let mut wanted = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).ok()?,
        l_whence: i16::try_from(nix::libc::SEEK_SET).ok()?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut wanted)).ok()?;
    let free = i32::from(wanted.l_type) == nix::libc::F_UNLCK;
    let stamp = read_to_string(path).unwrap_or_default();
    (!free).then_some(Running {
        pid: wanted.l_pid,
        stamp,
    })
}

/// Starts `daemon` in a session of its own. `own` is this very binary, which becomes the daemon.
///
/// # Errors
/// When its log cannot be opened or the process not be made.
pub fn start(own: &Path, daemon: &Daemon) -> Result<(), DaemonError> {
    let log = append(&daemon.log)?;
    let errors = log
        .try_clone()
        .map_err(|source| open_error(&daemon.log, source))?;
    Command::new(own)
        .arg("__session")
        .args([
            daemon.lock.as_os_str(),
            daemon.stamp.as_ref(),
            daemon.program.as_os_str(),
        ])
        .args(&daemon.args)
        .envs(daemon.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map(drop)
        .map_err(|source| DaemonError::Spawn {
            program: daemon.program.clone(),
            source,
        })
}

/// The other half of [`start`], in the new process: a session, the lock, then the program itself.
/// Comes back only when that failed. `args` are the lock file, the stamp, the program, its arguments.
///
/// # Errors
/// Always the reason why the program does not run.
pub fn become_daemon(args: &[OsString]) -> DaemonError {
    let [lock, stamp, program, rest @ ..] = args else {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        return DaemonError::Spawn {
            program: PathBuf::new(),
            source,
        };
    };
    // A process that leads its group already (a shell made it so) is apart enough.
    let _ = setsid();
    match hold(Path::new(lock), stamp) {
        Ok(_held) => {
            let source = Command::new(program).args(rest).exec();
            DaemonError::Spawn {
                program: program.into(),
                source,
            }
        }
        Err(error) => error,
    }
}

/// Locks `path` until this process ends, through whatever program it becomes.
fn hold(path: &Path, stamp: &OsString) -> Result<File, DaemonError> {
    let open = |source| open_error(path, source);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(open)?;
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |_| DaemonError::Locked {
            path: path.to_owned(),
        },
    )?;
    fcntl_setfd(&file, FdFlags::empty()).map_err(|errno| open(errno.into()))?;
    file.set_len(0).map_err(open)?;
    file.write_all(stamp.as_encoded_bytes()).map_err(open)?;
    Ok(file)
}

/// Asks process `pid` to end, and kills it when it has not within `grace`.
///
/// # Errors
/// When it cannot be signalled, or is still there after the kill.
pub fn stop(pid: i32, grace: Duration) -> Result<(), DaemonError> {
    const AFTER_KILL: Duration = Duration::from_secs(5);
    let Some(handle) = rustix::process::Pid::from_raw(pid) else {
        return Ok(());
    };
    let Ok(handle) = rustix::process::pidfd_open(handle, rustix::process::PidfdFlags::empty())
    else {
        return Ok(());
    };
    signal(pid, Signal::SIGTERM)?;
    if ends_within(&handle, grace) {
        return Ok(());
    }
    signal(pid, Signal::SIGKILL)?;
    if ends_within(&handle, AFTER_KILL) {
        return Ok(());
    }
    Err(DaemonError::Stuck {
        pid,
        seconds: AFTER_KILL.as_secs(),
    })
}

fn signal(pid: i32, signal: Signal) -> Result<(), DaemonError> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(source) => Err(DaemonError::Signal { pid, source }),
    }
}

fn ends_within(process: &impl std::os::fd::AsFd, limit: Duration) -> bool {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut wait = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut wait, Some(&limit)), Ok(1..))
}

fn append(path: &Path) -> Result<File, DaemonError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| open_error(path, source))
}

fn open_error(path: &Path, source: io::Error) -> DaemonError {
    DaemonError::Open {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_file_has_no_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        assert_eq!(running(&path), None);
        std::fs::write(&path, "left by a crash").unwrap();
        assert_eq!(running(&path), None);
    }

    #[test]
    fn stops_what_ignores_the_request() {
        let mut stubborn = Command::new("sh")
            .args(["-c", "trap '' TERM; while :; do read x; done"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(stubborn.id()).unwrap();
        stop(pid, Duration::from_millis(50)).unwrap();
        assert!(!stubborn.wait().unwrap().success());
        stop(pid, Duration::ZERO).unwrap();
    }
}
