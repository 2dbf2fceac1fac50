//! Reads version numbers as containerd and distributions write them. Pure.

use std::fmt;
use std::str::FromStr;

/// A version: `2.1.9`, `v2.1.9`, `1.6.20~ds1`, `2.0.0-rc.1+unknown`. What follows the numbers
/// does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, zero if absent.
    pub patch: u32,
}

impl Version {
    /// The oldest containerd that will do.
    pub const NEEDED: Self = Self {
        major: 2,
        minor: 0,
        patch: 0,
    };
}

/// No version can be read from this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version number")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let refuse = || NotAVersion(text.to_owned());
        let digits = text.strip_prefix('v').unwrap_or(text);
        let end = digits
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(digits.len());
        let mut numbers = digits[..end].split('.').map(str::parse::<u32>);
        let mut next = || numbers.next().and_then(Result::ok);
        Ok(Self {
            major: next().ok_or_else(refuse)?,
            minor: next().ok_or_else(refuse)?,
            patch: next().unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("2.1.9", Some("2.1.9")),
            ("v2.1.9", Some("2.1.9")),
            ("1.6.20~ds1", Some("1.6.20")),
            ("2.0.0-rc.1+unknown", Some("2.0.0")),
            ("2.1", Some("2.1.0")),
            ("2", None),
            ("", None),
            ("main", None),
            ("99999999999.1", None),
        ] {
            let version = text.parse::<Version>().ok().map(|v| v.to_string());
            assert_eq!(version.as_deref(), expected, "{text}");
        }
    }
}
