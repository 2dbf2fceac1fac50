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

/// Removes the links of `directory` that lead to logs below `logs`; returns what went wrong.
pub fn remove_links_below(directory: &Path, logs: &Path) -> Vec<LogFileError> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let links = entries.map(|entry| entry.path());
    let ours = links.filter(|link| fs::read_link(link).is_ok_and(|log| log.starts_with(logs)));
    ours.filter_map(|link| remove_link(&link).err()).collect()
}

/// Removes the log that `link` leads to, where it lies below `logs`, then the link.
pub fn remove_linked(link: &Path, logs: &Path) -> Result<(), LogFileError> {
    match fs::read_link(link) {
        Ok(log) if log.starts_with(logs) => remove_instance(&log)?,
        _ => {}
    }
    remove_link(link)
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
        assert!(remove_links_below(directory, &root.path().join("other")).is_empty());
        assert!(link.is_symlink());
        assert!(remove_links_below(directory, root.path()).is_empty());
        assert!(!link.is_symlink());
        remove_link(&link).unwrap();
        assert!(remove_links_below(&root.path().join("none"), root.path()).is_empty());
    }

    #[test]
    fn a_log_goes_with_its_link_and_no_other_file_does() {
        let root = tempfile::tempdir().unwrap();
        let (logs, other) = (root.path().join("logs"), root.path().join("other.log"));
        fs::create_dir_all(&logs).unwrap();
        let log = logs.join("0.log");
        for file in [&log, &logs.join("0.log.20260101-000000.gz"), &other] {
            fs::write(file, "x").unwrap();
        }
        let link = root.path().join("link");
        place_link(&link, &log).unwrap();
        remove_linked(&link, &logs).unwrap();
        assert_eq!(fs::read_dir(&logs).unwrap().count(), 0);
        assert!(!link.is_symlink());
        place_link(&link, &other).unwrap();
        remove_linked(&link, &logs).unwrap();
        assert!(other.exists() && !link.is_symlink());
        remove_linked(&link, &logs).unwrap();
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
