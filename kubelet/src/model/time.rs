//! Time as a value. Pure code is given [`Now`]; it never reads a clock.

use std::ops::Add;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Milliseconds since boot, sleep included (`CLOCK_BOOTTIME`).
///
/// All waiting, back-off and probe periods are kept in this clock, so that a jump of the wall
/// clock changes nothing. It survives a restart of the agent but not a reboot: what is stored with
/// it carries the boot id.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Mono(pub u64);

impl Mono {
    /// Time since `earlier`; zero when `earlier` lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let millis = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// The moment of a decision: the clock for waiting and the clock for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For every computation of a delay.
    pub mono: Mono,
    /// For timestamps that are shown (`startTime`, `lastTransitionTime`) and nothing else.
    pub wall: Timestamp,
}
