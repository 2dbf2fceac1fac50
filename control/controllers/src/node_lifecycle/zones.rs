//! Decides how fast the nodes of a zone are emptied, from how many of them are lost. When nearly
//! all are lost it is more likely that we are.

use jiff::Timestamp;

use super::health::Settings;

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing special.
    Normal,
    /// So many nodes are lost that emptying them may do more harm than good.
    Partial,
    /// All nodes are lost.
    Full,
}

impl State {
    /// The state of a zone with so many ready and other nodes.
    #[must_use]
    pub fn of(ready: usize, lost: usize, settings: &Settings) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
        let share = lost as f64 / (ready + lost).max(1) as f64;
        match (ready, lost) {
            (0, 1..) => Self::Full,
            (_, 3..) if share >= settings.unhealthy_share => Self::Partial,
            _ => Self::Normal,
        }
    }

    /// Nodes emptied per second in a zone of so many nodes.
    #[must_use]
    pub fn rate(self, nodes: usize, settings: &Settings) -> f64 {
        match self {
            // If all zones were, nothing would be emptied at all.
            Self::Normal | Self::Full => settings.rate,
            Self::Partial if nodes > settings.large_zone => settings.reduced_rate,
            Self::Partial => 0.0,
        }
    }
}

/// Lets one through at once, and then so many per second.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// When the last one was let through.
    last: Option<Timestamp>,
}

impl Pace {
    /// Whether one may go now.
    pub fn admit(&mut self, now: Timestamp, rate: f64) -> bool {
        if rate <= 0.0 {
            return false;
        }
        let due = self.last.is_none_or(|last| {
            let passed = now.duration_since(last).as_secs_f64();
            passed < 0.0 || passed * rate >= 1.0
        });
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, State};
    use crate::given;
    use crate::node_lifecycle::health::Settings;

    #[test]
    fn states_and_rates() {
        let settings = Settings::default();
        let check = |ready: usize, lost: usize, state: State, rate: f64| {
            let found = State::of(ready, lost, &settings);
            assert_eq!(found, state, "{ready}/{lost}");
            let difference = found.rate(ready + lost, &settings) - rate;
            assert!(difference.abs() < 1e-9, "{ready}/{lost}");
        };
        check(3, 0, State::Normal, 0.1);
        check(0, 0, State::Normal, 0.1);
        check(0, 1, State::Full, 0.1);
        // Two lost nodes are no sign of anything, however small the zone.
        check(1, 2, State::Normal, 0.1);
        check(2, 3, State::Partial, 0.0);
        check(3, 3, State::Normal, 0.1);
        check(25, 35, State::Partial, 0.01);
    }

    #[test]
    fn one_at_once_and_then_in_time() {
        let mut pace = Pace::default();
        let admitted: Vec<_> = (0..25).filter(|s| pace.admit(given::at(*s), 0.1)).collect();
        assert_eq!(admitted, [0, 10, 20]);
        assert!(!pace.admit(given::at(100), 0.0));
        // The clock was put back.
        assert!(pace.admit(given::at(-500), 0.1));
    }
}
