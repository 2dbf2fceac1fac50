//! The journal of decisions: the last things that happened to each pod and to the node, kept in
//! bounded memory, and the answer to "why is this pod not running".
//!
//! Guarantees: at most [`POD_ENTRIES`] entries for a pod, [`NODE_ENTRIES`] for the node and
//! [`MAX_PODS`] pods (the one quiet for longest goes first); a repeated decision counts up instead
//! of taking room; warnings also go to the log, repeated ones at counts 1, 2, 4, 8 and so on.
//! It reads no clock: every entry carries the time it is given.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use std::sync::OnceLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use keelson_client::events::Recorder;
use parking_lot::Mutex;
use serde::Serialize;

pub mod reason;
pub mod why;

pub use why::{Next, PodView, Wait, Why, why};

/// Entries kept for one pod.
pub const POD_ENTRIES: usize = 32;
/// Entries kept for the node itself.
pub const NODE_ENTRIES: usize = 128;
/// Pods that are remembered at once.
pub const MAX_PODS: usize = 512;
/// Longest message kept, in bytes; the rest is cut.
pub const MAX_MESSAGE: usize = 1024;
/// Messages remembered for sharing between pods.
const SHARED_MESSAGES: usize = 16;

/// Whether something went as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// The course of things.
    Normal,
    /// Something a user should know of.
    Warning,
}

/// One decision or outcome, possibly seen several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was seen first.
    pub first: Timestamp,
    /// When it was seen last.
    pub at: Timestamp,
    /// Upstream's event reason, see [`reason`].
    pub reason: &'static str,
    /// What happened, in words.
    pub message: Arc<str>,
    /// Whether a user should worry.
    pub kind: Kind,
    /// How often it was seen.
    pub count: u32,
}

/// Whose entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodKey<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub name: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
    /// The part of the pod that it is about, such as `spec.containers{app}`; empty for all of it.
    pub field: &'a str,
}

impl PodKey<'_> {
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.to_owned()),
            name: Some(self.name.to_owned()),
            uid: Some(self.uid.to_owned()),
            field_path: Some(self.field.to_owned()).filter(|field| !field.is_empty()),
            ..ObjectReference::default()
        }
    }
}

/// The journal. Shared by reference; recording takes a short lock.
#[derive(Debug, Default)]
pub struct Journal {
    rings: Mutex<Rings>,
    told: OnceLock<Told>,
}

/// Who else is told.
#[derive(Debug)]
struct Told {
    recorder: Recorder,
    node: ObjectReference,
}

#[derive(Debug, Default)]
struct Rings {
    node: Ring,
    pods: HashMap<Box<str>, Ring>,
    messages: VecDeque<Arc<str>>,
}

type Ring = VecDeque<Entry>;

impl Journal {
    /// From now on the API is told too. The node's events name it as their source and object; its
    /// uid is its name there, as upstream has it.
    pub fn tell(&self, recorder: Recorder, node: &str) {
        let node = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        // The first one stays.
        let _ = self.told.set(Told { recorder, node });
    }

    /// Tells the API of something about a pod that is not remembered here.
    pub fn tell_of(&self, pod: PodKey<'_>, kind: Kind, reason: &str, message: &str) {
        if let Some(told) = self.told.get() {
            let warning = kind == Kind::Warning;
            let about = pod.reference();
            told.recorder.record(about, warning, reason, message);
        }
    }

    /// Notes something about a pod.
    pub fn record(
        &self,
        at: Timestamp,
        pod: PodKey<'_>,
        kind: Kind,
        reason: &'static str,
        message: &str,
    ) {
        let message = clip(message);
        self.tell_of(pod, kind, reason, message);
        let mut rings = self.rings.lock();
        let count = rings.record_pod(at, pod.uid, kind, reason, message);
        drop(rings);
        if kind == Kind::Warning && count.is_power_of_two() {
            let PodKey {
                namespace, name, ..
            } = pod;
            tracing::warn!(namespace, pod = name, reason, count, "{message}");
        }
    }

    /// Notes something about the node.
    pub fn record_node(&self, at: Timestamp, kind: Kind, reason: &'static str, message: &str) {
        let message = clip(message);
        if let Some(told) = self.told.get() {
            let warning = kind == Kind::Warning;
            let about = told.node.clone();
            told.recorder.record(about, warning, reason, message);
        }
        let count = self.rings.lock().record_node(at, kind, reason, message);
        if kind == Kind::Warning && count.is_power_of_two() {
            tracing::warn!(reason, count, "{message}");
        }
    }

    /// What is remembered of a pod, oldest first.
    pub fn pod(&self, uid: &str) -> Vec<Entry> {
        let rings = self.rings.lock();
        let ring = rings.pods.get(uid);
        ring.map(|ring| ring.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// What is remembered of the node, oldest first.
    pub fn node(&self) -> Vec<Entry> {
        self.rings.lock().node.iter().cloned().collect()
    }

    /// Forgets a pod that is gone.
    pub fn forget(&self, uid: &str) {
        self.rings.lock().pods.remove(uid);
    }
}

impl Rings {
    fn record_pod(
        &mut self,
        at: Timestamp,
        uid: &str,
        kind: Kind,
        reason: &'static str,
        message: &str,
    ) -> u32 {
        if !self.pods.contains_key(uid) {
            self.make_room_for_a_pod();
            self.pods.insert(uid.into(), Ring::new());
        }
        let Self { pods, messages, .. } = self;
        let Some(ring) = pods.get_mut(uid) else {
            return 0;
        };
        push(ring, POD_ENTRIES, messages, (at, kind, reason, message))
    }

    fn record_node(
        &mut self,
        at: Timestamp,
        kind: Kind,
        reason: &'static str,
        message: &str,
    ) -> u32 {
        let new = (at, kind, reason, message);
        push(&mut self.node, NODE_ENTRIES, &mut self.messages, new)
    }

    fn make_room_for_a_pod(&mut self) {
        if self.pods.len() < MAX_PODS {
            return;
        }
        let last_heard = |ring: &Ring| ring.back().map(|entry| entry.at);
        let quietest = self.pods.iter().min_by_key(|(_, ring)| last_heard(ring));
        if let Some(uid) = quietest.map(|(uid, _)| uid.clone()) {
            self.pods.remove(&uid);
        }
    }
}

/// Adds to a ring or counts up what is there already; returns the count.
fn push(
    ring: &mut Ring,
    limit: usize,
    messages: &mut VecDeque<Arc<str>>,
    (at, kind, reason, message): (Timestamp, Kind, &'static str, &str),
) -> u32 {
    let same = |entry: &Entry| {
        entry.reason == reason && entry.kind == kind && entry.message.as_ref() == message
    };
    if let Some(mut entry) = ring.iter().position(same).and_then(|i| ring.remove(i)) {
        entry.at = at;
        entry.count = entry.count.saturating_add(1);
        let count = entry.count;
        ring.push_back(entry);
        return count;
    }
    if ring.len() == limit {
        ring.pop_front();
    }
    ring.push_back(Entry {
        first: at,
        at,
        reason,
        message: share(messages, message),
        kind,
        count: 1,
    });
    1
}

/// One copy for a message that several pods get at about the same time.
fn share(messages: &mut VecDeque<Arc<str>>, message: &str) -> Arc<str> {
    if let Some(known) = messages.iter().find(|known| known.as_ref() == message) {
        return Arc::clone(known);
    }
    if messages.len() == SHARED_MESSAGES {
        messages.pop_front();
    }
    let fresh: Arc<str> = message.into();
    messages.push_back(Arc::clone(&fresh));
    fresh
}

fn clip(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: PodKey<'_> = PodKey {
        namespace: "default",
        name: "web",
        uid: "u1",
        field: "",
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn repeats_count_up_and_move_to_the_end() {
        let journal = Journal::default();
        journal.record(at(1), POD, Kind::Warning, reason::BACK_OFF, "again");
        journal.record(at(2), POD, Kind::Normal, reason::PULLED, "done");
        journal.record(at(3), POD, Kind::Warning, reason::BACK_OFF, "again");
        let entries = journal.pod("u1");
        let seen: Vec<_> = entries.iter().map(|e| (e.reason, e.count)).collect();
        assert_eq!(seen, [(reason::PULLED, 1), (reason::BACK_OFF, 2)]);
        assert_eq!((entries[1].first, entries[1].at), (at(1), at(3)));
    }

    #[test]
    fn memory_is_bounded() {
        let journal = Journal::default();
        for number in 0..200 {
            let message = format!("message {number}");
            journal.record(at(number), POD, Kind::Normal, reason::STARTED, &message);
            journal.record_node(at(number), Kind::Normal, reason::STARTING, &message);
        }
        assert_eq!(journal.pod("u1").len(), POD_ENTRIES);
        assert_eq!(&*journal.pod("u1")[0].message, "message 168");
        assert_eq!(journal.node().len(), NODE_ENTRIES);
        let long = "é".repeat(MAX_MESSAGE);
        journal.record(at(201), POD, Kind::Normal, reason::STARTED, &long);
        let kept = journal.pod("u1").pop().unwrap().message;
        assert_eq!(kept.len(), MAX_MESSAGE);
    }

    #[test]
    fn the_quietest_pod_makes_room() {
        let journal = Journal::default();
        for number in 0..=MAX_PODS {
            let uid = format!("u{number}");
            let pod = PodKey { uid: &uid, ..POD };
            let second = i64::try_from(number).unwrap();
            journal.record(at(second), pod, Kind::Normal, reason::STARTED, "x");
        }
        assert!(journal.pod("u0").is_empty());
        assert_eq!(journal.pod("u1").len(), 1);
        assert_eq!(journal.rings.lock().pods.len(), MAX_PODS);
        journal.forget("u1");
        assert!(journal.pod("u1").is_empty());
    }

    #[test]
    fn equal_messages_of_two_pods_share_their_text() {
        let journal = Journal::default();
        let other = PodKey { uid: "u2", ..POD };
        journal.record(at(1), POD, Kind::Normal, reason::PULLING, "image x");
        journal.record(at(1), other, Kind::Normal, reason::PULLING, "image x");
        let (one, two) = (journal.pod("u1"), journal.pod("u2"));
        assert!(Arc::ptr_eq(&one[0].message, &two[0].message));
    }
}
