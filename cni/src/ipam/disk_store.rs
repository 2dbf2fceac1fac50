//! Leases as files, one for each address, in the folder and under the lock of the usual plugin, so
//! that either respects the other's.
//!
//! A file holds the container's id, the interface, and (ours alone) the id of the boot. It is
//! written under a temporary name and renamed without replacing: it is there whole or not at all,
//! whenever the process is killed. It is not flushed to the medium: after a power cut the boot is
//! another one, and whatever a lease holds then is void.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::store::{Lease, Store, StoreError};
use crate::wire::env::Attachment;

const LOCK: &str = "lock";
const LAST: &str = "last_reserved_ip.";
const TEMPORARY: &str = ".new-lease";
const LINE: &str = "\r\n";

/// The leases in one folder, locked as long as this lives.
#[derive(Debug)]
pub struct DiskStore {
    folder: PathBuf,
    _lock: File,
}

impl DiskStore {
    /// Opens (and makes) the folder, and waits for its lock.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        match Self::open_existing(folder) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(failed("make folder", folder))?;
                Self::open_existing(folder)
            }
            other => other,
        }
    }

    /// Opens a folder that exists, and waits for its lock.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be locked.
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open lock", &path))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|errno| failed("lock", &path)(errno.into()))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    fn path(&self, addr: IpAddr) -> PathBuf {
        self.folder.join(addr.to_string())
    }
}

impl Store for DiskStore {
    fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let mut leases = Vec::new();
        let entries = fs::read_dir(&self.folder).map_err(failed("list", &self.folder))?;
        for entry in entries {
            let entry = entry.map_err(failed("list", &self.folder))?;
            let name = entry.file_name();
            let Some(addr) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let path = entry.path();
            let text = fs::read_to_string(&path).map_err(failed("read lease", &path))?;
            leases.push(decode(addr, &text));
        }
        Ok(leases)
    }

    fn reserve(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let temporary = self.folder.join(TEMPORARY);
        let path = self.path(lease.addr);
        File::create(&temporary)
            .and_then(|mut file| file.write_all(encode(lease).as_bytes()))
            .map_err(failed("write lease", &temporary))?;
        match renameat_with(CWD, &temporary, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => link(&temporary, &path),
            Err(errno) => Err(failed("name lease", &path)(errno.into())),
        }
    }

    fn release(&mut self, addr: IpAddr) -> Result<(), StoreError> {
        let path = self.path(addr);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove lease", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn last(&self, set: usize) -> Option<IpAddr> {
        let text = fs::read_to_string(self.folder.join(format!("{LAST}{set}"))).ok()?;
        text.trim().parse().ok()
    }

    fn remember(&mut self, set: usize, addr: IpAddr) {
        // Only the order of addresses depends on it.
        drop(overwrite(
            &self.folder.join(format!("{LAST}{set}")),
            addr.to_string().as_bytes(),
        ));
    }
}

/// Replaces what a file holds without emptying it first: that would free its block and wait for the
/// disk to hear of it, twice for each container.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.write_all(bytes)?;
    let length = u64::try_from(bytes.len()).map_err(io::Error::other)?;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    Ok(())
}

/// File systems that cannot rename without replacing can at least link.
fn link(temporary: &Path, path: &Path) -> Result<bool, StoreError> {
    match fs::hard_link(temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("name lease", path)(error)),
    }
}

fn encode(lease: &Lease) -> String {
    let boot = lease.boot.as_deref().unwrap_or_default();
    let owner = &lease.owner;
    format!("{}{LINE}{}{LINE}{boot}", owner.container, owner.interface)
}

fn decode(addr: IpAddr, text: &str) -> Lease {
    let mut lines = text.lines().map(str::trim);
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let owner = Attachment {
        container: line(),
        interface: line(),
    };
    let boot = line();
    Lease {
        addr,
        owner,
        boot: (!boot.is_empty()).then_some(boot),
    }
}

fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError {
        step,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(addr: &str, boot: Option<&str>) -> Lease {
        Lease {
            addr: addr.parse().unwrap(),
            owner: Attachment {
                container: "c1".into(),
                interface: "eth0".into(),
            },
            boot: boot.map(str::to_owned),
        }
    }

    #[test]
    fn keeps_leases_and_the_last_address() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let mut store = DiskStore::open(&folder).unwrap();
        let one = lease("10.0.0.2", Some("boot"));
        let two = lease("fd00::2", Some("boot"));
        assert!(store.reserve(&one).unwrap());
        assert!(store.reserve(&two).unwrap());
        assert!(!store.reserve(&one).unwrap());
        for last in ["10.0.0.200", "10.0.0.2"] {
            store.remember(0, last.parse().unwrap());
        }
        drop(store);
        let mut store = DiskStore::open_existing(&folder).unwrap();
        let mut read = store.leases().unwrap();
        read.sort_by_key(|lease| lease.addr);
        assert_eq!(read, [one.clone(), two]);
        assert_eq!(store.last(0), Some(one.addr));
        store.release(one.addr).unwrap();
        store.release(one.addr).unwrap();
        assert_eq!(store.leases().unwrap().len(), 1);
    }

    #[test]
    fn reads_what_the_usual_plugin_writes() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("10.0.0.3", "c1\r\neth0"),
            ("10.0.0.4", "c1"),
            ("last_reserved_ip.0", "10.0.0.4"),
            (TEMPORARY, "half"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let store = DiskStore::open(dir.path()).unwrap();
        let mut read = store.leases().unwrap();
        read.sort_by_key(|lease| lease.addr);
        assert_eq!(read[0], lease("10.0.0.3", None));
        assert!(read[1].is_of(&lease("10.0.0.4", None).owner));
        assert_eq!(read.len(), 2);
    }
}
