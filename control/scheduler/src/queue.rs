//! Pods that wait for a node, in three parts: those whose turn it is (highest priority first,
//! oldest first), those that were refused a short while ago, and those that no node will do for
//! until something changes. Decides whose turn it is; pure: `now` is the time since the start.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::framework::PluginSet;
use crate::model::{Pod, PodKey};

/// How long refused pods wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// After the first refusal; doubles with each.
    pub first: Duration,
    /// At most.
    pub most: Duration,
    /// After which time a pod is looked at again even though nothing seems to have changed.
    pub forgotten: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(10),
            forgotten: Duration::from_secs(300),
        }
    }
}

/// In which part a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It has its turn as soon as those before it had theirs.
    Active,
    /// It waits a while.
    Backoff,
    /// It waits for a change.
    Unschedulable,
    /// It is held back and not thought about.
    Held,
    /// It was given out and is being placed.
    Taken,
}

/// What `active` is ordered by: the other way round for priorities.
type Turn = (i64, Duration, u64);

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    part: Part,
    /// Since when it waits, for the order.
    since: Duration,
    /// Since when it is in its part.
    moved: Duration,
    number: u64,
    attempts: u32,
    refused_by: PluginSet,
    /// When its back-off ends.
    until: Duration,
}

impl Entry {
    fn turn(&self) -> Turn {
        (-i64::from(self.pod.class.priority), self.since, self.number)
    }
}

/// A pod whose turn it is.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Since when it waits.
    pub since: Duration,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    waits: Waits,
    pods: HashMap<PodKey, Entry>,
    active: BTreeSet<(Turn, PodKey)>,
    backoff: BTreeSet<(Duration, PodKey)>,
    unschedulable: BTreeSet<PodKey>,
    next: u64,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(waits: Waits) -> Self {
        Self {
            waits,
            pods: HashMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            next: 0,
        }
    }

    /// A pod is there that has no node, new or changed. `held` where it is not to be thought
    /// about, `woken` where the change may help it.
    pub fn put(&mut self, now: Duration, pod: Arc<Pod>, held: bool, woken: bool) {
        let key = pod.key.clone();
        let known = self
            .pods
            .get_mut(&key)
            .filter(|known| known.pod.uid == pod.uid);
        let Some(entry) = known else {
            self.remove(&key);
            return self.add(now, pod, held);
        };
        let before = entry.part;
        if before == Part::Active {
            // Its priority may have changed.
            self.leave(&key);
        }
        let Some(entry) = self.pods.get_mut(&key) else {
            return;
        };
        entry.pod = pod;
        let until = entry.until;
        match before {
            Part::Taken => {}
            _ if held => self.enter(now, &key, Part::Held),
            Part::Held => self.enter(now, &key, Part::Active),
            Part::Active => self.enter(now, &key, Part::Active),
            Part::Unschedulable if woken && until > now => self.enter(now, &key, Part::Backoff),
            Part::Unschedulable if woken => self.enter(now, &key, Part::Active),
            Part::Unschedulable | Part::Backoff => {}
        }
    }

    fn add(&mut self, now: Duration, pod: Arc<Pod>, held: bool) {
        let key = pod.key.clone();
        self.next += 1;
        let entry = Entry {
            pod,
            part: Part::Taken,
            since: now,
            moved: now,
            number: self.next,
            attempts: 0,
            refused_by: PluginSet::default(),
            until: Duration::ZERO,
        };
        self.pods.insert(key.clone(), entry);
        let part = if held { Part::Held } else { Part::Active };
        self.enter(now, &key, part);
    }

    /// The pod is gone, or has a node.
    pub fn remove(&mut self, key: &PodKey) -> Option<Arc<Pod>> {
        self.leave(key);
        self.pods.remove(key).map(|entry| entry.pod)
    }

    fn leave(&mut self, key: &PodKey) {
        let Some(entry) = self.pods.get_mut(key) else {
            return;
        };
        match entry.part {
            Part::Active => {
                self.active.remove(&(entry.turn(), key.clone()));
            }
            Part::Backoff => {
                self.backoff.remove(&(entry.until, key.clone()));
            }
            Part::Unschedulable => {
                self.unschedulable.remove(key);
            }
            Part::Held | Part::Taken => {}
        }
        entry.part = Part::Taken;
    }

    fn enter(&mut self, now: Duration, key: &PodKey, part: Part) {
        self.leave(key);
        let Some(entry) = self.pods.get_mut(key) else {
            return;
        };
        entry.part = part;
        entry.moved = now;
        match part {
            Part::Active => {
                self.active.insert((entry.turn(), key.clone()));
            }
            Part::Backoff => {
                self.backoff.insert((entry.until, key.clone()));
            }
            Part::Unschedulable => {
                self.unschedulable.insert(key.clone());
            }
            Part::Held | Part::Taken => {}
        }
    }

    /// The pod whose turn it is. It is the caller's until [`Queue::refused`], [`Queue::failed`] or
    /// [`Queue::remove`]. Where nobody's turn has come, one that waits a while has it earlier.
    pub fn take(&mut self, now: Duration) -> Option<Taken> {
        self.end_backoff(now);
        let (_, key) = self.active.first()?.clone();
        self.leave(&key);
        let entry = self.pods.get_mut(&key)?;
        entry.attempts += 1;
        entry.refused_by = PluginSet::default();
        Some(Taken {
            pod: entry.pod.clone(),
            attempt: entry.attempts,
            since: entry.since,
        })
    }

    /// The pod whose turn is next, left where it is.
    #[must_use]
    pub fn peek(&self) -> Option<&Arc<Pod>> {
        let (_, key) = self.active.first()?;
        self.pods.get(key).map(|entry| &entry.pod)
    }

    fn end_backoff(&mut self, now: Duration) {
        while let Some((until, key)) = self.backoff.first().cloned() {
            if until > now {
                return;
            }
            self.enter(now, &key, Part::Active);
        }
    }

    /// No node will do for a pod that was taken, for these plugins.
    pub fn refused(&mut self, now: Duration, key: &PodKey, by: PluginSet) {
        self.back_off(now, key);
        if let Some(entry) = self.pods.get_mut(key) {
            entry.refused_by = by;
            self.enter(now, key, Part::Unschedulable);
        }
    }

    /// A pod that was taken could not be placed for a reason that may pass.
    pub fn failed(&mut self, now: Duration, key: &PodKey) {
        self.back_off(now, key);
        self.enter(now, key, Part::Backoff);
    }

    fn back_off(&mut self, now: Duration, key: &PodKey) {
        let waits = self.waits;
        if let Some(entry) = self.pods.get_mut(key) {
            let doubled = 1_u32.checked_shl(entry.attempts.saturating_sub(1).min(20));
            let wait = waits.first.saturating_mul(doubled.unwrap_or(u32::MAX));
            entry.until = now + wait.min(waits.most);
        }
    }

    /// Something changed: each pod that `helps` says yes for gets its turn, after its back-off.
    /// Returns how many.
    pub fn wake(&mut self, now: Duration, helps: impl Fn(&Pod, PluginSet) -> bool) -> usize {
        let woken: Vec<PodKey> = self
            .unschedulable
            .iter()
            .filter(|key| {
                let entry = self.pods.get(*key);
                entry.is_some_and(|entry| helps(&entry.pod, entry.refused_by))
            })
            .cloned()
            .collect();
        for key in &woken {
            self.rouse(now, key);
        }
        woken.len()
    }

    /// A pod gets its turn, after its back-off, if it waits for a change.
    pub fn rouse(&mut self, now: Duration, key: &PodKey) {
        let Some(entry) = self.pods.get(key) else {
            return;
        };
        if entry.part == Part::Unschedulable {
            let ready = entry.until <= now;
            let part = if ready { Part::Active } else { Part::Backoff };
            self.enter(now, key, part);
        }
    }

    /// Pods that have waited for too long get their turn.
    pub fn wake_forgotten(&mut self, now: Duration) -> usize {
        let limit = self.waits.forgotten;
        let all = self.unschedulable.iter();
        let old: Vec<PodKey> = all
            .filter(|key| {
                let entry = self.pods.get(*key);
                entry.is_some_and(|entry| now.saturating_sub(entry.moved) >= limit)
            })
            .cloned()
            .collect();
        for key in &old {
            self.enter(now, key, Part::Active);
        }
        old.len()
    }

    /// When the next back-off ends.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.backoff.first().map(|(until, _)| *until)
    }

    /// Whether a pod is in the queue, or was taken from it.
    #[must_use]
    pub fn part(&self, key: &PodKey) -> Option<Part> {
        self.pods.get(key).map(|entry| entry.part)
    }

    /// The pod as it was last put.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<&Arc<Pod>> {
        self.pods.get(key).map(|entry| &entry.pod)
    }

    /// How many pods are active, back off, are unschedulable and held.
    #[must_use]
    pub fn depths(&self) -> [usize; 4] {
        let waiting = self.active.len() + self.backoff.len() + self.unschedulable.len();
        let held = self.pods.values().filter(|entry| entry.part == Part::Held);
        let held = if waiting == self.pods.len() {
            0
        } else {
            held.count()
        };
        [
            self.active.len(),
            self.backoff.len(),
            self.unschedulable.len(),
            held,
        ]
    }

    /// Whether no pod's turn has come.
    #[must_use]
    pub fn is_idle(&self, now: Duration) -> bool {
        self.active.is_empty() && self.next_due().is_none_or(|due| due > now)
    }
}

#[cfg(test)]
mod tests;
