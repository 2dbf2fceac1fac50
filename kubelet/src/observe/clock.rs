//! The one place that reads the clocks for decisions.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::model::{Mono, Now};

/// This moment in both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        mono: mono(),
        wall: Timestamp::now(),
    }
}

/// Milliseconds since boot.
#[must_use]
pub fn mono() -> Mono {
    let time = clock_gettime(ClockId::Boottime);
    let millis = time
        .tv_sec
        .saturating_mul(1000)
        .saturating_add(time.tv_nsec / 1_000_000);
    Mono(u64::try_from(millis).unwrap_or(0))
}
