//! Follows the runtime's container events across broken connections.
//!
//! Guarantees: after every connection, and whenever an event was or may have been lost, a
//! [`EventOrRelist::Relist`] comes. The runtime is always read from: it blocks all of its own
//! bookkeeping on a subscriber that does not take its events, so a slow consumer here loses events
//! and gets a relist instead. Caveat: a runtime may replay old events on connection.
//!
//! It must not interpret events, and it starts no task: who calls [`follow_events`] runs it.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, warn};

use crate::client::{Client, EventStream};
use crate::containerd::exits::{self, Exit};
use crate::error::CriError;
use crate::values::Event;

/// Events that wait for the consumer at most.
const CAPACITY: usize = 256;

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventOrRelist {
    /// Something happened.
    Event(Box<Event>),
    /// A container has ended; the event that says so is on its way.
    Exit(Exit),
    /// Something may have been missed: look at everything.
    Relist,
}

/// How long to wait between attempts to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Backoff {
    /// From 100 ms to 5 s: the node depends on it, and the socket is local.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The wait after that many failures in a row, the first being 0. `random` takes up to half
    /// of it away.
    #[must_use]
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.max);
        let spread = u64::try_from(full.as_nanos() / 2).unwrap_or(u64::MAX);
        full - Duration::from_nanos(random.checked_rem(spread).unwrap_or(0))
    }
}

/// A receiver of events, and the future that feeds it and must be run.
///
/// The future ends with `Ok` once the receiver is dropped, and with an error only when the runtime
/// has no events at all (`Unimplemented`); it never waits for a first event before the consumer
/// hears of the connection.
pub fn follow_events(
    client: Client,
    backoff: Backoff,
) -> (
    mpsc::Receiver<EventOrRelist>,
    impl Future<Output = Result<(), CriError>> + Send,
) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let hints = sender.clone();
    let both = async move {
        tokio::select! {
            ended = follow(client.clone(), backoff, Outlet::new(sender)) => ended,
            () = exits::follow(&client, &hints) => Ok(()),
        }
    };
    (receiver, both)
}

async fn follow(client: Client, backoff: Backoff, mut outlet: Outlet) -> Result<(), CriError> {
    let mut random = Random::new();
    let mut failures = 0;
    loop {
        let ended = session(&client, &mut outlet, &mut failures).await;
        match ended {
            Err(End::ConsumerGone) => return Ok(()),
            Err(End::Failed(error)) if error.is_unimplemented() => return Err(error),
            // Once per interruption; the attempts that follow say nothing new.
            Err(End::Failed(error)) if failures == 0 => {
                warn!(%error, "container events are interrupted");
            }
            Err(End::Failed(error)) => debug!(%error, failures, "still no container events"),
            Ok(()) => debug!("the runtime ended the container events"),
        }
        let wait = tokio::time::sleep(backoff.delay(failures, random.next()));
        failures += 1;
        tokio::select! {
            () = outlet.closed() => return Ok(()),
            () = wait => {}
        }
    }
}

/// Why a session ended early.
enum End {
    ConsumerGone,
    Failed(CriError),
}

impl From<CriError> for End {
    fn from(error: CriError) -> Self {
        Self::Failed(error)
    }
}

/// One subscription from connection to break.
async fn session(client: &Client, outlet: &mut Outlet, failures: &mut u32) -> Result<(), End> {
    let mut subscription = pin!(client.subscribe());
    // A subscription that has no event yet answers nothing at all. The runtime takes requests of
    // one connection in order, so once it answers this one it has the other.
    let early = tokio::select! {
        biased;
        () = outlet.closed() => return Err(End::ConsumerGone),
        stream = &mut subscription => Some(stream?),
        version = client.version() => { version?; None }
    };
    *failures = 0;
    outlet.relist();
    let stream = match early {
        Some(stream) => stream,
        None => outlet.while_open(subscription).await??,
    };
    forward(stream, outlet).await
}

async fn forward(mut stream: EventStream, outlet: &mut Outlet) -> Result<(), End> {
    loop {
        match outlet.while_open(stream.next()).await? {
            Ok(Some(event)) => outlet.event(event),
            Ok(None) => return Ok(()),
            // An event of a kind that we do not know; the next ones may be fine.
            Err(error @ CriError::BadReply { .. }) => {
                debug!(%error, "an event is replaced by a relist");
                outlet.relist();
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The sending side: never blocks, and owes a relist for whatever did not fit.
struct Outlet {
    sender: mpsc::Sender<EventOrRelist>,
    owes_relist: bool,
}

impl Outlet {
    fn new(sender: mpsc::Sender<EventOrRelist>) -> Self {
        Self {
            sender,
            owes_relist: false,
        }
    }

    fn event(&mut self, event: Event) {
        if !self.owes_relist {
            self.offer(EventOrRelist::Event(Box::new(event)));
        }
    }

    fn relist(&mut self) {
        if !self.owes_relist {
            self.offer(EventOrRelist::Relist);
        }
    }

    fn offer(&mut self, item: EventOrRelist) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(item) {
            self.owes_relist = true;
        }
    }

    async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Waits for the runtime, pays an owed relist as soon as it fits, and gives up with the
    /// consumer.
    async fn while_open<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                permit = self.sender.reserve(), if self.owes_relist => {
                    permit.map_err(|_| End::ConsumerGone)?.send(EventOrRelist::Relist);
                    self.owes_relist = false;
                }
                () = self.sender.closed() => return Err(End::ConsumerGone),
                done = &mut work => return Ok(done),
            }
        }
    }
}

/// A small generator, good enough to keep nodes from calling in step.
struct Random(u64);

impl Random {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(std::process::id()) | 1)
    }

    /// The next number of Marsaglia's xorshift.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::EventKind;
    use jiff::Timestamp;

    fn event(id: usize) -> Event {
        Event {
            kind: EventKind::Started,
            container_id: id.to_string(),
            created_at: Timestamp::UNIX_EPOCH,
            sandbox: None,
            containers: Vec::new(),
        }
    }

    #[test]
    fn delays_double_to_the_maximum_and_are_spread() {
        let backoff = Backoff::default();
        let check = |failures, random, millis| {
            let expected = Duration::from_millis(millis);
            assert_eq!(backoff.delay(failures, random), expected, "{failures}");
        };
        check(0, 0, 100);
        check(1, 0, 200);
        check(5, 0, 3200);
        check(6, 0, 5000);
        check(40, 0, 5000);
        check(0, 25_000_000, 75);
        check(0, u64::from(u32::MAX) * 50_000_000 + 10_000_000, 90);
        let still = Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        };
        assert_eq!(still.delay(3, 7), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_channel_loses_events_and_owes_one_relist() {
        let (sender, mut receiver) = mpsc::channel(2);
        let mut outlet = Outlet::new(sender);
        for id in 0..10 {
            outlet.event(event(id));
        }
        let waiting = outlet.while_open(std::future::pending::<()>());
        tokio::select! {
            _ = waiting => unreachable!("nothing ends the wait"),
            () = async {
                for expected in ["0", "1"] {
                    match receiver.recv().await {
                        Some(EventOrRelist::Event(event)) => assert_eq!(event.container_id, expected),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(receiver.recv().await, Some(EventOrRelist::Relist));
            } => {}
        }
        outlet.event(event(11));
        assert!(matches!(
            receiver.recv().await,
            Some(EventOrRelist::Event(_))
        ));
    }
}
