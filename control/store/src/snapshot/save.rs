//! Takes snapshots: of an embedded store that nobody has open, of one that a server has, of an etcd
//! cluster. The file appears under its name when it is whole and on disk. It must not know the
//! format's bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Error, Summary, Writer, verify};
use crate::Error as StoreError;
use crate::embedded::{EmbeddedStore, Options};
use crate::etcd::EtcdStore;

/// How long a client of the socket may take for the next piece.
const PATIENCE: Duration = Duration::from_secs(30);

/// Saves the embedded store in `folder` to `target`; a server that has it open does it itself.
///
/// # Errors
/// When there is no store, when it can't be read, when `target` exists.
pub fn save_embedded(folder: &Path, target: &Path) -> Result<Summary, Error> {
    let path = crate::embedded::file_of(folder);
    fs::metadata(&path).map_err(|source| file_error("opening", &path, source))?;
    match EmbeddedStore::open(folder, Options::default()) {
        Ok(store) => draft(target, |out| store.write_snapshot(out)),
        Err(StoreError::Locked { .. }) => draft(target, |out| fetch(folder, out)),
        Err(other) => Err(other.into()),
    }
}

/// Saves what an etcd cluster holds under `/registry/` to `target`.
///
/// # Errors
/// When it can't be read, when `target` exists.
pub async fn save_etcd(store: &EtcdStore, target: &Path) -> Result<Summary, Error> {
    let (out, path) = begin(target)?;
    let mut out = BufWriter::new(out);
    let written = store.write_snapshot(&mut out, target).await;
    written
        .and_then(|_| finish(out, &path, target))
        .inspect_err(|_| drop(fs::remove_file(&path)))
}

/// Copies what the server which has `folder` sends.
fn fetch(folder: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let path = socket(folder);
    let failed = |source| {
        file_error(
            "asking the server that has the store through",
            &path,
            source,
        )
    };
    let mut server = UnixStream::connect(&path).map_err(failed)?;
    server.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    io::copy(&mut server, out).map_err(failed)?;
    Ok(())
}

/// Writes to a file beside `target`, checks it, and gives it its name.
fn draft(
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let (out, path) = begin(target)?;
    let mut out = BufWriter::new(out);
    let written = write(&mut out);
    written
        .and_then(|()| finish(out, &path, target))
        .inspect_err(|_| drop(fs::remove_file(&path)))
}

fn begin(target: &Path) -> Result<(File, PathBuf), Error> {
    if target.exists() {
        return Err(Error::Exists {
            path: target.to_owned(),
        });
    }
    let mut path = target.as_os_str().to_owned();
    path.push(format!(".{}.part", std::process::id()));
    let path = PathBuf::from(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options
        .open(&path)
        .map_err(|source| file_error("writing", &path, source))?;
    Ok((file, path))
}

fn finish(mut out: BufWriter<File>, path: &Path, target: &Path) -> Result<Summary, Error> {
    let failed = |source| file_error("writing", path, source);
    out.flush().map_err(failed)?;
    out.get_ref().sync_all().map_err(failed)?;
    let summary = verify(path)?;
    fs::rename(path, target).map_err(failed)?;
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    folder.sync_all().map_err(failed)?;
    Ok(summary)
}

/// Where a server with the store of `folder` sends snapshots to who connects.
fn socket(folder: &Path) -> PathBuf {
    folder.join("snapshot.sock")
}

/// A thread that sends a snapshot to everyone who connects; it ends with the value.
pub struct Listener {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens in `folder`, which the process has locked; only its user may connect. `failed` is
    /// told when a snapshot could not be sent.
    pub(crate) fn start(
        folder: &Path,
        mut send: impl FnMut(&mut dyn Write) -> Result<(), Error> + Send + 'static,
        failed: impl Fn(&Error) + Send + 'static,
    ) -> Result<Self, Error> {
        let path = socket(folder);
        // What is there was left behind by a process that is gone: the folder is locked.
        let _ = fs::remove_file(&path);
        let wrong = |source| file_error("listening on", &path, source);
        let listener = UnixListener::bind(&path).map_err(wrong)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(wrong)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (told, at) = (Arc::clone(&ended), path.clone());
        let body = move || {
            for stream in listener.incoming() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                let sent = stream
                    .and_then(|stream| stream.set_write_timeout(Some(PATIENCE)).map(|()| stream))
                    .map_err(|source| file_error("sending to", &at, source));
                if let Err(error) = sent.and_then(|stream| send(&mut BufWriter::new(stream))) {
                    failed(&error);
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-snapshot".to_owned());
        let thread = Some(thread.spawn(body).map_err(wrong)?);
        Ok(Self {
            path,
            ended,
            thread,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread, which waits for a connection.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

impl EmbeddedStore {
    /// Sends a snapshot to whoever of this user connects to `snapshot.sock` in the folder, which is
    /// how `keelson snapshot save` gets one while the server runs. `failed` is told when that went
    /// wrong. It ends with the store.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn serve_snapshots(&self, failed: impl Fn(&Error) + Send + 'static) -> Result<(), Error> {
        let folder = self.path().parent().unwrap_or(Path::new("."));
        let source = self.snapshot_source();
        let listener = Listener::start(folder, move |out| source.write(out), failed)?;
        self.keep(listener);
        Ok(())
    }

    /// Writes all keys as of now, while others read and write.
    ///
    /// # Errors
    /// When `out` fails or the store can't be read.
    pub fn write_snapshot(&self, out: &mut dyn Write) -> Result<(), Error> {
        self.snapshot_source().write(out)
    }
}

impl crate::embedded::SnapshotSource {
    /// Writes all keys as of now.
    fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let view = self.view()?;
        let broken = |source| file_error("writing a snapshot of", self.path(), source);
        let mut writer = Writer::begin(out, view.revision).map_err(broken)?;
        let mut failed = None;
        let read = view.for_each(|revision, record| {
            let numbers = [record.create, revision, record.version, record.expires];
            writer
                .add(record.key, record.value, numbers)
                .map_err(|error| {
                    let text = error.to_string();
                    failed = Some(error);
                    text
                })
        });
        if let Some(error) = failed {
            return Err(broken(error));
        }
        read?;
        writer.finish().map(drop).map_err(broken)
    }
}

pub(super) fn file_error(step: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        step,
        path: path.to_owned(),
        source,
    }
}
