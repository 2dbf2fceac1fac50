//! Files that are written whole or not at all, and only when they differ.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Why a file is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("{act} {path}: {source}")]
pub struct FileError {
    /// What was being done.
    pub act: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

/// Makes a folder and those above it.
///
/// # Errors
/// When the kernel refuses; the path is named.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

/// Has `content` in `path`; true when it was not there before.
///
/// # Errors
/// When the kernel refuses; the path is named.
pub fn put(path: &Path, content: &[u8], mode: u32) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    write_new(&new, content, mode)?;
    fs::rename(&new, path).map_err(failed("rename", path))?;
    Ok(true)
}

/// Writes a file that nobody saw before it had its permissions.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    forget(path)?;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("create", path))?;
    // The umask took its part of the mode.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed("chmod", path))?;
    file.write_all(content).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Has a link at `path` that says `target`; true when it was not there before.
///
/// # Errors
/// When the kernel refuses; the path is named.
pub fn put_link(path: &Path, target: &str) -> Result<bool, FileError> {
    if fs::read_link(path).is_ok_and(|there| there == Path::new(target)) {
        return Ok(false);
    }
    forget(path)?;
    symlink(target, path).map_err(failed("link", path))?;
    Ok(true)
}

/// Removes a file, or a folder with all below it, unless it is gone already.
///
/// # Errors
/// When the kernel refuses; the path is named.
pub fn forget(path: &Path) -> Result<(), FileError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { act, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whether_anything_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert!(put(&path, b"1", 0o600).unwrap());
        assert!(!put(&path, b"1", 0o600).unwrap());
        assert!(put(&path, b"2", 0o755).unwrap());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );

        let link = folder.path().join("l");
        assert!(put_link(&link, "x").unwrap());
        assert!(!put_link(&link, "x").unwrap());
        assert!(put_link(&link, "y").unwrap());

        forget(folder.path()).unwrap();
        forget(folder.path()).unwrap();
        assert!(!folder.path().exists());
    }
}
