//! Decides how a reflector goes on: list or streaming list, watch, wait, relist. Pure: what came
//! from the server goes in as events, what to do comes out as actions, waits are durations.

use std::time::Duration;

use crate::backoff::{Backoff, Jitter};

/// Objects in one page of a list.
pub const PAGE: u32 = 500;
/// Waits after failures.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(800),
    most: Duration::from_secs(30),
};
/// The server ends a watch after this many seconds, or up to twice that.
const WATCH_SECONDS: u32 = 300;
/// A watch that lived shorter than this counts as a failure: a server that opens and closes at
/// once must not be asked in a loop.
const SHORT: Duration = Duration::from_secs(1);

/// Where the reflector is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// About to get everything.
    Empty,
    /// In a paged list; the text is where the next page begins.
    Listing(String),
    /// In a streaming list.
    Streaming,
    /// Following changes.
    Watching,
    /// Waiting before it goes on: with a watch, if the flag is set and the version still known.
    Waiting,
}

/// All that a reflector remembers, apart from the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    phase: Phase,
    /// The version up to which the store is right. Empty: everything has to be fetched.
    version: String,
    /// The oldest version that a list may be of; `0` is whatever the server has at hand.
    not_older: String,
    /// Whether the server streams lists, as far as we know.
    streams: bool,
    failures: u32,
    jitter: Jitter,
}

/// What happened. Objects themselves go past this machine, straight into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The reflector starts, or a wait is over.
    Go,
    /// A page of a list is in the store. An empty token means that it was the last one.
    Page {
        /// The list's version.
        version: String,
        /// Where it goes on.
        next: String,
    },
    /// A watch event with this version is in the store.
    Applied {
        /// The object's version.
        version: String,
    },
    /// A bookmark.
    Bookmark {
        /// Everything up to this was sent.
        version: String,
        /// Whether with it the initial objects are complete.
        initial_end: bool,
    },
    /// The server ended the watch in good order.
    Ended {
        /// How long the watch was open.
        lived: Duration,
    },
    /// A list or a watch failed.
    Failed(Failure),
}

/// How something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The version, or the continue token, is no longer known: everything has to be fetched.
    Expired,
    /// The server does not know how to stream lists, or the stream never says that it is complete.
    NoStreaming,
    /// Anything else, and how long the server asks to wait.
    Other(Option<Duration>),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the store that a list begins.
    BeginList,
    /// Tell the store that a list is complete.
    EndList,
    /// Ask for a page.
    List {
        /// Where the last one ended; empty for the first.
        next: String,
        /// How old it may be.
        version: String,
    },
    /// Open a watch.
    Watch {
        /// From where on.
        version: String,
        /// Whether the stream begins with all objects.
        initial_events: bool,
        /// When the server is to end it.
        timeout_seconds: u32,
    },
    /// Do nothing for this long, then go on.
    Wait(Duration),
}

impl State {
    /// Before anything was fetched. The seed makes the waits of many nodes differ.
    #[must_use]
    pub fn new(jitter: Jitter, streams: bool) -> Self {
        Self {
            phase: Phase::Empty,
            version: String::new(),
            not_older: "0".to_owned(),
            streams,
            failures: 0,
            jitter,
        }
    }

    /// Whether what arrives now belongs to a list, not to changes.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        matches!(self.phase, Phase::Listing(_) | Phase::Streaming)
    }

    /// The version up to which the store is right; empty while that is not known.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Go if self.version.is_empty() => self.fetch(),
            Event::Go => vec![self.watch()],
            Event::Page { version, next } => self.page(version, next),
            Event::Applied { version } => self.applied(version),
            Event::Bookmark {
                version,
                initial_end,
            } => self.bookmark(version, initial_end),
            Event::Ended { lived } => self.ended(lived),
            Event::Failed(failure) => self.failed(failure),
        }
    }

    /// Everything anew.
    fn fetch(&mut self) -> Vec<Action> {
        if self.streams {
            self.phase = Phase::Streaming;
            let watch = Action::Watch {
                version: self.not_older.trim_start_matches('0').to_owned(),
                initial_events: true,
                timeout_seconds: self.timeout(),
            };
            return vec![Action::BeginList, watch];
        }
        self.phase = Phase::Listing(String::new());
        let list = Action::List {
            next: String::new(),
            version: self.not_older.clone(),
        };
        vec![Action::BeginList, list]
    }

    fn watch(&mut self) -> Action {
        self.phase = Phase::Watching;
        Action::Watch {
            version: self.version.clone(),
            initial_events: false,
            timeout_seconds: self.timeout(),
        }
    }

    /// Between once and twice the basic time, so that watches don't end together.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below twice the basic time, which fits"
    )]
    fn timeout(&mut self) -> u32 {
        let basic = Duration::from_secs(WATCH_SECONDS.into());
        self.jitter.stretch(basic, 1.0).as_secs() as u32
    }

    fn page(&mut self, version: String, next: String) -> Vec<Action> {
        if !next.is_empty() {
            self.phase = Phase::Listing(next.clone());
            let version = String::new();
            return vec![Action::List { next, version }];
        }
        self.complete(version);
        vec![Action::EndList, self.watch()]
    }

    fn complete(&mut self, version: String) {
        self.failures = 0;
        self.not_older.clone_from(&version);
        self.version = version;
    }

    fn applied(&mut self, version: String) -> Vec<Action> {
        // Initial objects come in any order: only the bookmark behind them names a version.
        if self.phase == Phase::Watching {
            self.complete(version);
        }
        Vec::new()
    }

    fn bookmark(&mut self, version: String, initial_end: bool) -> Vec<Action> {
        match self.phase {
            Phase::Streaming if initial_end => {
                self.complete(version);
                self.phase = Phase::Watching;
                vec![Action::EndList]
            }
            Phase::Watching => {
                self.complete(version);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, lived: Duration) -> Vec<Action> {
        if lived < SHORT || self.phase == Phase::Streaming {
            return self.failed(Failure::Other(None));
        }
        vec![self.watch()]
    }

    fn failed(&mut self, failure: Failure) -> Vec<Action> {
        match failure {
            Failure::Expired => {
                // The newest there is: what is at hand may be just as old.
                self.version.clear();
                self.not_older.clear();
            }
            Failure::NoStreaming => self.streams = false,
            Failure::Other(_) => {}
        }
        // The first of these says something about the version or the server's age: no reason to
        // wait. A server that goes on like that is waited for.
        if self.failures == 0 && !matches!(failure, Failure::Other(_)) {
            self.failures = 1;
            return self.fetch();
        }
        self.phase = Phase::Waiting;
        let wait = self.jitter.stretch(BACKOFF.after(self.failures), 1.0);
        self.failures += 1;
        let Failure::Other(Some(asked)) = failure else {
            return vec![Action::Wait(wait)];
        };
        vec![Action::Wait(wait.max(asked))]
    }
}

#[cfg(test)]
mod tests;
