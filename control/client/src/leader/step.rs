//! Decides who leads. Pure: `now` is monotonic time since the start, `wall` the time that is
//! written into the Lease and never compared.

use std::time::Duration;

use jiff::Timestamp;

/// Who we are, and how long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A name that no other candidate has.
    pub identity: String,
    /// How long the others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long we go on without a renewal.
    pub renew_deadline: Duration,
    /// How often we try.
    pub retry_period: Duration,
}

impl Settings {
    /// Upstream's times: 15 s, 10 s, 2 s.
    #[must_use]
    pub fn new(identity: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Who leads; empty if nobody does.
    pub holder: String,
    /// How long others wait.
    pub duration: Duration,
    /// Since when.
    pub acquired: Option<Timestamp>,
    /// Last renewed.
    pub renewed: Option<Timestamp>,
    /// How often the leader changed.
    pub transitions: i32,
    /// The object's version.
    pub version: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The start, or the end of a wait.
    Go,
    /// The Lease was read; `None` if there is none.
    Read(Option<Holding>),
    /// It was written as we wanted it.
    Wrote(Holding),
    /// It could not be read or written, or somebody else wrote first.
    Failed,
    /// We are to give it back.
    Release,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the Lease.
    Read,
    /// Create it.
    Create(Holding),
    /// Write it, if it is still of that version.
    Update(Holding),
    /// Wait, then go on.
    Wait(Duration),
}

/// What a candidate remembers.
#[derive(Clone, Debug)]
pub struct State {
    settings: Settings,
    /// The Lease as last seen, and when it was first seen like that.
    seen: Option<(Holding, Duration)>,
    /// When we renewed last; `None` if we don't lead.
    renewed: Option<Duration>,
    /// When the write that is under way began: a renewal counts from then on.
    asked: Duration,
    /// The next attempt begins with reading.
    doubtful: bool,
}

impl State {
    /// A candidate.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            seen: None,
            renewed: None,
            asked: Duration::ZERO,
            doubtful: true,
        }
    }

    /// Whether we lead.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.renewed.is_some()
    }

    /// When we have to stop leading unless we renew.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.renewed.unwrap_or(Duration::ZERO) + self.settings.renew_deadline
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, now: Duration, wall: Timestamp, event: Event) -> Vec<Action> {
        if self.leads() && now >= self.deadline() {
            self.renewed = None;
            self.doubtful = true;
        }
        match event {
            Event::Go => self.go(now, wall),
            Event::Read(None) => {
                self.asked = now;
                vec![Action::Create(self.ours(None, wall))]
            }
            Event::Read(Some(holding)) => self.read(now, wall, holding),
            Event::Wrote(holding) => {
                let leads = holding.holder == self.settings.identity;
                self.renewed = leads.then_some(self.asked);
                self.doubtful = false;
                self.seen = Some((holding, now));
                vec![self.wait()]
            }
            Event::Failed => {
                self.doubtful = true;
                vec![self.wait()]
            }
            Event::Release => self.release(wall),
        }
    }

    /// The pause between two attempts.
    #[must_use]
    pub fn wait(&self) -> Action {
        Action::Wait(self.settings.retry_period)
    }

    fn go(&mut self, now: Duration, wall: Timestamp) -> Vec<Action> {
        match &self.seen {
            Some((holding, _)) if self.leads() && !self.doubtful => {
                self.asked = now;
                vec![Action::Update(self.ours(Some(holding), wall))]
            }
            _ => vec![Action::Read],
        }
    }

    fn read(&mut self, now: Duration, wall: Timestamp, holding: Holding) -> Vec<Action> {
        let since = match &self.seen {
            Some((seen, since)) if *seen == holding => *since,
            _ => now,
        };
        let free = holding.holder.is_empty()
            || holding.holder == self.settings.identity
            || now.saturating_sub(since) >= holding.duration;
        self.seen = Some((holding.clone(), since));
        if !free {
            self.renewed = None;
            return vec![self.wait()];
        }
        self.asked = now;
        vec![Action::Update(self.ours(Some(&holding), wall))]
    }

    /// The Lease as it is when it is ours.
    fn ours(&self, before: Option<&Holding>, wall: Timestamp) -> Holding {
        let stays = before.filter(|before| before.holder == self.settings.identity);
        let transitions = before.map_or(0, |before| before.transitions);
        Holding {
            holder: self.settings.identity.clone(),
            duration: self.settings.lease_duration,
            acquired: stays.and_then(|before| before.acquired).or(Some(wall)),
            renewed: Some(wall),
            transitions: match (before, stays) {
                (Some(_), None) => transitions + 1,
                _ => transitions,
            },
            version: before.map_or_else(String::new, |before| before.version.clone()),
        }
    }

    /// Nobody's, so that the next one need not wait.
    fn release(&mut self, wall: Timestamp) -> Vec<Action> {
        let leads = self.renewed.take().is_some();
        let Some((holding, _)) = self.seen.clone().filter(|_| leads) else {
            return Vec::new();
        };
        vec![Action::Update(Holding {
            holder: String::new(),
            duration: Duration::from_secs(1),
            acquired: Some(wall),
            renewed: Some(wall),
            ..holding
        })]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::{Action, Event, Holding, Settings, State};

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A Lease that only the newest version can be written over.
    #[derive(Default)]
    struct Server {
        lease: Option<Holding>,
        version: u32,
    }

    impl Server {
        fn carry_out(&mut self, action: &Action) -> Option<Event> {
            let (holding, fits) = match action {
                Action::Wait(_) => return None,
                Action::Read => return Some(Event::Read(self.lease.clone())),
                Action::Create(holding) => (holding, self.lease.is_none()),
                Action::Update(holding) => {
                    let known = self.lease.as_ref().map(|lease| &lease.version);
                    (holding, known == Some(&holding.version))
                }
            };
            if !fits {
                return Some(Event::Failed);
            }
            self.version += 1;
            let stored = Holding {
                version: self.version.to_string(),
                ..holding.clone()
            };
            self.lease = Some(stored.clone());
            Some(Event::Wrote(stored))
        }
    }

    fn turn(state: &mut State, server: &mut Server, now: Duration) {
        let mut event = Event::Go;
        loop {
            let actions = state.step(now, WALL, event);
            match actions.first().and_then(|action| server.carry_out(action)) {
                Some(next) => event = next,
                None => return,
            }
        }
    }

    #[test]
    fn the_next_one_leads_after_the_lease_or_at_once_when_it_is_given_back() {
        let mut server = Server::default();
        let mut first = State::new(Settings::new("a"));
        let mut second = State::new(Settings::new("b"));
        turn(&mut first, &mut server, seconds(0));
        turn(&mut second, &mut server, seconds(1));
        assert!(first.leads() && !second.leads());
        turn(&mut second, &mut server, seconds(15));
        assert!(!second.leads(), "it has seen that lease for 14 s only");
        turn(&mut second, &mut server, seconds(16));
        assert!(second.leads());
        assert_eq!(server.lease.as_ref().unwrap().transitions, 1);
        let released = second.step(seconds(17), WALL, Event::Release);
        server.carry_out(&released[0]);
        turn(&mut first, &mut server, seconds(17));
        assert!(first.leads());
    }

    #[test]
    fn a_leader_that_cannot_renew_stops_at_the_deadline() {
        let mut server = Server::default();
        let mut state = State::new(Settings::new("a"));
        turn(&mut state, &mut server, seconds(0));
        state.step(seconds(9), WALL, Event::Failed);
        assert!(state.leads());
        state.step(seconds(10), WALL, Event::Failed);
        assert!(!state.leads());
    }

    proptest! {
        /// Candidates that are heard of now and then, and cut off now and then: never two at once.
        #[test]
        fn never_two_leaders(script in prop::collection::vec((0..3_usize, any::<bool>(), 0..4_u64), 0..200)) {
            let mut server = Server::default();
            let mut all: Vec<_> = ["a", "b", "c"].map(|n| State::new(Settings::new(n))).into();
            let mut now = seconds(0);
            for (who, cut_off, pass) in script {
                now += seconds(pass);
                if cut_off {
                    all[who].step(now, WALL, Event::Failed);
                } else {
                    turn(&mut all[who], &mut server, now);
                }
                let leading = |state: &&State| state.leads() && now < state.deadline();
                prop_assert!(all.iter().filter(leading).count() <= 1);
            }
        }
    }
}
