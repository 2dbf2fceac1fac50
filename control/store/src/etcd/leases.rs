//! Shares leases between keys with the same time to live: many Events cost few leases. Pure; it
//! must not know how a lease is granted.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Keys on one lease at most: etcd removes them in one go.
const KEYS: usize = 1000;

/// How much longer than asked a key may live, in seconds, so that a lease can be shared.
const SHARE: u64 = 60;

/// A lease that was granted.
#[derive(Clone, Copy, Debug)]
struct Lease {
    id: i64,
    ends: Instant,
    keys: usize,
}

/// Leases that can still be shared, by time to live.
#[derive(Debug, Default)]
pub struct Leases {
    by_ttl: Mutex<BTreeMap<u32, Lease>>,
}

impl Leases {
    /// A lease that lives at least `ttl` seconds from `now` on.
    pub fn take(&self, ttl: u32, now: Instant) -> Option<i64> {
        let mut leases = self.by_ttl.lock();
        let lease = leases.get_mut(&ttl)?;
        let lives = lease.ends >= now + Duration::from_secs(u64::from(ttl));
        if !lives || lease.keys >= KEYS {
            leases.remove(&ttl);
            return None;
        }
        lease.keys += 1;
        Some(lease.id)
    }

    /// How many seconds to ask for, so that keys which live `ttl` seconds can share the lease.
    pub fn lifetime(ttl: u32) -> i64 {
        i64::from(ttl) + i64::from(ttl / 20).min(SHARE.cast_signed())
    }

    /// Notes a lease that was asked for at `now`.
    pub fn granted(&self, ttl: u32, id: i64, now: Instant) {
        let lifetime = Self::lifetime(ttl).unsigned_abs();
        let ends = now + Duration::from_secs(lifetime);
        self.by_ttl.lock().insert(ttl, Lease { id, ends, keys: 1 });
    }

    /// A lease turned out to be gone.
    pub fn gone(&self, ttl: u32) {
        self.by_ttl.lock().remove(&ttl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn are_shared_while_they_live_long_enough() {
        let (leases, start) = (Leases::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(leases.take(3600, start), None);
        assert_eq!(Leases::lifetime(3600), 3660);
        leases.granted(3600, 7, start);
        assert_eq!(leases.take(3600, at(0)), Some(7));
        assert_eq!(leases.take(3600, at(60)), Some(7));
        assert_eq!(leases.take(100, at(0)), None, "another time to live");
        assert_eq!(leases.take(3600, at(61)), None);
        assert_eq!(leases.take(3600, at(0)), None, "what ended is forgotten");
    }

    #[tokio::test]
    async fn hold_so_many_keys_only() {
        let (leases, start) = (Leases::default(), Instant::now());
        leases.granted(3600, 7, start);
        for _ in 1..KEYS {
            assert_eq!(leases.take(3600, start), Some(7));
        }
        assert_eq!(leases.take(3600, start), None);
        assert_eq!(Leases::lifetime(10), 10);
    }
}
