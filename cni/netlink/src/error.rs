//! The one error of this crate: which step failed, and the kernel's errno.

use rustix::io::Errno;

/// What every call here returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A step that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {errno}")]
pub struct Error {
    /// What was being done, with the name of the object, for example `create link veth1`.
    pub step: String,
    /// The kernel's answer. Match on this, never on the text.
    pub errno: Errno,
}

impl Error {
    /// An error for `step`.
    pub fn new(step: impl Into<String>, errno: Errno) -> Self {
        Self {
            step: step.into(),
            errno,
        }
    }

    /// Whether the kernel said that the object is not there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        is_gone(self.errno)
    }
}

/// Whether `errno` means that the object is not there (any more).
#[must_use]
pub fn is_gone(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL | Errno::NXIO
    )
}
