//! Network namespaces: opening one by path, comparing two, doing something inside one.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{fstat, fstatfs};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Error, Result};

const NSFS_MAGIC: u64 = 0x6e73_6673;

/// An open network namespace; it lives at least as long as this value.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
}

impl NetNs {
    /// Opens the namespace at `path`, a bind mount or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// `ENOENT` where the path is gone; `EINVAL` where it is no namespace.
    pub fn open(path: &Path) -> Result<Self> {
        let step = || format!("open network namespace {}", path.display());
        let file = File::open(path).map_err(|error| {
            Error::new(step(), Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
        })?;
        let stat = fstatfs(&file).map_err(|errno| Error::new(step(), errno))?;
        if u64::try_from(stat.f_type) != Ok(NSFS_MAGIC) {
            return Err(Error::new(step(), Errno::INVAL));
        }
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Opens the calling thread's namespace.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn current() -> Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    /// When a descriptor cannot be inspected.
    pub fn is_same(&self, other: &Self) -> Result<bool> {
        let identity = |ns: &Self| {
            fstat(&ns.file)
                .map(|stat| (stat.st_dev, stat.st_ino))
                .map_err(|errno| Error::new(format!("stat {}", ns.path.display()), errno))
        };
        Ok(identity(self)? == identity(other)?)
    }

    /// The number by which the kernel knows the descriptor, for `IFLA_NET_NS_FD`.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `act` with the calling thread inside this namespace, then returns it to `home`.
    ///
    /// # Errors
    /// When the namespace cannot be entered or left. Leaving fails only where the process lost its
    /// privileges meanwhile; the thread must then not be used for the host any more.
    pub fn run<T>(&self, home: &Self, act: impl FnOnce() -> T) -> Result<T> {
        enter(self.file.as_fd(), &self.path)?;
        let value = act();
        enter(home.file.as_fd(), &home.path)?;
        Ok(value)
    }
}

fn enter(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))
        .map_err(|errno| Error::new(format!("enter network namespace {}", path.display()), errno))
}
