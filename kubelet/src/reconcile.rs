//! The pure pod state machine: from what is wanted, seen and remembered of one pod to what to do
//! next.
//!
//! Nothing here performs input or output or reads a clock.
//!
//! Guarantees: an action is emitted only while no other action of its [`Key`] is under way, and is
//! noted in [`PodMemory::in_flight`]; called again with nothing changed, [`reconcile`] emits
//! nothing. Assumptions: each emitted action is answered by one event, the pod was listed before
//! the first call after a restart, and [`crate::observe::absorb`] is the only other writer of
//! observation and memory. Caveat: between two calls no more than [`Step::wake_at`] may pass.

mod containers;
mod images;
mod init_containers;
mod kills;
mod pod;
mod probes;
mod resize;
pub mod restart_backoff;
mod retention;
mod sandbox;
mod standing;
mod termination;
mod volumes;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use crate::model::memory::{ContainerMemory, InFlight};
use crate::model::{Action, Key, Life, Mono, Now, ObservedPod, PodMemory, PodSpec};

pub use standing::{Standing, is_ready, is_started, standing};
pub use termination::terminate;
pub use waits::{Wait, waits};

/// What the node's configuration says about restarts and retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Crash-loop back-off after the second crash; the first restart is at once.
    pub crash_backoff_initial: Duration,
    /// `crashLoopBackOff.maxContainerRestartPeriod`.
    pub crash_backoff_max: Duration,
    /// A container that ran longer than this starts afresh in its back-off.
    pub crash_reset_after: Duration,
    /// Back-off after the first failed image pull.
    pub image_backoff_initial: Duration,
    /// Longest back-off between image pulls.
    pub image_backoff_max: Duration,
    /// Delay after the first failure of anything else: sandbox, volumes, create, clean-up.
    pub retry_initial: Duration,
    /// Longest such delay.
    pub retry_max: Duration,
    /// Every process gets this long after its stop signal, however short its grace.
    pub least_grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            crash_backoff_initial: Duration::from_secs(10),
            crash_backoff_max: Duration::from_secs(300),
            crash_reset_after: Duration::from_secs(600),
            image_backoff_initial: Duration::from_secs(10),
            image_backoff_max: Duration::from_secs(300),
            retry_initial: Duration::from_millis(500),
            retry_max: Duration::from_secs(30),
            least_grace: Duration::from_secs(2),
        }
    }
}

/// One line for the journal and for events: what was decided or happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The reason of the event (`Killing`, `BackOff`, `FailedMount`, ...).
    pub reason: &'static str,
    /// Event type `Warning`, else `Normal`.
    pub warning: bool,
    /// The container that it is about.
    pub container: Option<Arc<str>>,
    /// For people.
    pub message: String,
    /// When the next attempt is due, where something is retried.
    pub next: Option<Mono>,
}

impl Note {
    /// A `Normal` note about a container.
    #[must_use]
    pub fn of(reason: &'static str, container: &Arc<str>, message: String) -> Self {
        let container = Some(container.clone());
        Self {
            reason,
            warning: false,
            container,
            message,
            next: None,
        }
    }

    /// A `Normal` note about the whole pod.
    #[must_use]
    pub fn of_pod(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            warning: false,
            container: None,
            message,
            next: None,
        }
    }

    /// The same as a `Warning`.
    #[must_use]
    pub fn warn(self) -> Self {
        Self {
            warning: true,
            ..self
        }
    }

    /// The same with the time of the next attempt.
    #[must_use]
    pub fn next_at(self, next: Mono) -> Self {
        Self {
            next: Some(next),
            ..self
        }
    }
}

/// What follows from one look at a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To be done now; actions of different keys may run at the same time.
    pub actions: Vec<Action>,
    /// Call again at this time even if nothing happens.
    pub wake_at: Option<Mono>,
    /// For the journal.
    pub notes: Vec<Note>,
}

/// Decides what to do for one pod now.
pub fn reconcile(
    now: Now,
    spec: &PodSpec,
    observed: &ObservedPod,
    memory: &mut PodMemory,
    policy: &Policy,
) -> Step {
    let mut turn = Turn {
        now,
        spec,
        observed,
        memory,
        policy,
        step: Step::default(),
    };
    if turn.memory.life == Life::Wanted {
        pod::run(&mut turn);
    }
    if let Life::Terminating(termination) = turn.memory.life.clone() {
        termination::wind_up(&mut turn, &termination);
    }
    if turn.memory.life == Life::Finished {
        termination::finish(&mut turn);
    }
    record_conditions(now, spec, observed, turn.memory);
    turn.step
}

/// Keeps when each condition last changed.
fn record_conditions(now: Now, spec: &PodSpec, observed: &ObservedPod, memory: &mut PodMemory) {
    for (condition, holds) in crate::status::truths(spec, observed, memory) {
        let entry = memory.conditions.entry(condition.to_owned());
        let entry = entry.or_insert((holds, now.wall));
        if entry.0 != holds {
            *entry = (holds, now.wall);
        }
    }
}

/// One call of [`reconcile`]: its inputs and what it has decided so far.
struct Turn<'a> {
    now: Now,
    spec: &'a PodSpec,
    observed: &'a ObservedPod,
    memory: &'a mut PodMemory,
    policy: &'a Policy,
    step: Step,
}

impl Turn<'_> {
    fn busy(&self, key: &Key) -> bool {
        self.memory.in_flight.contains_key(key)
    }

    fn container_busy(&self, name: &Arc<str>) -> bool {
        self.busy(&Key::Container(name.clone()))
    }

    /// Emits an action unless something of its key is under way. True when it did.
    fn emit(&mut self, action: Action) -> bool {
        let key = action.key();
        if self.busy(&key) {
            return false;
        }
        let since = self.now.mono;
        let entry = InFlight {
            action: action.clone(),
            since,
            cancelling: false,
        };
        self.memory.in_flight.insert(key, entry);
        self.step.actions.push(action);
        true
    }

    /// Gives up what is under way for a key, once.
    fn cancel(&mut self, key: &Key) {
        let Some(entry) = self.memory.in_flight.get_mut(key) else {
            return;
        };
        if !entry.cancelling {
            entry.cancelling = true;
            self.step.actions.push(Action::Cancel(key.clone()));
        }
    }

    /// Gives up everything under way that `which` holds for.
    fn cancel_where(&mut self, which: impl Fn(&Action) -> bool) {
        let in_flight = self.memory.in_flight.iter();
        let keys: Vec<Key> = in_flight
            .filter(|(_, entry)| which(&entry.action))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.cancel(&key);
        }
    }

    /// Asks to be called again at that time.
    fn wake(&mut self, at: Mono) {
        self.step.wake_at = Some(self.step.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// True when that time has come; else asks to be called again then.
    fn due(&mut self, at: Mono) -> bool {
        let due = at <= self.now.mono;
        if !due {
            self.wake(at);
        }
        due
    }

    fn note(&mut self, note: Note) {
        self.step.notes.push(note);
    }

    /// The memory of a container, made when there is none.
    fn mem(&mut self, name: &Arc<str>) -> &mut ContainerMemory {
        self.memory.container(name)
    }

    /// The newest sandbox, when containers can run in it.
    fn usable_sandbox(&self) -> Option<Arc<str>> {
        let newest = self.observed.newest_sandbox()?;
        let usable = newest.ready && !self.memory.stopped.contains(&newest.id);
        usable.then(|| newest.id.clone())
    }
}
