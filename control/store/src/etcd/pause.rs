//! How long to wait before another member is asked: doubling, capped, and of random length, so that
//! those whom one failure met don't come back together. Pure but for the seed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(30);
const LONGEST: Duration = Duration::from_millis(800);

/// The waits between the attempts of one request.
#[derive(Debug)]
pub struct Pauses {
    seed: u64,
    failures: u32,
}

impl Pauses {
    /// Waits that differ from those of every other request.
    pub fn new() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    fn seeded(seed: u64) -> Self {
        Self { seed, failures: 0 }
    }

    /// The next wait: between half of what is due and all of it.
    pub fn next(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let due = FIRST.saturating_mul(factor).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Knuth's generator; its upper half is random enough for this.
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let share = f64::from((self.seed >> 32) as u32 >> 1) / f64::from(u32::MAX >> 1);
        due.mul_f64(share.mul_add(0.5, 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_differ() {
        let mut pauses = Pauses::seeded(7);
        let mut due = FIRST;
        for _ in 0..40 {
            let wait = pauses.next();
            assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
            due = (due * 2).min(LONGEST);
        }
        let (mut one, mut other) = (Pauses::seeded(1), Pauses::seeded(2));
        assert_ne!(one.next(), other.next());
    }
}
