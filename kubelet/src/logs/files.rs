//! The directories and links of logs: made before a container starts, removed after it is gone.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::layout::next_instance;

/// Why a log's surroundings are not as they should be.
#[derive(Debug, thiserror::Error)]
#[error("failed to {step} {path:?}: {source}")]
pub struct LogFileError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The first instance number that no log in the container's directory bears; 0 if the directory
/// does not exist.
pub fn first_unused_instance(container_directory: &Path) -> Result<u32, LogFileError> {
    let failed = failed("list", container_directory);
    let entries = match fs::read_dir(container_directory) {
        Ok(entries) => entries,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(failed(source)),
    };
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    Ok(next_instance(names.iter().map(String::as_str)))
}

/// Makes `link` point to `log`, whatever it was before.
pub fn place_link(link: &Path, log: &Path) -> Result<(), LogFileError> {
    if fs::read_link(link).is_ok_and(|target| target == log) {
        return Ok(());
    }
    if let Some(directory) = link.parent() {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
    }
    remove_link(link)?;
    symlink(log, link).map_err(failed("link", link))
}

/// Removes a link; one that is gone is fine.
pub fn remove_link(link: &Path) -> Result<(), LogFileError> {
    ignore_enoent(fs::remove_file(link)).map_err(failed("remove", link))
}

/// Removes the links of `directory` whose log is gone; returns how many, and what went wrong.
pub fn remove_dangling_links(directory: &Path) -> (usize, Vec<LogFileError>) {
    let (mut removed, mut failures) = (0, Vec::new());
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let dangling = path.is_symlink()
            && fs::metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if !dangling {
            continue;
        }
        match remove_link(&path) {
            Ok(()) => removed += 1,
            Err(failure) => failures.push(failure),
        }
    }
    (removed, failures)
}

/// Removes one instance's log and what was rotated from it.
pub fn remove_instance(log: &Path) -> Result<(), LogFileError> {
    let directory = log.parent().unwrap_or(Path::new("/"));
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let rotated = format!("{name}.");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found == name || found.starts_with(&rotated) {
            let path = entry.path();
            ignore_enoent(fs::remove_file(&path)).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes the log directory of a pod that is gone, with all in it.
pub fn remove_pod_directory(directory: &Path) -> Result<(), LogFileError> {
    ignore_enoent(fs::remove_dir_all(directory)).map_err(failed("remove", directory))
}

fn ignore_enoent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogFileError {
    let path = path.to_owned();
    move |source| LogFileError { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_placed_moved_and_swept() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("0.log");
        fs::write(&log, "x").unwrap();
        let link = root.path().join("containers/web_default_app-id.log");
        place_link(&link, Path::new("/nonexistent")).unwrap();
        place_link(&link, &log).unwrap();
        place_link(&link, &log).unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "x");
        let directory = link.parent().unwrap();
        assert_eq!(remove_dangling_links(directory).0, 0);
        fs::remove_file(&log).unwrap();
        assert_eq!(remove_dangling_links(directory).0, 1);
        assert!(!link.is_symlink());
        remove_link(&link).unwrap();
    }

    #[test]
    fn instances_count_on_and_go_with_their_rotated_files() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("ns_pod_uid/app");
        assert_eq!(first_unused_instance(&directory).unwrap(), 0);
        fs::create_dir_all(&directory).unwrap();
        for name in ["0.log", "0.log.20260101-000000.gz", "1.log"] {
            fs::write(directory.join(name), "x").unwrap();
        }
        assert_eq!(first_unused_instance(&directory).unwrap(), 2);
        remove_instance(&directory.join("0.log")).unwrap();
        let left: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        remove_pod_directory(&root.path().join("ns_pod_uid")).unwrap();
        remove_pod_directory(&root.path().join("ns_pod_uid")).unwrap();
    }
}
