//! Looks at paths that may lie on a file server without ever hanging with it. A path on local
//! file systems is looked at directly. Any other is given to a child, this program again under
//! the name [`PROBE_NAME`], which is killed at a deadline; a child stuck in the kernel is left
//! behind and reaped when the server lets it go.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::mountinfo::{self, MountEntry};

/// First argument under which the multi-call binary runs [`probe_main`].
pub const PROBE_NAME: &str = "__volume-probe";
/// How long a file server may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is asked about a path. Symlinks are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// What is there?
    Look,
    /// The same, after making the directory and its parents, mode 0755, if nothing is there.
    MakeDirectory,
    /// The same, after making an empty file, mode 0644, if nothing is there.
    MakeFile,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Found {
    Nothing,
    Directory,
    File,
    Socket,
    CharDevice,
    BlockDevice,
    Pipe,
}

const REQUESTS: [(Request, &str); 3] = [
    (Request::Look, "look"),
    (Request::MakeDirectory, "make-directory"),
    (Request::MakeFile, "make-file"),
];

const FOUND: [(Found, &str); 7] = [
    (Found::Nothing, "nothing"),
    (Found::Directory, "directory"),
    (Found::File, "file"),
    (Found::Socket, "socket file"),
    (Found::CharDevice, "character device"),
    (Found::BlockDevice, "block device"),
    (Found::Pipe, "pipe"),
];

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(&FOUND, *self))
    }
}

fn word<T: PartialEq + Copy>(table: &[(T, &'static str)], value: T) -> &'static str {
    table
        .iter()
        .find(|(key, _)| *key == value)
        .map_or("", |(_, word)| word)
}

fn value<T: Copy>(table: &[(T, &'static str)], text: &str) -> Option<T> {
    table
        .iter()
        .find(|(_, word)| *word == text)
        .map(|(key, _)| *key)
}

/// Children that did not die when they were killed.
static ABANDONED: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Answers `request` about `path`, directly or through a child.
///
/// # Errors
/// What the kernel says, or `TimedOut` when the file server does not answer.
pub fn ask(request: Request, path: &Path, table: &[MountEntry]) -> io::Result<Found> {
    if !mountinfo::may_block(table, path, |p| fs::read_link(p).ok()) {
        return look(request, path);
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(PROBE_NAME)
        .arg(word(&REQUESTS, request))
        .arg(path);
    parse_reply(&run(command, DEADLINE)?)
}

/// Runs a command to its end and returns what it printed, at most 4 KiB; kills it at the
/// deadline.
fn run(mut command: Command, deadline: Duration) -> io::Result<String> {
    ABANDONED
        .lock()
        .retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let Some(stdout) = child.stdout.take() else {
        return Err(io::Error::other("the probe has no output"));
    };
    if !is_ready(&stdout, deadline)? {
        let _ = child.kill();
        ABANDONED.lock().push(child);
        return Err(io::Error::from(io::ErrorKind::TimedOut));
    }
    let mut reply = String::new();
    stdout.take(4096).read_to_string(&mut reply)?;
    child.wait()?;
    Ok(reply)
}

/// Waits until the output can be read or has ended. A probe prints once and ends, so what comes
/// after the first byte does not block.
fn is_ready(output: &impl AsFd, deadline: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(deadline).map_err(io::Error::other)?;
    loop {
        let mut polled = [PollFd::new(output, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn parse_reply(reply: &str) -> io::Result<Found> {
    if let Some(found) = value(&FOUND, reply) {
        return Ok(found);
    }
    let errno = reply
        .strip_prefix("errno ")
        .and_then(|number| number.parse().ok());
    Err(errno.map_or_else(
        || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the probe ended without an answer",
            )
        },
        io::Error::from_raw_os_error,
    ))
}

/// The child: answers one request on standard output. `args` is what follows [`PROBE_NAME`].
pub fn probe_main(args: &[std::ffi::OsString]) -> ExitCode {
    let request = args
        .first()
        .and_then(|a| a.to_str())
        .and_then(|text| value(&REQUESTS, text));
    let (Some(request), Some(path)) = (request, args.get(1)) else {
        return ExitCode::from(2);
    };
    let reply = match look(request, &PathBuf::from(path)) {
        Ok(found) => found.to_string(),
        Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(libc::EIO)),
    };
    match io::Write::write_all(&mut io::stdout(), reply.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn look(request: Request, path: &Path) -> io::Result<Found> {
    let found = kind(path)?;
    if found != Found::Nothing {
        return Ok(found);
    }
    match request {
        Request::Look => return Ok(Found::Nothing),
        Request::MakeDirectory => DirBuilder::new().recursive(true).mode(0o755).create(path)?,
        Request::MakeFile => {
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o644)
                .open(path)?;
        }
    }
    kind(path)
}

fn kind(path: &Path) -> io::Result<Found> {
    let file_type = match fs::metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    Ok(match file_type {
        t if t.is_dir() => Found::Directory,
        t if t.is_socket() => Found::Socket,
        t if t.is_char_device() => Found::CharDevice,
        t if t.is_block_device() => Found::BlockDevice,
        t if t.is_fifo() => Found::Pipe,
        _ => Found::File,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        for (found, word) in FOUND {
            assert_eq!(parse_reply(word).unwrap(), found);
        }
        assert_eq!(
            parse_reply("errno 116").unwrap_err().raw_os_error(),
            Some(libc::ESTALE)
        );
        assert_eq!(
            parse_reply("").unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn a_child_that_hangs_is_killed_and_reaped_later() {
        let mut hangs = Command::new("sleep");
        hangs.arg("1000");
        let error = run(hangs, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut child = ABANDONED.lock().pop().unwrap();
        assert!(!child.wait().unwrap().success());
        let mut answers = Command::new("printf");
        answers.arg("directory");
        let reply = run(answers, Duration::from_secs(20)).unwrap();
        assert_eq!(parse_reply(&reply).unwrap(), Found::Directory);
    }

    #[test]
    fn a_probe_needs_a_request_and_a_path() {
        assert_eq!(probe_main(&["look".into()]), ExitCode::from(2));
        assert_eq!(probe_main(&["?".into(), "/".into()]), ExitCode::from(2));
    }
}
