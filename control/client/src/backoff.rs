//! Decides how long to wait after failures: exponential with a cap, with jitter from a seed that
//! the caller keeps. Pure: time comes in as a value.

use std::time::Duration;

/// Waiting times that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub base: Duration,
    /// No wait is longer, jitter apart.
    pub most: Duration,
}

impl Backoff {
    /// The wait after that many failures in a row (the first is 0), without jitter.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.base
            .checked_mul(factor)
            .map_or(self.most, |wait| wait.min(self.most))
    }
}

/// Numbers that look random and follow from a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jitter(u64);

impl Jitter {
    /// Equal seeds give equal numbers. Seed it with what differs between processes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that differs between processes and calls.
    #[must_use]
    pub fn seeded() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _};
        let hasher = std::collections::hash_map::RandomState::new().build_hasher();
        Self(hasher.finish())
    }

    /// Between 0 and 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the top 53 bits, which a float holds exactly"
    )]
    pub fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time, longer by up to `share` of it.
    pub fn stretch(&mut self, time: Duration, share: f64) -> Duration {
        time + time.mul_f64(share * self.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, Jitter};
    use std::time::Duration;

    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff {
            base: Duration::from_millis(5),
            most: Duration::from_secs(1000),
        };
        let check = |failures, millis| {
            assert_eq!(backoff.after(failures), Duration::from_millis(millis));
        };
        check(0, 5);
        check(1, 10);
        check(10, 5120);
        check(18, 1_000_000);
        check(31, 1_000_000);
        check(4000, 1_000_000);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        let mut jitter = Jitter::new(1);
        let second = Duration::from_secs(1);
        let waits: Vec<_> = (0..1000).map(|_| jitter.stretch(second, 0.5)).collect();
        assert!(waits.iter().all(|w| *w >= second && *w < second * 3 / 2));
        assert!(waits.iter().any(|w| *w > second * 14 / 10));
        assert!(waits.iter().any(|w| *w < second * 11 / 10));
    }
}
