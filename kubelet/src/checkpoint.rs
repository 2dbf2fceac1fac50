//! What survives a restart of the agent: per accepted pod its manifest and its memory.
//!
//! `STATE/pods/UID.json`, written by temporary file, fsync and rename. Times in it are in the clock
//! since boot, so the boot id goes with them: after a reboot they are set anew.
//!
//! The disk takes its time, so what must not be unsaid once it was told (a pod is ready) goes to
//! `STATE/pods/UID.now` first, without waiting for the disk: that survives the agent, not the boot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::model::{DesiredPod, Mono, Now, PodMemory, PodOrigin, PodUid};

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
    /// When during that boot.
    #[serde(default)]
    pub at: Mono,
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
    /// Of when the record is that was said last, by pod.
    said: Mutex<BTreeMap<PodUid, Mono>>,
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
            said: Mutex::default(),
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
        let names = entries.flatten().filter_map(|entry| uid_of(&entry.path()));
        let uids: BTreeSet<PodUid> = names.collect();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for uid in uids {
            match self.load_one(&uid) {
                Ok(Some(record)) => good.push(self.restored(uid, record, now)),
                Ok(None) => {}
                Err(error) => bad.push(error),
            }
        }
        Ok((good, bad))
    }

    /// The newer of a pod's two records; one that did not wait for the disk counts during its boot.
    fn load_one(&self, uid: &PodUid) -> Result<Option<Record>, CheckpointError> {
        let saved = read(&self.path(uid));
        let said = read(&self.said_path(uid)).ok().flatten();
        let said = said.filter(|record| record.boot_id == self.boot_id);
        match (saved, said) {
            (Ok(Some(saved)), Some(said)) => {
                let newer = saved.boot_id != self.boot_id || said.at >= saved.at;
                Ok(Some(if newer { said } else { saved }))
            }
            (Ok(None) | Err(_), Some(said)) => Ok(Some(said)),
            (saved, None) => saved,
        }
    }

    fn restored(&self, uid: PodUid, record: Record, now: Now) -> Saved {
        let mut memory = record.memory;
        if record.boot_id != self.boot_id {
            memory.after_reboot(now);
        }
        let (pod, origin) = (record.pod, record.origin);
        (DesiredPod { uid, pod, origin }, memory)
    }

    /// Writes one record at once, unless a newer one was: not durable, but there for the next agent.
    /// What does not succeed here is reported by [`Self::save`], which follows.
    pub fn say(&self, uid: &PodUid, record: &Record) {
        let mut said = self.said.lock();
        if said.get(uid).is_some_and(|newest| *newest > record.at) {
            return;
        }
        said.insert(uid.clone(), record.at);
        let (path, begun) = (self.said_path(uid), self.pods.join(format!("{uid}.begun")));
        let written = serde_json::to_vec(record)
            .map_err(io::Error::other)
            .and_then(|bytes| fs::write(&begun, bytes))
            .and_then(|()| fs::rename(&begun, path));
        if written.is_err() {
            drop(fs::remove_file(begun));
        }
    }

    /// Writes one record; durable once [`Self::settle`] was called.
    ///
    /// # Errors
    /// [`CheckpointError::File`].
    pub fn save(&self, uid: &PodUid, record: &Record) -> Result<(), CheckpointError> {
        let path = self.path(uid);
        let bytes =
            serde_json::to_vec(record).map_err(|e| file("encode", &path, io::Error::other(e)))?;
        place_file(&path, &bytes).map_err(|e| file("write", &path, e))
    }

    /// Makes what was saved and removed durable.
    ///
    /// # Errors
    /// [`CheckpointError::File`].
    pub fn settle(&self) -> Result<(), CheckpointError> {
        let synced = fs::File::open(&self.pods).and_then(|folder| folder.sync_all());
        synced.map_err(|e| file("write", &self.pods, e))
    }

    /// Removes one record; that it is gone already is fine.
    ///
    /// # Errors
    /// [`CheckpointError::File`].
    pub fn remove(&self, uid: &PodUid) -> Result<(), CheckpointError> {
        self.said.lock().remove(uid);
        for path in [self.said_path(uid), self.path(uid)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, uid: &PodUid) -> PathBuf {
        self.pods.join(format!("{uid}.json"))
    }

    fn said_path(&self, uid: &PodUid) -> PathBuf {
        self.pods.join(format!("{uid}.now"))
    }
}

/// The pod whose record this is, if it is one.
fn uid_of(path: &Path) -> Option<PodUid> {
    let kind = path.extension()?;
    let uid = path.file_stem()?.to_string_lossy();
    (kind == "json" || kind == "now").then(|| PodUid::from(uid.as_ref()))
}

fn read(path: &Path) -> Result<Option<Record>, CheckpointError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| file("read", path, e))?,
    };
    let record = serde_json::from_slice(&bytes);
    record.map_err(|source| CheckpointError::Damaged {
        path: path.to_owned(),
        source,
    })
}

fn file(step: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::File {
        step,
        path: path.to_owned(),
        source,
    }
}

/// Replaces a file as a whole: readers see the old or the new content, and after a crash too, once
/// the folder is durable.
///
/// # Errors
/// What the kernel said.
fn place_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let placed = write_durably(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = placed {
        // A full disk needs the room; that it can't be removed either adds nothing.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    Ok(())
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
            at: Mono(1),
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
    fn what_was_said_counts_until_what_was_saved_is_newer_or_the_boot_is_over() {
        let check = |saved: Option<(&str, Mono)>, said: Option<(&str, Mono)>, restarts: &[u32]| {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let at = |(boot, at): (&str, Mono), restarts| {
                let boot_id = store.boot_id();
                let mut record = record(if boot == "this" { &boot_id } else { boot });
                record.at = at;
                record.memory.container(&"web".into()).restarts = restarts;
                record
            };
            let uid = PodUid::from("a");
            if let Some(saved) = saved {
                store.save(&uid, &at(saved, 1)).unwrap();
            }
            if let Some(said) = said {
                store.say(&uid, &at(said, 2));
            }
            let (loaded, bad) = store.load(NOW).unwrap();
            assert!(bad.is_empty());
            let told = loaded
                .iter()
                .map(|(_, memory)| memory.containers["web"].restarts);
            assert_eq!(told.collect::<Vec<_>>(), restarts, "{saved:?} {said:?}");
            store.remove(&uid).unwrap();
            assert!(store.load(NOW).unwrap().0.is_empty());
        };
        check(Some(("this", Mono(5))), None, &[1]);
        check(Some(("this", Mono(5))), Some(("this", Mono(6))), &[2]);
        check(Some(("this", Mono(7))), Some(("this", Mono(6))), &[1]);
        check(Some(("earlier", Mono(7))), Some(("this", Mono(6))), &[2]);
        check(Some(("earlier", Mono(5))), Some(("earlier", Mono(6))), &[1]);
        check(None, Some(("this", Mono(6))), &[2]);
        check(None, Some(("earlier", Mono(6))), &[]);
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
