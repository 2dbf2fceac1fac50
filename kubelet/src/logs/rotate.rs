//! The files of one rotation: removed, renamed, compressed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::plan::{COMPRESSED, RotationPolicy, TEMPORARY, rotation};

/// Niceness of compression: everything else goes first.
const NICENESS: i32 = 19;

/// Why a log was not rotated or compressed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {step} {path:?}: {source}")]
pub struct RotateError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A log that got out of the way of its successor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) log: PathBuf,
    pub(super) rotated: PathBuf,
    pub(super) compress: Vec<PathBuf>,
}

/// Makes room and renames the log. The runtime must then be told to open it anew.
pub(super) fn rename_away(
    log: &Path,
    policy: &RotationPolicy,
    now: Timestamp,
) -> Result<Renamed, RotateError> {
    let directory = log.parent().unwrap_or(Path::new("/"));
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    let existing = names(directory).map_err(failed("list", directory))?;
    let plan = rotation(&name, &existing, policy, now);
    for name in &plan.remove {
        let path = directory.join(name);
        remove_file_ignore_enoent(&path).map_err(failed("remove", &path))?;
    }
    let rotated = directory.join(&plan.rotated);
    fs::rename(log, &rotated).map_err(failed("rename", log))?;
    Ok(Renamed {
        log: log.to_owned(),
        rotated,
        compress: plan
            .compress
            .iter()
            .map(|name| directory.join(name))
            .collect(),
    })
}

/// Gives the log its name back after the runtime refused to open it anew.
pub(super) fn rename_back(renamed: &Renamed) -> Result<(), RotateError> {
    fs::rename(&renamed.rotated, &renamed.log).map_err(failed("rename back", &renamed.rotated))
}

/// Compresses on a thread of its own that yields to everybody; returns when it is done.
pub(super) async fn compress(paths: Vec<PathBuf>) -> Vec<RotateError> {
    let (done, waiting) = tokio::sync::oneshot::channel();
    let work = move || {
        // Without the right to be nicer, compression is merely less polite.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let failures = paths.iter().filter_map(|path| compress_one(path).err());
        let _ = done.send(failures.collect());
    };
    let thread = std::thread::Builder::new().name("log-compress".into());
    match thread.spawn(work) {
        Ok(_) => waiting.await.unwrap_or_default(),
        Err(source) => vec![failed("start a thread for", Path::new("compression"))(
            source,
        )],
    }
}

fn compress_one(path: &Path) -> Result<(), RotateError> {
    let temporary = suffixed(path, TEMPORARY);
    let written = write_compressed(path, &temporary)
        .and_then(|()| fs::rename(&temporary, suffixed(path, COMPRESSED)))
        .and_then(|()| fs::remove_file(path));
    match written {
        // Removed by a later rotation while we read it.
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => {
            // The next rotation removes what cannot be removed now.
            let _ = fs::remove_file(&temporary);
            Err(failed("compress", path)(source))
        }
        Ok(()) => Ok(()),
    }
}

fn write_compressed(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mode = source.metadata()?.permissions().mode();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let mut encoder = GzEncoder::new(options.open(to)?, Compression::default());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = directory.read_dir()?;
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    entries
        .filter_map(|entry| name(entry).transpose())
        .collect()
}

fn remove_file_ignore_enoent(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RotateError {
    let path = path.to_owned();
    move |source| RotateError { step, path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn compressed_logs_read_back_and_keep_their_mode() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log.20260101-000000");
        let text = "some line\n".repeat(10_000);
        fs::write(&log, &text).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
        let gone = directory.path().join("0.log.20250101-000000");
        assert!(compress(vec![log.clone(), gone]).await.is_empty());
        let compressed = suffixed(&log, COMPRESSED);
        assert_eq!(names(directory.path()).unwrap().len(), 1);
        let mode = compressed.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let mut seen = String::new();
        let mut decoder = flate2::read::GzDecoder::new(File::open(&compressed).unwrap());
        decoder.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, text);
    }

    #[test]
    fn a_rename_can_be_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log");
        fs::write(&log, "x").unwrap();
        let policy = RotationPolicy {
            max_size: 1,
            max_files: 5,
        };
        let renamed = rename_away(&log, &policy, Timestamp::UNIX_EPOCH).unwrap();
        assert!(!log.exists() && renamed.rotated.ends_with("0.log.19700101-000000"));
        rename_back(&renamed).unwrap();
        assert_eq!(names(directory.path()).unwrap(), ["0.log"]);
    }
}
