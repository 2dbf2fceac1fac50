//! Names of entries and the ranges they are listed by. They must not know what a resource is.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Longest key, in bytes: a kind's path, a namespace and a name of 253 bytes fit well.
pub const MAX_KEY: usize = 1024;

/// Why a text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It does not begin with a slash.
    #[error("key {0:?} does not begin with a slash")]
    NotAbsolute(String),
    /// It has an empty part, or ends with a slash.
    #[error("key {0:?} has an empty part")]
    EmptyPart(String),
    /// It has a control character, which no object's name can hold.
    #[error("key {0:?} has a control character")]
    Control(String),
    /// It is longer than [`MAX_KEY`].
    #[error("key {key:?} has {length} bytes, at most {MAX_KEY}")]
    TooLong {
        /// Its beginning.
        key: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A prefix does not end with a slash.
    #[error("prefix {0:?} does not end with a slash")]
    OpenEnded(String),
}

/// The name of an entry: `/registry/RESOURCE/NAMESPACE/NAME`. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks that `text` can be a key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, KeyError> {
        let text = text.into();
        check(&text)?;
        if text.ends_with('/') {
            return Err(KeyError::EmptyPart(text.to_string()));
        }
        Ok(Self(text))
    }

    /// A name that someone else wrote: taken as it is.
    pub(crate) fn of_another(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// All keys that begin with a text which ends with a slash: a resource, or a namespace of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Checks that `text` can be a prefix.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, KeyError> {
        let text = text.into();
        check(&text)?;
        if !text.ends_with('/') {
            return Err(KeyError::OpenEnded(text.to_string()));
        }
        Ok(Self(text))
    }

    /// Every key there is.
    #[must_use]
    pub fn everything() -> Self {
        Self(Arc::from("/"))
    }

    /// The text, which ends with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        key.as_str().starts_with(self.as_str())
    }

    /// The first text after all of its keys: the slash replaced by the character that follows it.
    #[must_use]
    pub fn end(&self) -> String {
        let mut end = self.0.to_string();
        end.pop();
        end.push('0');
        end
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn check(text: &str) -> Result<(), KeyError> {
    if text.len() > MAX_KEY {
        let key = text.chars().take(80).collect();
        return Err(KeyError::TooLong {
            key,
            length: text.len(),
        });
    }
    if !text.starts_with('/') {
        return Err(KeyError::NotAbsolute(text.to_owned()));
    }
    if text.contains("//") {
        return Err(KeyError::EmptyPart(text.to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(KeyError::Control(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let check = |text: &str, good: bool| assert_eq!(Key::new(text).is_ok(), good, "{text:?}");
        check("/registry/pods/default/web", true);
        check("/registry/clusterroles/system:node", true);
        check("/registry/pods/default/ünïcode", true);
        check("registry/pods", false);
        check("/registry//web", false);
        check("/registry/pods/", false);
        check("/registry/pods/a\0b", false);
        check("", false);
        check(&format!("/{}", "x".repeat(MAX_KEY)), false);
    }

    #[test]
    fn prefixes_hold_their_keys_only() {
        let check = |prefix: &str, key: &str, holds: bool| {
            let prefix = Prefix::new(prefix).unwrap();
            let key = Key::new(key).unwrap();
            assert_eq!(prefix.holds(&key), holds, "{prefix} {key}");
            let in_range = key.as_str() >= prefix.as_str() && *key.as_str() < *prefix.end();
            assert_eq!(in_range, holds, "{prefix} {key} as a range");
        };
        check("/registry/pods/", "/registry/pods/a/b", true);
        check("/registry/pods/", "/registry/podtemplates/a/b", false);
        check("/registry/pods/", "/registry/pods0/a", false);
        check("/", "/registry/pods/a", true);
        assert!(Prefix::new("/registry/pods").is_err());
        assert!(Prefix::new("registry/").is_err());
    }
}
