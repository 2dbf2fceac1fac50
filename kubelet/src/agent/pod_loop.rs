//! The pod loop: the one task that owns every pod.
//!
//! It takes in what sources want, what the runtime reports and how actions ended; lets the pure
//! reconciler decide; and starts actions. It makes no calls itself and never waits for one.
//!
//! Guarantees: of one pod, two actions of equal key never run together; every started action is
//! owned by the loop's task set and dropped with it; after any failure that may have happened all
//! the same, the pod is listed before it is decided on again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use keelson_cri::events::EventOrRelist;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::pressure::Conditions;
use super::records::{FullName, Record};
use super::remembered::{Remembered, promises};
use super::saver::Saver;
use super::wakes::Wakes;
use crate::admit::NodeFacts;
use crate::checkpoint;
use crate::evict::Eviction;
use crate::execute::{Executor, Job};
use crate::journal::{Journal, Kind, PodKey};
use crate::metrics::{names, record};
use crate::model::memory::Life;
use crate::model::objects::Objects;
use crate::model::{Action, DesiredPod, Event, Key, Mono, PodUid};
use crate::observe::listing::Outline;
use crate::observe::{absorb, clock};
use crate::reconcile::{self, Note, Policy};

/// A slow look at everything: catches what events failed to tell.
pub(super) const AUDIT_PERIOD: Duration = Duration::from_secs(60);
/// Sleeping when nothing is due: health checks see the loop turn all the same.
const IDLE_TURN: Duration = Duration::from_secs(30);

/// All pods of the node, shared with the servers, which only read. Locked for moments, never
/// across a wait.
pub type Records = Arc<parking_lot::Mutex<BTreeMap<PodUid, Record>>>;

/// What all sources together want; `None` until each of them has spoken once.
pub type Wanted = watch::Receiver<Option<Arc<Vec<Arc<DesiredPod>>>>>;

/// A quick look at everything in the runtime, and when it began.
pub(super) type Look = Result<(Mono, BTreeMap<PodUid, Outline>), keelson_cri::CriError>;

/// What the loop is made of.
pub struct Parts {
    /// The pods, as restored from checkpoints.
    pub records: Records,
    /// Turns actions into calls.
    pub executor: Arc<Executor>,
    /// Periods and limits of decisions.
    pub policy: Policy,
    /// What pods are admitted to.
    pub admission: NodeFacts,
    /// The conditions that the node has.
    pub conditions: Conditions,
    /// The journal of decisions.
    pub journal: Arc<Journal>,
    /// Writes checkpoints.
    pub saver: Saver,
    /// The id of this boot, for checkpoints.
    pub boot_id: Arc<str>,
    /// When the loop last turned; health checks read it.
    pub turned: watch::Sender<Mono>,
    /// Counts the changes of what is observed; log followers read it.
    pub changes: watch::Sender<u64>,
}

/// What comes into the loop from outside.
pub struct Inputs {
    /// What sources want.
    pub wanted: Wanted,
    /// News of the runtime.
    pub news: mpsc::Receiver<EventOrRelist>,
    /// Pods that are to end to help the node.
    pub evictions: mpsc::Receiver<Eviction>,
    /// Pods whose volumes show something old.
    pub outdated: mpsc::Receiver<PodUid>,
}

/// What the runtime, the watch over the node and the watch over objects tell.
type Told = (
    mpsc::Receiver<EventOrRelist>,
    mpsc::Receiver<Eviction>,
    mpsc::Receiver<PodUid>,
);

impl Inputs {
    /// Puts them together.
    #[must_use]
    pub fn new(wanted: Wanted, (news, evictions, outdated): Told) -> Self {
        Self {
            wanted,
            news,
            evictions,
            outdated,
        }
    }
}

/// The pod loop.
pub struct PodLoop {
    pub(super) parts: Parts,
    pub(super) held: BTreeMap<FullName, Arc<DesiredPod>>,
    /// Pods wait for others to end before they are admitted.
    pub(super) crowded: bool,
    /// A pod ended: others may fit now.
    ended_life: bool,
    pub(super) wanted: Option<Arc<Vec<Arc<DesiredPod>>>>,
    pub(super) dirty: BTreeSet<PodUid>,
    pub(super) looks: JoinSet<Look>,
    pub(super) look_at: Instant,
    pub(super) looked: bool,
    /// When the last look that was answered began.
    pub(super) last_look: Option<Mono>,
    /// Pods in the runtime without a record, from the last look.
    pub(super) strangers: BTreeMap<PodUid, Outline>,
    /// Pods that are being listed: nothing is decided about them until that is told.
    unlisted: BTreeSet<PodUid>,
    wakes: Wakes,
    running: JoinSet<Vec<Event>>,
    handles: HashMap<Id, (PodUid, Option<Key>)>,
    aborts: HashMap<(PodUid, Key), AbortHandle>,
}

impl PodLoop {
    /// A loop that has not looked at the runtime yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            held: BTreeMap::new(),
            crowded: false,
            ended_life: false,
            wanted: None,
            dirty: BTreeSet::new(),
            looks: JoinSet::new(),
            look_at: Instant::now(),
            looked: false,
            last_look: None,
            strangers: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            wakes: Wakes::default(),
            running: JoinSet::new(),
            handles: HashMap::new(),
            aborts: HashMap::new(),
        }
    }

    /// Runs until `stop` resolves. Containers go on without us; what is under way is dropped, and
    /// the next start finds out what became of it.
    pub async fn run(mut self, inputs: Inputs, stop: impl Future<Output = ()>) {
        let Inputs {
            mut wanted,
            mut news,
            mut evictions,
            mut outdated,
        } = inputs;
        let mut stop = std::pin::pin!(stop);
        loop {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                Some(look) = self.looks.join_next() => {
                    if let Ok(look) = look {
                        self.looked_at_all(look);
                    }
                }
                Some(item) = news.recv() => self.runtime_news(item),
                Some(eviction) = evictions.recv() => self.evict(eviction),
                Some(uid) = outdated.recv() => self.absorb(&uid, Event::Outdated),
                Ok(()) = wanted.changed() => {
                    self.wanted = wanted.borrow_and_update().clone();
                    self.compare_wishes();
                }
                () = tokio::time::sleep_until(self.look_at) => self.start_look(),
                () = tokio::time::sleep(wake) => {}
            }
            self.turn();
        }
        self.running.shutdown().await;
    }

    /// Decides on every pod that something happened to or that is due.
    fn turn(&mut self) {
        let now = clock::now();
        let due = self.wakes.take_due(now.mono);
        self.dirty.extend(due);
        if self.looked {
            for uid in std::mem::take(&mut self.dirty) {
                if !self.unlisted.contains(&uid) {
                    self.decide(&uid);
                }
            }
        }
        if std::mem::take(&mut self.ended_life) {
            match self.crowded {
                true => self.compare_wishes(),
                false => self.judge_resizes(),
            }
        }
        self.parts.turned.send_replace(now.mono);
    }

    fn next_wake(&self) -> Duration {
        let now = clock::mono();
        self.wakes
            .next()
            .map_or(IDLE_TURN, |at| at.since(now).min(IDLE_TURN))
    }

    fn decide(&mut self, uid: &PodUid) {
        let now = clock::now();
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let burstable = records
            .values()
            .map(|record| record.burstable_milli_cpu)
            .sum();
        let Some(record) = records.get_mut(uid) else {
            return;
        };
        let before = Remembered::of(&record.memory);
        let promised = promises(&record.memory);
        let step = reconcile::reconcile(
            now,
            &record.spec,
            &record.observed,
            &mut record.memory,
            &self.parts.policy,
        );
        self.note(record, &step.notes);
        for action in step.actions {
            self.start(uid, record, burstable, action);
        }
        self.wakes.set(uid, step.wake_at);
        if record.memory.life == Life::Gone {
            let gone = record.full_name();
            records.remove(uid);
            drop(records);
            self.forget(uid, &gone);
        } else if before.differs_from(&record.memory) {
            match promised == promises(&record.memory) {
                true => self.save(uid, record),
                false => self.parts.saver.say(uid.clone(), self.checkpoint(record)),
            }
            self.ended_life |= record.memory.life != Life::Wanted;
        }
    }

    fn start(&mut self, uid: &PodUid, record: &Record, burstable: u64, action: Action) {
        let key = action.key();
        if let Action::Cancel(key) = action {
            if let Some(running) = self.aborts.get(&(uid.clone(), key)) {
                running.abort();
            }
            return;
        }
        let job = Job {
            uid: uid.clone(),
            pod: record.pod.clone(),
            origin: record.origin.clone(),
            objects: Objects::default(),
            spec: record.spec.clone(),
            ips: record
                .observed
                .newest_sandbox()
                .map(|s| s.ips.clone())
                .unwrap_or_default(),
            containers: live_containers(record),
            burstable_milli_cpu: burstable,
            action,
        };
        let executor = self.parts.executor.clone();
        let handle = self.running.spawn(async move { executor.run(job).await });
        self.handles
            .insert(handle.id(), (uid.clone(), Some(key.clone())));
        self.aborts.insert((uid.clone(), key), handle);
    }

    fn ended(&mut self, ended: Result<(Id, Vec<Event>), JoinError>) {
        let (id, events) = match ended {
            Ok((id, events)) => (id, Some(events)),
            Err(error) => (error.id(), None),
        };
        let Some((uid, key)) = self.handles.remove(&id) else {
            return;
        };
        let Some(key) = key else {
            events
                .into_iter()
                .flatten()
                .for_each(|event| self.absorb(&uid, event));
            return;
        };
        self.aborts.remove(&(uid.clone(), key.clone()));
        match events {
            Some(events) => events
                .into_iter()
                .for_each(|event| self.absorb(&uid, event)),
            // Aborted, or it panicked: what it has done by then is for a listing to tell, and until
            // then it counts as under way.
            None => self.list(&uid, Some(Event::Cancelled(key))),
        }
    }

    /// Lets one event change what is observed, and marks the pod for a decision.
    pub(super) fn absorb(&mut self, uid: &PodUid, event: Event) {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let Some(record) = records.get_mut(uid) else {
            return;
        };
        if matches!(event, Event::Listed { .. }) {
            self.unlisted.remove(uid);
        }
        let now = clock::now();
        let had_started = record.has_started();
        let notes = absorb(
            now,
            &record.spec,
            &mut record.observed,
            &mut record.memory,
            &self.parts.policy,
            event,
        );
        if !had_started
            && record.has_started()
            && let Some(since) = record.memory.started
        {
            let took = now.mono.since(since);
            names::POD_START_DURATION_SECONDS.observe_duration(&[], took);
        }
        self.note(record, &notes);
        self.dirty.insert(uid.clone());
        self.parts
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Lists one pod in full, however long that takes; what it shows comes back as an event, before
    /// `then`.
    pub(super) fn list(&mut self, uid: &PodUid, then: Option<Event>) {
        let (executor, of) = (self.parts.executor.clone(), uid.clone());
        self.unlisted.insert(uid.clone());
        let handle = self.running.spawn(async move {
            let listed = executor.list_until_told(&of).await;
            [listed].into_iter().chain(then).collect()
        });
        self.handles.insert(handle.id(), (uid.clone(), None));
    }

    pub(super) fn note(&self, record: &Record, notes: &[Note]) {
        let at = jiff::Timestamp::now();
        for note in notes {
            let container = note.container.as_ref();
            let role = container.and_then(|name| record.spec.container(name));
            let field = role.map(|spec| spec.role.field(&spec.name));
            let pod = PodKey {
                field: field.as_deref().unwrap_or_default(),
                ..record.key()
            };
            let kind = if note.warning {
                Kind::Warning
            } else {
                Kind::Normal
            };
            self.parts
                .journal
                .record(at, pod, kind, note.reason, &note.message);
        }
    }

    pub(super) fn save(&self, uid: &PodUid, record: &Record) {
        self.parts.saver.save(uid.clone(), self.checkpoint(record));
    }

    fn checkpoint(&self, record: &Record) -> checkpoint::Record {
        checkpoint::Record {
            boot_id: self.parts.boot_id.clone(),
            at: clock::mono(),
            origin: record.origin.clone(),
            pod: record.pod.clone(),
            memory: record.memory.clone(),
        }
    }

    fn forget(&mut self, uid: &PodUid, name: &FullName) {
        self.ended_life = true;
        self.wakes.set(uid, None);
        self.parts.saver.forget(uid.clone());
        self.parts.journal.forget(uid.as_str());
        record::forget_pod(&name.0, &name.1, uid.as_str());
        if let Some(next) = self.held.remove(name) {
            self.accept(&next);
        }
    }
}

fn live_containers(record: &Record) -> BTreeMap<Arc<str>, Arc<str>> {
    use crate::model::ContainerState::Running;
    let running = record
        .observed
        .containers
        .iter()
        .filter(|c| c.state == Running);
    running.map(|c| (c.name.clone(), c.id.clone())).collect()
}
