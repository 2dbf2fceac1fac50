//! What survives a restart of the agent: per accepted pod its manifest and its memory.
//!
//! `STATE/pods/UID.json`, written by temporary file, fsync and rename. Times in it are in the clock
//! since boot, so the boot id goes with them: after a reboot they are set anew.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::model::{DesiredPod, Now, PodMemory, PodOrigin, PodUid};

/// What a checkpoint brings back.
type Saved = (DesiredPod, PodMemory);

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The state directory can't be used.
    #[error("{step} {path}: {source} (is the state directory writable and the disk not full?)")]
    File {
        /// What was tried.
        step: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("checkpoint {path} is damaged: {source} (the pod is taken from its source again)")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// Another agent holds the state directory.
    #[error("another kubelet (pid {holder}) uses {path}; stop it or choose another --state-dir")]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// Its process id, as the lock file tells it.
        holder: String,
    },
}

/// One pod's record on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Boot during which `memory` was written.
    pub boot_id: Arc<str>,
    /// Where the pod came from.
    pub origin: PodOrigin,
    /// Its manifest.
    pub pod: Arc<Pod>,
    /// Its memory.
    pub memory: PodMemory,
}

/// The state directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    pods: PathBuf,
    boot_id: Arc<str>,
    _lock: fs::File,
}

impl Store {
    /// Opens the directory and locks it.
    ///
    /// # Errors
    /// [`CheckpointError::Locked`] when another process holds it, [`CheckpointError::File`] when it
    /// can't be made or written.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let pods = dir.join("pods");
        fs::create_dir_all(&pods).map_err(|e| file("create directory", &pods, e))?;
        let lock = hold_lock(dir)?;
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let boot_id = fs::read_to_string(path).map_err(|e| file("read", path, e))?;
        Ok(Self {
            pods,
            boot_id: boot_id.trim().into(),
            _lock: lock,
        })
    }

    /// The id of this boot.
    #[must_use]
    pub fn boot_id(&self) -> Arc<str> {
        self.boot_id.clone()
    }

    /// Every record, and what could not be read. A memory from an earlier boot forgets what ended
    /// with it: back-offs, probes, kills.
    ///
    /// # Errors
    /// [`CheckpointError::File`] when the directory itself can't be read.
    pub fn load(&self, now: Now) -> Result<(Vec<Saved>, Vec<CheckpointError>), CheckpointError> {
        let entries =
            fs::read_dir(&self.pods).map_err(|e| file("read directory", &self.pods, e))?;
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            match self.load_one(&path, now) {
                Ok(record) => good.push(record),
                Err(error) => bad.push(error),
            }
        }
        Ok((good, bad))
    }

    fn load_one(&self, path: &Path, now: Now) -> Result<Saved, CheckpointError> {
        let bytes = fs::read(path).map_err(|e| file("read", path, e))?;
        let record: Record =
            serde_json::from_slice(&bytes).map_err(|source| CheckpointError::Damaged {
                path: path.to_owned(),
                source,
            })?;
        let uid = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut memory = record.memory;
        if record.boot_id != self.boot_id {
            memory.after_reboot(now);
        }
        Ok((
            DesiredPod {
                uid: PodUid::from(uid.as_ref()),
                pod: record.pod,
                origin: record.origin,
            },
            memory,
        ))
    }

    /// Writes one record; durable when it returns.
    ///
    /// # Errors
    /// [`CheckpointError::File`].
    pub fn save(&self, uid: &PodUid, record: &Record) -> Result<(), CheckpointError> {
        let path = self.path(uid);
        let bytes =
            serde_json::to_vec(record).map_err(|e| file("encode", &path, io::Error::other(e)))?;
        replace_file(&path, &bytes).map_err(|e| file("write", &path, e))
    }

    /// Removes one record; that it is gone already is fine.
    ///
    /// # Errors
    /// [`CheckpointError::File`].
    pub fn remove(&self, uid: &PodUid) -> Result<(), CheckpointError> {
        let path = self.path(uid);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, uid: &PodUid) -> PathBuf {
        self.pods.join(format!("{uid}.json"))
    }
}

fn file(step: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::File {
        step,
        path: path.to_owned(),
        source,
    }
}

/// Replaces a file as a whole: readers see the old or the new content, and after a crash too.
///
/// # Errors
/// What the kernel said.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let placed = write_durably(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = placed {
        // A full disk needs the room; that it can't be removed either adds nothing.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

fn hold_lock(dir: &Path) -> Result<fs::File, CheckpointError> {
    use rustix::fs::{FlockOperation, flock};

    let path = dir.join("lock");
    let mut lock = fs::File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|e| file("open", &path, e))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(&path)
                .unwrap_or_default()
                .trim()
                .to_owned();
            return Err(CheckpointError::Locked {
                path: dir.to_owned(),
                holder,
            });
        }
        Err(error) => return Err(file("lock", &path, error.into())),
    }
    // Only tells people who holds it: a full disk is no reason not to start.
    drop(lock.set_len(0));
    drop(writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::Mono;

    const NOW: Now = Now {
        mono: Mono(100),
        wall: Timestamp::UNIX_EPOCH,
    };

    fn record(boot_id: &str) -> Record {
        let mut memory = PodMemory::default();
        let container = memory.containers.entry("web".into()).or_default();
        container.restarts = 3;
        container.crash_backoff.until = Mono(9000);
        Record {
            boot_id: boot_id.into(),
            origin: PodOrigin::File("/m/web.yaml".into()),
            pod: Arc::default(),
            memory,
        }
    }

    #[test]
    fn a_second_agent_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn memory_outlives_a_restart_but_not_a_reboot() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .save(&"same".into(), &record(&store.boot_id()))
            .unwrap();
        store
            .save(&"earlier".into(), &record("another boot"))
            .unwrap();
        let (records, bad) = store.load(NOW).unwrap();
        assert!(bad.is_empty());
        for (pod, memory) in records {
            let container = &memory.containers["web"];
            assert_eq!(container.restarts, 3, "{}", pod.uid);
            let waits = container.crash_backoff.until == Mono(9000);
            assert_eq!(waits, pod.uid.as_str() == "same", "{}", pod.uid);
        }
    }

    #[test]
    fn a_damaged_record_is_reported_and_the_rest_loads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .save(&"good".into(), &record(&store.boot_id()))
            .unwrap();
        fs::write(dir.path().join("pods/bad.json"), b"{\"boot").unwrap();
        let (records, bad) = store.load(NOW).unwrap();
        assert_eq!((records.len(), bad.len()), (1, 1));
        assert!(bad[0].to_string().contains("bad.json"));
        store.remove(&"good".into()).unwrap();
        store.remove(&"good".into()).unwrap();
    }
}
