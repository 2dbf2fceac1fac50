//! Which calls go wrong, and how. Pure: it only counts and answers.

use std::collections::BTreeMap;
use std::time::Duration;

use tonic::Code;

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused and nothing happens.
    Fail(Code, String),
    /// It takes longer, then happens.
    Delay(Duration),
    /// It is never answered and nothing happens.
    Hang,
    /// It happens, but is never answered.
    LoseReply,
    /// It happens, and then the connection breaks before the answer.
    BreakConnection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Nth(u32),
    Always,
}

/// Faults to come, by RPC name (`StartContainer`).
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<(String, When, Fault)>,
    counts: BTreeMap<String, u32>,
    events_to_lose: usize,
}

impl Faults {
    /// The `nth` call of an RPC goes wrong, the first one ever being 1.
    pub fn on_nth(&mut self, rpc: &str, nth: u32, fault: Fault) {
        self.rules.push((rpc.to_owned(), When::Nth(nth), fault));
    }

    /// The next call of an RPC goes wrong.
    pub fn on_next(&mut self, rpc: &str, fault: Fault) {
        self.on_nth(rpc, self.count(rpc) + 1, fault);
    }

    /// Every call of an RPC goes wrong.
    pub fn always(&mut self, rpc: &str, fault: Fault) {
        self.rules.push((rpc.to_owned(), When::Always, fault));
    }

    /// The next so many events reach nobody.
    pub fn lose_events(&mut self, count: usize) {
        self.events_to_lose += count;
    }

    /// Nothing goes wrong any more. Counts go on.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.events_to_lose = 0;
    }

    /// How often an RPC was called.
    #[must_use]
    pub fn count(&self, rpc: &str) -> u32 {
        self.counts.get(rpc).copied().unwrap_or(0)
    }

    /// Counts a call and says how it goes wrong. The earliest rule wins.
    pub fn strike(&mut self, rpc: &str) -> Option<Fault> {
        let count = self.counts.entry(rpc.to_owned()).or_default();
        *count += 1;
        let now = [When::Nth(*count), When::Always];
        let rule = self
            .rules
            .iter()
            .find(|(name, when, _)| name == rpc && now.contains(when));
        rule.map(|(_, _, fault)| fault.clone())
    }

    /// Whether an event is lost.
    pub fn strike_event(&mut self) -> bool {
        let lost = self.events_to_lose > 0;
        self.events_to_lose = self.events_to_lose.saturating_sub(1);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_the_call_they_were_set_for() {
        let mut faults = Faults::default();
        faults.on_nth("A", 2, Fault::Hang);
        faults.always("B", Fault::LoseReply);
        let struck: Vec<Option<Fault>> = ["A", "B", "A", "A", "B"]
            .map(|rpc| faults.strike(rpc))
            .into();
        let (hang, lose) = (Some(Fault::Hang), Some(Fault::LoseReply));
        assert_eq!(struck, [None, lose.clone(), hang, None, lose]);
        faults.on_next("A", Fault::Hang);
        assert_eq!(faults.strike("A"), Some(Fault::Hang));
        assert_eq!(faults.strike("A"), None);
        assert_eq!(
            (faults.count("A"), faults.count("B"), faults.count("C")),
            (5, 2, 0)
        );
        faults.clear();
        assert_eq!(faults.strike("B"), None);
    }

    #[test]
    fn so_many_events_are_lost() {
        let mut faults = Faults::default();
        faults.lose_events(2);
        let lost: Vec<bool> = (0..3).map(|_| faults.strike_event()).collect();
        assert_eq!(lost, [true, true, false]);
    }
}
