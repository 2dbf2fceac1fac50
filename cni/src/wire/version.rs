//! The versions of the CNI protocol that the plugins speak.

use std::fmt;
use std::str::FromStr;

/// A supported version, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.1
    V031,
    /// 0.4.0: CHECK
    V040,
    /// 1.0.0: no more `version` in addresses
    V100,
    /// 1.1.0: GC, STATUS, more fields of routes and interfaces
    V110,
}

/// Every supported version, oldest first.
pub const SUPPORTED: [Version; 4] = [Version::V031, Version::V040, Version::V100, Version::V110];

impl Version {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        SUPPORTED.into_iter().find(|v| v.as_str() == text).ok_or(())
    }
}
