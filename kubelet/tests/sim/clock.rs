//! The two clocks of a node: one for waiting, which only ever goes on, and the wall clock, which
//! somebody may set while pods run.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use keelson_kubelet::model::{Mono, Now};

use super::rng::Rng;

/// Milliseconds since boot.
pub type Millis = u64;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What the wall clock shows at each moment since boot.
#[derive(Clone, Default)]
pub struct Clock {
    /// When it was set and by how many milliseconds, in order.
    jumps: Vec<(Millis, i64)>,
}

impl Clock {
    /// A wall clock that nobody touches.
    pub fn steady() -> Self {
        Self::default()
    }

    /// A wall clock that is set forth and back while a pod runs. The seed alone says when.
    pub fn jumping(seed: u64) -> Self {
        let mut rng = Rng::new(!seed);
        let mut jumps: Vec<_> = (0..rng.range(1, 6))
            .map(|_| {
                let by = rng.pick(&[
                    -25 * HOUR,
                    -HOUR,
                    -MINUTE,
                    -1,
                    400,
                    HOUR,
                    2 * HOUR,
                    9_000 * HOUR,
                ]);
                (rng.range(0, 400_000), by)
            })
            .collect();
        jumps.sort_unstable();
        Self { jumps }
    }

    /// That moment on both clocks.
    pub fn moment(&self, at: Millis) -> Now {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let set: i64 = self
            .jumps
            .iter()
            .filter(|(when, _)| *when <= at)
            .map(|(_, by)| by)
            .sum();
        let shown = i64::try_from(at).unwrap() + set;
        Now {
            mono: Mono(at),
            wall: start + SignedDuration::from_millis(shown),
        }
    }
}
