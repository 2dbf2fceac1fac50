//! What comes into the pod loop from outside: wishes of the sources, news of the runtime, and the
//! slow look at everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use keelson_cri::containerd::exits::Exit;
use keelson_cri::events::EventOrRelist;
use keelson_cri::values::Event as RuntimeEvent;
use tokio::time::{Duration, Instant};

use super::pod_loop::{AUDIT_PERIOD, Look, PodLoop};
use super::records::{Record, compare, orphan};
use crate::admit::{Verdict, admit, is_critical};
use crate::evict::Eviction;
use crate::journal::Kind;
use crate::metrics::names;
use crate::model::memory::{Life, Termination};
use crate::model::{DesiredPod, Event, Mono, ObservedContainer, ObservedPod, PodUid};
use crate::observe::clock;
use crate::observe::listing::{self, Outline};
use crate::observe::termination;
use crate::reconcile;

/// How long to wait before looking again when the runtime did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl PodLoop {
    /// Compares what is wanted with the pods at hand, once the runtime was seen.
    pub(super) fn compare_wishes(&mut self) {
        let Some(wanted) = self.wanted.clone().filter(|_| self.looked) else {
            return;
        };
        self.crowded = false;
        let changes = compare(&wanted, &self.parts.records.lock());
        self.follow_wishes(&wanted);
        for uid in &changes.retire {
            self.retire(uid);
        }
        let find = |uid: &PodUid| wanted.iter().find(|pod| pod.uid == *uid);
        self.held = changes
            .hold
            .iter()
            .filter_map(|(name, uid)| Some((name.clone(), find(uid)?.clone())))
            .collect();
        for pod in changes.accept.iter().filter_map(find) {
            self.accept(pod);
        }
        self.stop_strangers(&wanted);
        self.judge_resizes();
    }

    /// Takes on a pod: admits it, records its rejection, or leaves it for later.
    pub(super) fn accept(&mut self, desired: &DesiredPod) {
        let mut record = Record::new(desired);
        match self.verdict(desired) {
            Verdict::Admit => {}
            Verdict::Reject { reason, message } => {
                names::ADMISSION_REJECTIONS_TOTAL.inc(&[&reason]);
                let journal = &self.parts.journal;
                journal.tell_of(record.key(), Kind::Warning, &reason, &message);
                record.memory.life = Life::Rejected { reason, message };
            }
            Verdict::NotYet { .. } | Verdict::Preempt { .. } => {
                self.crowded = true;
                return;
            }
        }
        let now = clock::now();
        record.memory.start_time = Some(now.wall);
        record.memory.started = Some(now.mono);
        self.save(&desired.uid, &record);
        self.parts
            .records
            .lock()
            .insert(desired.uid.clone(), record);
        self.dirty.insert(desired.uid.clone());
        if self.strangers.remove(&desired.uid).is_some() {
            // Its record was lost, its containers were not.
            self.list(&desired.uid, None);
        }
    }

    /// Whether the node takes the pod; what has to make room for it is asked to end.
    fn verdict(&mut self, desired: &DesiredPod) -> Verdict {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let holding =
            |record: &&Record| matches!(record.memory.life, Life::Wanted | Life::Terminating(_));
        let admitted: Vec<(PodUid, Arc<Pod>)> = records
            .iter()
            .filter(|(_, record)| holding(record))
            .map(|(uid, record)| (uid.clone(), record.pod.clone()))
            .collect();
        let pods: Vec<&Pod> = admitted.iter().map(|(_, pod)| &**pod).collect();
        self.parts.admission.conditions = self.parts.conditions.borrow().clone();
        let verdict = admit(&desired.pod, &self.parts.admission, &pods);
        if let Verdict::Preempt { victims } = &verdict {
            for (uid, _) in victims.iter().filter_map(|index| admitted.get(*index)) {
                if let Some(record) = records.get_mut(uid) {
                    let text = "Preempted in order to admit critical pod".to_owned();
                    let failed = Some(("Preempting".to_owned(), text));
                    let asked = termination(record, failed);
                    reconcile::terminate(&mut record.memory, asked);
                    self.dirty.insert(uid.clone());
                }
            }
        }
        verdict
    }

    fn retire(&mut self, uid: &PodUid) {
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let Some(record) = records.get_mut(uid) else {
            return;
        };
        let mut asked = termination(record, None);
        if let Some(grace) = self.asked_grace(uid) {
            asked.grace = grace;
        }
        reconcile::terminate(&mut record.memory, asked);
        self.save(uid, record);
        self.dirty.insert(uid.clone());
    }

    /// Ends a pod to help the node. Its object stays, as Failed.
    pub(super) fn evict(&mut self, eviction: Eviction) {
        let Eviction {
            uid,
            message,
            signal,
            grace,
        } = eviction;
        let records = self.parts.records.clone();
        let mut records = records.lock();
        let Some(record) = records.get_mut(&uid) else {
            return;
        };
        if record.memory.life != Life::Wanted {
            return;
        }
        if is_critical(&record.pod) {
            let text = format!("{message}; a critical pod is not evicted");
            self.note(
                record,
                &[reconcile::Note::of_pod("EvictionRefused", text).warn()],
            );
            return;
        }
        self.note(
            record,
            &[reconcile::Note::of_pod("Evicted", message.clone()).warn()],
        );
        let asked = Termination {
            grace,
            ..termination(record, Some(("Evicted".to_owned(), message)))
        };
        reconcile::terminate(&mut record.memory, asked);
        self.save(&uid, record);
        names::EVICTIONS.inc(&[signal]);
        self.dirty.insert(uid);
    }

    /// Begins a quick look at everything, unless one is under way.
    pub(super) fn start_look(&mut self) {
        self.look_at = Instant::now() + AUDIT_PERIOD;
        if self.looks.is_empty() {
            let executor = self.parts.executor.clone();
            self.looks.spawn(async move {
                let since = clock::mono();
                Ok((since, listing::outline(&executor.cri).await?))
            });
        }
    }

    /// Lists every pod that looks other than it is thought to be.
    pub(super) fn looked_at_all(&mut self, look: Look) {
        let (since, mut outlines) = match look {
            Ok(look) => look,
            Err(error) => {
                let at = clock::now().wall;
                let text = error.to_string();
                self.parts
                    .journal
                    .record_node(at, Kind::Warning, "RuntimeUnavailable", &text);
                self.look_at = Instant::now() + LOOK_AGAIN;
                return;
            }
        };
        self.count_look(since);
        let first = !std::mem::replace(&mut self.looked, true);
        let doubtful: Vec<PodUid> = {
            let records = self.parts.records.lock();
            let differs = |(uid, record): (&PodUid, &Record)| {
                let seen = outlines.remove(uid).unwrap_or_default();
                (first || !agrees(&record.observed, &seen, since)).then(|| uid.clone())
            };
            records.iter().filter_map(differs).collect()
        };
        for uid in &doubtful {
            self.list(uid, None);
        }
        self.strangers = outlines;
        self.compare_wishes();
    }

    fn count_look(&mut self, since: Mono) {
        let now = clock::now();
        names::PLEG_RELIST_DURATION_SECONDS.observe_duration(&[], now.mono.since(since));
        if let Some(before) = self.last_look.replace(since) {
            names::PLEG_RELIST_INTERVAL_SECONDS.observe_duration(&[], since.since(before));
        }
        let seconds = now.wall.as_duration().as_secs_f64();
        names::PLEG_LAST_SEEN_SECONDS.set(&[], seconds);
    }

    /// Pods in the runtime that no source wants and nobody here knows are stopped.
    fn stop_strangers(&mut self, wanted: &[Arc<DesiredPod>]) {
        let unwanted = |uid: &PodUid| !wanted.iter().any(|pod| pod.uid == *uid);
        let (gone, kept) = std::mem::take(&mut self.strangers)
            .into_iter()
            .partition(|(uid, _)| unwanted(uid));
        self.strangers = kept;
        let gone: BTreeMap<PodUid, Outline> = gone;
        for (uid, outline) in gone {
            self.parts
                .records
                .lock()
                .insert(uid.clone(), orphan(&uid, &outline));
            self.list(&uid, None);
            self.retire(&uid);
        }
    }

    /// News from the runtime: merged at once, or a reason to look.
    pub(super) fn runtime_news(&mut self, news: EventOrRelist) {
        match news {
            EventOrRelist::Relist => self.start_look(),
            EventOrRelist::Event(event) => self.runtime_event(&event),
            EventOrRelist::Exit(exit) => self.exited(exit),
        }
    }

    fn exited(&mut self, exit: Exit) {
        let has = |record: &Record| {
            let mut all = record.observed.containers.iter();
            all.any(|c| *c.id == *exit.container_id)
        };
        let uid = {
            let records = self.parts.records.lock();
            let mut pods = records.iter();
            pods.find_map(|(uid, record)| has(record).then(|| uid.clone()))
        };
        if let Some(uid) = uid {
            let Exit { exit_code, at, .. } = exit;
            let id = exit.container_id.into();
            self.absorb(&uid, Event::Exited { id, exit_code, at });
        }
    }

    fn runtime_event(&mut self, event: &RuntimeEvent) {
        let Some(sandbox) = &event.sandbox else {
            return;
        };
        let uid = PodUid::from(sandbox.sandbox.uid.as_str());
        let seen = clock::mono();
        let records = self.parts.records.lock();
        let Some(record) = records.get(&uid) else {
            return;
        };
        // An event may be old news: only what is known already is updated by it. What is new comes
        // with the outcome of the action that made it.
        let known = |id: &str| record.observed.containers.iter().any(|c| &*c.id == id);
        let containers: Vec<ObservedContainer> = event
            .containers
            .iter()
            .filter(|status| known(&status.id))
            .map(|status| {
                let node = &self.parts.executor.node;
                let seen = listing::container(status, &sandbox.sandbox.id, seen);
                termination::with_last_words(node, uid.as_str(), seen, status)
            })
            .collect();
        let id = &sandbox.sandbox.id;
        let known = record
            .observed
            .sandboxes
            .iter()
            .any(|s| &*s.id == id.as_str());
        let sandbox = known.then(|| listing::sandbox(sandbox, seen));
        drop(records);
        if sandbox.is_some() || !containers.is_empty() {
            self.absorb(
                &uid,
                Event::Seen {
                    sandbox,
                    containers,
                },
            );
        }
    }
}

/// The pod's way out, from now on. With a failure its object stays.
fn termination(record: &Record, failed: Option<(String, String)>) -> Termination {
    Termination {
        since: clock::mono(),
        grace: record.spec.grace,
        object_stays: failed.is_some(),
        failed,
    }
}

/// The runtime shows what is thought to be there; what was seen after the look began is not held
/// against it.
fn agrees(observed: &ObservedPod, outline: &Outline, since: Mono) -> bool {
    let sandboxes: BTreeMap<&str, bool> = observed
        .sandboxes
        .iter()
        .filter(|s| s.seen < since)
        .map(|s| (&*s.id, s.ready))
        .collect();
    let containers: BTreeMap<&str, _> = observed
        .containers
        .iter()
        .filter(|c| c.seen < since)
        .map(|c| (&*c.id, c.state))
        .collect();
    let newer =
        observed.sandboxes.len() + observed.containers.len() - sandboxes.len() - containers.len();
    newer > 0
        || outline
            .sandboxes
            .iter()
            .map(|(id, ready)| (id.as_str(), *ready))
            .eq(sandboxes)
            && outline
                .containers
                .iter()
                .map(|(id, state)| (id.as_str(), *state))
                .eq(containers)
}
