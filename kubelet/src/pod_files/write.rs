//! Puts a pod's files on disk. Decides nothing about their content. Every call may be repeated
//! after a crash at any point.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::layout::Paths;

/// A step on one of the pod's own files failed.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}: {source}", path.display())]
pub struct PodFileError {
    /// What was tried, for example `create pod directory`.
    pub step: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PodFileError {
    let path = path.to_owned();
    move |source| PodFileError { step, path, source }
}

/// Makes `ROOT/pods/UID` with its `volumes` and `plugins` directories, mode 0750.
///
/// # Errors
/// The directory that could not be made.
pub fn create_pod_dir(paths: &Paths, uid: &str) -> Result<(), PodFileError> {
    let pod = paths.pod(uid);
    for dir in [pod.clone(), paths.volumes(uid), pod.join("plugins")] {
        make_dir("create pod directory", &dir)?;
    }
    Ok(())
}

/// Makes the directory of one container instance and its empty termination log, mode 0666 so
/// that any user in the container can write it; returns the log's path. A file that is there
/// already is kept: the instance may have written it.
///
/// # Errors
/// The file or directory that could not be made.
pub fn create_container_dir(
    paths: &Paths,
    uid: &str,
    container: &str,
    restarts: u32,
) -> Result<PathBuf, PodFileError> {
    make_dir(
        "create container directory",
        &paths.container(uid, container),
    )?;
    prune_logs(&paths.container(uid, container), restarts);
    let log = paths.termination_log(uid, container, restarts);
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .mode(0o666)
        .custom_flags(libc::O_NOFOLLOW);
    options
        .open(&log)
        .map_err(failed("create termination log", &log))?;
    fs::set_permissions(&log, Permissions::from_mode(0o666))
        .map_err(failed("set mode of termination log", &log))?;
    Ok(log)
}

/// Instances whose termination log is kept.
const KEPT_LOGS: u32 = 5;

/// Removes logs of instances long gone: a container that crashes for a year leaves no year of
/// files. What cannot be removed goes with the pod.
fn prune_logs(dir: &Path, restarts: u32) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let number = |name: &OsStr| name.to_str().and_then(|name| name.parse::<u32>().ok());
    for entry in entries {
        let old =
            number(&entry.file_name()).is_some_and(|n| n.saturating_add(KEPT_LOGS) <= restarts);
        if old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes the pod's `/etc/hosts`, mode 0644. The file keeps its inode, because running
/// containers have it bind-mounted, and is left alone when it already says the same.
///
/// # Errors
/// The step that failed.
pub fn write_hosts(paths: &Paths, uid: &str, content: &[u8]) -> Result<PathBuf, PodFileError> {
    let path = paths.hosts(uid);
    if fs::read(&path).is_ok_and(|have| have == content) {
        return Ok(path);
    }
    let mut options = OpenOptions::new();
    options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW);
    let mut file = options
        .open(&path)
        .map_err(failed("open hosts file", &path))?;
    file.set_permissions(Permissions::from_mode(0o644))
        .map_err(failed("set mode of hosts file", &path))?;
    file.write_all(content)
        .map_err(failed("write hosts file", &path))?;
    Ok(path)
}

/// The last `limit` bytes of a file; empty when there is no such file. Follows no symlink, and
/// reads nothing but a regular file: the container chose what lies there.
///
/// # Errors
/// The step that failed.
pub fn read_tail(path: &Path, limit: usize) -> Result<Vec<u8>, PodFileError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => tail_of(file, limit).map_err(failed("read", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("open", path)(error)),
    }
}

fn tail_of(mut file: File, limit: usize) -> io::Result<Vec<u8>> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(meta.len().saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn make_dir(step: &'static str, path: &Path) -> Result<(), PodFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(failed(step, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn the_hosts_file_keeps_its_inode() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        create_pod_dir(&paths, "u1").unwrap();
        let path = write_hosts(&paths, "u1", b"one, longer\n").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        write_hosts(&paths, "u1", b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_termination_log_survives_a_second_call() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        let log = create_container_dir(&paths, "u1", "app", 0).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o666);
        fs::write(&log, "last words").unwrap();
        assert_eq!(create_container_dir(&paths, "u1", "app", 0).unwrap(), log);
        assert_eq!(read_tail(&log, 5).unwrap(), b"words");
        assert_eq!(read_tail(&log, 4096).unwrap(), b"last words");
    }

    #[test]
    fn old_termination_logs_go() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path());
        for restarts in 0..20 {
            create_container_dir(&paths, "u1", "app", restarts).unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(paths.container("u1", "app"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["15", "16", "17", "18", "19"]);
    }

    #[test]
    fn tails_of_what_is_no_plain_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read_tail(&root.path().join("none"), 10).unwrap(), b"");
        assert!(read_tail(root.path(), 10).is_err());
        let link = root.path().join("link");
        symlink("/etc/passwd", &link).unwrap();
        let error = read_tail(&link, 10).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(libc::ELOOP));
    }
}
