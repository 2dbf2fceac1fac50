//! What was written for each key and has to be seen before the key is decided on again. Pure.
//!
//! A controller that decides on a cache that lacks its own last writes would create twice or
//! delete one too many. So each write is noted with the version that the server gave it, and a
//! key's next decision waits until the reflectors of all kinds that it wrote have come that far:
//! versions of one kind are comparable numbers. Deletions, whose version nobody learns, wait until
//! the object is gone, is another one or is marked as leaving.
//!
//! # Guarantees
//! A decision sees everything that earlier decisions for its key wrote, or is
//! [`PATIENCE`] later than the last of them.

use std::collections::HashMap;
use std::time::Duration;

use keelson_client::Resource;
use keelson_client::cache::Key;

/// After this time a write counts as seen: a cache this late is cut off, and the server's own
/// checks (names, versions, uids) have to do.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// An object of this kind was made or changed and is now of this version.
    Version {
        /// The kind.
        resource: Resource,
        /// The version.
        version: u64,
    },
    /// The removal of an object was asked for.
    Deleted {
        /// The kind.
        resource: Resource,
        /// Namespace and name.
        key: Key,
        /// Which one of that name.
        uid: Box<str>,
    },
}

#[derive(Debug)]
struct Pending {
    written: Vec<Written>,
    until: Duration,
}

/// The writes of one controller that were not seen yet.
#[derive(Debug, Default)]
pub struct Ledger {
    keys: HashMap<Key, Pending>,
}

impl Ledger {
    /// Notes what was written for a key.
    pub fn note(&mut self, now: Duration, key: &Key, written: Written) {
        let pending = self.keys.entry(key.clone()).or_insert(Pending {
            written: Vec::new(),
            until: now,
        });
        pending.until = now + PATIENCE;
        if let Written::Version { resource, version } = &written {
            for known in &mut pending.written {
                if let Written::Version {
                    resource: same,
                    version: newest,
                } = known
                    && same == resource
                {
                    *newest = (*newest).max(*version);
                    return;
                }
            }
        }
        pending.written.push(written);
    }

    /// How long the key has to wait at most; `None` if everything was seen.
    pub fn wait(
        &mut self,
        now: Duration,
        key: &Key,
        is_seen: impl Fn(&Written) -> bool,
    ) -> Option<Duration> {
        let pending = self.keys.get_mut(key)?;
        pending.written.retain(|written| !is_seen(written));
        if pending.written.is_empty() || pending.until <= now {
            self.keys.remove(key);
            return None;
        }
        Some(pending.until - now)
    }

    /// How many keys wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keelson_client::Resource;
    use keelson_client::cache::Key;

    use super::{Ledger, PATIENCE, Written};

    const PODS: Resource = Resource::fixed("", "v1", "pods", "Pod", true);

    #[test]
    fn waits_for_the_newest_version_and_each_deletion() {
        let (mut ledger, key, now) = (Ledger::default(), Key::new("a", "b"), Duration::ZERO);
        assert_eq!(ledger.wait(now, &key, |_| false), None);
        for version in [7, 9, 8] {
            let resource = PODS;
            ledger.note(now, &key, Written::Version { resource, version });
        }
        let gone = Written::Deleted {
            resource: PODS,
            key: Key::new("a", "p"),
            uid: "u".into(),
        };
        ledger.note(now, &key, gone.clone());
        let seen = |upto: u64, deleted: bool| {
            move |written: &Written| match written {
                Written::Version { version, .. } => *version <= upto,
                Written::Deleted { .. } => deleted,
            }
        };
        assert_eq!(ledger.wait(now, &key, seen(8, true)), Some(PATIENCE));
        assert_eq!(ledger.wait(now, &key, seen(9, true)), None);
        assert!(ledger.is_empty());
        ledger.note(now, &key, gone);
        assert!(ledger.wait(now, &key, seen(99, false)).is_some());
        assert_eq!(ledger.wait(PATIENCE, &key, seen(99, false)), None);
    }
}
