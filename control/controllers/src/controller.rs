//! What a controller is: a name, a pure `reconcile` and the plan that it answers with. Must not
//! know how plans are carried out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use keelson_client::cache::Key;
use keelson_client::runner::Outcome;

use crate::kinds::Kind;
use crate::wiring::Wiring;
use crate::write::Write;

/// What a controller gets to decide on, besides the stores that it keeps.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// What it is about; usually the namespace and name of an object.
    pub key: &'a Key,
    /// Why the last plan for this key could not be carried out to its end; `None` if it was.
    pub failure: Option<&'a Failure>,
}

/// A write that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was done to an object of which kind.
    pub verb: Verb,
    /// The plural of the kind.
    pub resource: String,
    /// What the server said.
    pub message: String,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// An object was to be made.
    Create,
    /// An object was to be changed.
    Change,
    /// An object was to be removed.
    Delete,
}

/// What a controller wants to happen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What is written, in this order. The first that fails ends the plan; the key is then tried
    /// again after a back-off. Neighbouring creations of one kind, and neighbouring deletions, go
    /// out in groups that double in size, so that a server that refuses is asked once.
    pub writes: Vec<Write>,
    /// When to look again, if nothing happens before.
    pub requeue: Option<Duration>,
    /// What to tell people, after the writes.
    pub events: Vec<Event>,
}

/// Something to tell about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The object.
    pub about: About,
    /// Whether it is a warning.
    pub warning: bool,
    /// A word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// Which object is told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
}

impl About {
    /// An object that is watched.
    #[must_use]
    pub fn of<K: Kind>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            api_version: K::RESOURCE.api_version(),
            kind: K::RESOURCE.kind.into_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }
    }
}

impl Plan {
    /// Adds a write.
    pub fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Looks again after this time at the latest.
    pub fn requeue_after(&mut self, time: Duration) {
        self.requeue = Some(self.requeue.map_or(time, |earlier| earlier.min(time)));
    }

    /// Tells something normal.
    pub fn tell(&mut self, about: About, reason: &'static str, message: String) {
        self.events.push(Event {
            about,
            warning: false,
            reason,
            message,
        });
    }

    /// Tells something that is wrong.
    pub fn warn(&mut self, about: About, reason: &'static str, message: String) {
        self.events.push(Event {
            about,
            warning: true,
            reason,
            message,
        });
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty() && self.requeue.is_none()
    }
}

/// A controller that decides. It keeps the [`keelson_client::Store`]s it reads from, and nothing
/// that changes.
pub trait Reconcile: Send + Sync + 'static {
    /// What is to be done about a key. Never called for one key twice at the same time, nor while
    /// the stores lack anything that an earlier plan for this key wrote.
    fn reconcile(&self, input: &Input<'_>) -> Plan;
}

/// Why work on a key failed. It is tried again after a back-off.
pub type ActError = Box<dyn std::error::Error + Send + Sync>;

/// The future of an [`Act`].
pub type Acting<'a> = Pin<Box<dyn Future<Output = Result<Outcome, ActError>> + Send + 'a>>;

/// A controller whose work is more than reading caches and writing objects: it asks the server,
/// signs, discovers. What it decides should still be decided in pure functions.
pub trait Act: Send + Sync + 'static {
    /// Works on a key.
    fn act<'a>(&'a self, key: &'a Key) -> Acting<'a>;
}

/// What does the work of a controller.
pub enum Work {
    /// A decision, carried out by the executor.
    Decide(Box<dyn Reconcile>),
    /// Anything else.
    Act(Box<dyn Act>),
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decide(_) => "Decide",
            Self::Act(_) => "Act",
        })
    }
}

impl Work {
    /// A controller that decides.
    #[must_use]
    pub fn decide(controller: impl Reconcile) -> Self {
        Self::Decide(Box::new(controller))
    }

    /// A controller that acts.
    #[must_use]
    pub fn act(controller: impl Act) -> Self {
        Self::Act(Box::new(controller))
    }
}

/// A line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The name, as `--controllers` takes it.
    pub name: &'static str,
    /// The name it had before 1.28, which is still understood.
    pub alias: &'static str,
    /// The service account it acts as in `kube-system`, which upstream's roles are bound to; empty
    /// for the program itself.
    pub account: &'static str,
    /// Whether `*` includes it.
    pub by_default: bool,
    /// How many keys are worked on at once.
    pub at_once: usize,
    /// Says what it watches and makes it. `None` if the options leave it nothing to do.
    pub build: fn(&mut Wiring<'_>) -> Option<Work>,
}
