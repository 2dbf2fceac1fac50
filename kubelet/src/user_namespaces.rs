//! User namespaces of pods (`hostUsers: false`): which ids of the host each of them has.
//!
//! What a pod has is on disk beside its volumes, so that it keeps its ids over a restart of the
//! kubelet and no other pod gets them while files of the first may still be there. Knows nothing
//! of containers; what the runtime is told is for [`crate::spec`].

pub mod ranges;
pub mod record;
pub mod subordinate;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

pub use ranges::IdRange;
use ranges::{RangeError, Ranges, RangesError};
use record::RecordError;
use subordinate::SubordinateError;

use crate::pod_files::Paths;

/// The file in a pod's directory.
const FILE: &str = "userns";

/// Why a pod has no ids of its own.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// The ids of the host are not known.
    #[error(transparent)]
    Subordinate(#[from] SubordinateError),
    /// They can't be divided among pods.
    #[error(transparent)]
    Ranges(#[from] RangesError),
    /// No range for the pod.
    #[error("ids of pod {uid}: {source}")]
    Range {
        /// Which pod.
        uid: String,
        /// Why.
        source: RangeError,
    },
    /// The record on disk makes no sense.
    #[error("{}: {source} (remove the pod, then this file)", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// The record could not be read or written.
    #[error("{step} {}: {source}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The ids of all pods. Calls block on the disk.
#[derive(Debug)]
pub struct UserNamespaces {
    paths: Paths,
    ranges: Mutex<Ranges>,
}

impl UserNamespaces {
    /// Divides `all` among `pods` pods and adopts what pods on disk have already. What they have
    /// and can't be adopted comes back as errors beside: it is for the pod to end, not the node.
    ///
    /// # Errors
    /// When the ids can't be divided.
    pub fn open(
        paths: Paths,
        all: IdRange,
        per_pod: u32,
        pods: u32,
    ) -> Result<(Self, Vec<UserNamespaceError>), UserNamespaceError> {
        let ranges = Mutex::new(Ranges::new(all, per_pod, pods)?);
        let this = Self { paths, ranges };
        let failures = this.adopt_all();
        Ok((this, failures))
    }

    fn adopt_all(&self) -> Vec<UserNamespaceError> {
        let pods = fs::read_dir(self.paths.pods()).into_iter().flatten();
        let uids = pods.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let adopted = uids.map(|uid| self.recorded(&uid).map(drop));
        adopted.filter_map(Result::err).collect()
    }

    /// The ids of a pod, its own from now on. They are on disk when this returns.
    ///
    /// # Errors
    /// When none is left, or the pod's record can't be read or written.
    pub fn of(&self, uid: &str) -> Result<IdRange, UserNamespaceError> {
        if let Some(range) = self.recorded(uid)? {
            return Ok(range);
        }
        let taken = self.ranges.lock().take(uid);
        let range = taken.map_err(|source| UserNamespaceError::Range {
            uid: uid.to_owned(),
            source,
        })?;
        let written = write_durably(&self.file(uid), &record::write(range));
        if written.is_err() {
            self.ranges.lock().release(uid);
        }
        written.map(|()| range)
    }

    /// Gives the ids of a pod back once nothing of it runs or is mounted.
    ///
    /// # Errors
    /// When the record can't be removed: then the ids stay taken.
    pub fn release(&self, uid: &str) -> Result<(), UserNamespaceError> {
        let path = self.file(uid);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => self.ranges.lock().release(uid),
        }
        Ok(())
    }

    /// What the disk says, taken note of.
    fn recorded(&self, uid: &str) -> Result<Option<IdRange>, UserNamespaceError> {
        let path = self.file(uid);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // An entry of the folder that is no pod's.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            text => text.map_err(failed("read", &path))?,
        };
        let range =
            record::read(&text).map_err(|source| UserNamespaceError::Record { path, source })?;
        let adopted = self.ranges.lock().adopt(uid, range);
        adopted.map_err(|source| UserNamespaceError::Range {
            uid: uid.to_owned(),
            source,
        })?;
        Ok(Some(range))
    }

    fn file(&self, uid: &str) -> PathBuf {
        self.paths.pod(uid).join(FILE)
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UserNamespaceError {
    let path = path.to_owned();
    move |source| UserNamespaceError::File { step, path, source }
}

fn write_durably(path: &Path, text: &str) -> Result<(), UserNamespaceError> {
    let fresh = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = fs::File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use super::ranges::UNIT;
    use super::*;

    fn open(root: &Path) -> (UserNamespaces, Vec<UserNamespaceError>) {
        let all = IdRange {
            first: UNIT,
            length: 2 * UNIT,
        };
        UserNamespaces::open(Paths::new(root), all, UNIT, 2).unwrap()
    }

    fn pod(root: &Path, uid: &str) {
        fs::create_dir_all(root.join("pods").join(uid)).unwrap();
    }

    #[test]
    fn a_pod_keeps_its_ids_over_a_restart_until_it_gives_them_back() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        ["a", "b", "c"].iter().for_each(|uid| pod(root, uid));
        let (before, failures) = open(root);
        assert!(failures.is_empty());
        let (a, b) = (before.of("a").unwrap(), before.of("b").unwrap());
        assert_ne!(a, b);
        let (after, failures) = open(root);
        assert!(failures.is_empty());
        assert_eq!(after.of("b").unwrap(), b);
        let refused = after.of("c").unwrap_err().to_string();
        assert!(
            refused.contains("pod c") && refused.contains("taken"),
            "{refused}"
        );
        after.release("a").unwrap();
        after.release("a").unwrap();
        assert_eq!(after.of("c").unwrap(), a);
        assert!(!root.join("pods/a/userns").exists());
    }

    #[test]
    fn a_record_that_makes_no_sense_is_told_and_its_pod_gets_nothing() {
        let root = tempfile::tempdir().unwrap();
        pod(root.path(), "a");
        fs::write(root.path().join("pods/a/userns"), "{}").unwrap();
        let (opened, failures) = open(root.path());
        assert_eq!(failures.len(), 1);
        let told = opened.of("a").unwrap_err().to_string();
        assert!(told.contains("pods/a/userns"), "{told}");
    }

    #[test]
    fn what_cannot_be_written_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let (opened, _) = open(root.path());
        assert!(opened.of("a").is_err(), "it has no directory");
        pod(root.path(), "b");
        pod(root.path(), "c");
        opened.of("b").unwrap();
        opened.of("c").unwrap();
    }
}
