//! Decides what becomes of an event: a new object, one more of an old one, or nothing. Pure:
//! `now` is time since the start.
//!
//! The rules are upstream's: more than ten that differ only in their message within ten minutes
//! become one; of one object, 25 go out at once and one every five minutes after that; equal ones
//! are counted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;

const SIMILAR: usize = 10;
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
const BURST: f64 = 25.0;
const SECONDS_PER_TOKEN: f64 = 300.0;
const PREFIX: &str = "(combined from similar events): ";
/// How many events, groups and objects are remembered, each.
const REMEMBERED: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// To what.
    pub about: ObjectReference,
    /// `Normal` or `Warning`.
    pub kind: &'static str,
    /// A word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// An event that the server has, or is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its namespace, once it was created.
    pub namespace: String,
    /// Its name, once it was created.
    pub name: String,
    /// How often it happened.
    pub count: i32,
    /// What.
    pub occurrence: Occurrence,
}

/// What becomes of an occurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: its object has too many.
    Drop,
    /// A new event.
    Create(Entry),
    /// One more of an event that is there.
    Repeat(Entry),
}

type ObjectKey = (String, String, String, String);
type GroupKey = (ObjectKey, &'static str, String);
type EventKey = (GroupKey, String);

/// What is remembered of past events.
#[derive(Debug, Default)]
pub struct Correlator {
    buckets: Bounded<ObjectKey, Bucket>,
    groups: Bounded<GroupKey, Group>,
    events: Bounded<EventKey, Entry>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    counted: Duration,
}

#[derive(Debug, Default)]
struct Group {
    messages: BTreeSet<String>,
    last: Duration,
}

impl Correlator {
    /// Decides on an occurrence.
    pub fn take(&mut self, now: Duration, mut occurrence: Occurrence) -> Decision {
        let group = group_of(&occurrence);
        let combined = self.combine(now, &group, &occurrence.message);
        if combined {
            occurrence.message.insert_str(0, PREFIX);
        }
        let key = event_key(&occurrence);
        let known = self
            .events
            .find(&key)
            .filter(|entry| !entry.name.is_empty());
        let decision = match known {
            Some(entry) => {
                entry.count = entry.count.saturating_add(1);
                entry.occurrence.message.clone_from(&occurrence.message);
                Decision::Repeat(entry.clone())
            }
            None => Decision::Create(Entry {
                namespace: String::new(),
                name: String::new(),
                count: 1,
                occurrence,
            }),
        };
        if self.spends(now, &group.0) {
            decision
        } else {
            Decision::Drop
        }
    }

    /// The event was created under this name.
    pub fn created(&mut self, occurrence: &Occurrence, namespace: &str, name: &str) {
        let entry = Entry {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            count: 1,
            occurrence: occurrence.clone(),
        };
        self.events.put(event_key(occurrence), entry);
    }

    /// Whether there were too many that differ in their message only.
    fn combine(&mut self, now: Duration, key: &GroupKey, message: &str) -> bool {
        let group = self.groups.or_insert(key, Group::default);
        if now.saturating_sub(group.last) > SIMILAR_WITHIN {
            group.messages.clear();
        }
        group.last = now;
        if group.messages.len() >= SIMILAR {
            return !group.messages.contains(message);
        }
        group.messages.insert(message.to_owned());
        false
    }

    fn spends(&mut self, now: Duration, key: &ObjectKey) -> bool {
        // Of all containers of a pod together.
        let key = (key.0.clone(), key.1.clone(), key.2.clone(), String::new());
        let bucket = self.buckets.or_insert(&key, || Bucket {
            tokens: BURST,
            counted: now,
        });
        let passed = now.saturating_sub(bucket.counted).as_secs_f64();
        bucket.counted = now;
        bucket.tokens = (bucket.tokens + passed / SECONDS_PER_TOKEN).min(BURST);
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

fn group_of(occurrence: &Occurrence) -> GroupKey {
    let about = &occurrence.about;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    // The field path names the container.
    let object = (
        text(&about.namespace),
        text(&about.name),
        text(&about.uid),
        text(&about.field_path),
    );
    (object, occurrence.kind, occurrence.reason.clone())
}

/// Combined events are one, whatever their messages say.
fn event_key(occurrence: &Occurrence) -> EventKey {
    let message = if occurrence.message.starts_with(PREFIX) {
        PREFIX
    } else {
        &occurrence.message
    };
    (group_of(occurrence), message.to_owned())
}

/// A map that forgets what was put in first.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    fn find(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    fn or_insert(&mut self, key: &K, value: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(key) {
            self.make_room(key);
        }
        self.map.entry(key.clone()).or_insert_with(value)
    }

    fn put(&mut self, key: K, value: V) {
        if !self.map.contains_key(&key) {
            self.make_room(&key);
        }
        self.map.insert(key, value);
    }

    fn make_room(&mut self, for_key: &K) {
        self.order.push_back(for_key.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::ObjectReference;

    use super::{Correlator, Decision, Occurrence, PREFIX, REMEMBERED};

    fn occurrence(object: &str, message: &str) -> Occurrence {
        Occurrence {
            about: ObjectReference {
                name: Some(object.into()),
                ..ObjectReference::default()
            },
            kind: "Normal",
            reason: "Pulled".into(),
            message: message.into(),
        }
    }

    /// Lets it happen at that second, as a server that creates what it is asked to.
    fn happen(correlator: &mut Correlator, second: u64, object: &str, message: &str) -> String {
        let occurrence = occurrence(object, message);
        match correlator.take(Duration::from_secs(second), occurrence) {
            Decision::Drop => "drop".into(),
            Decision::Create(entry) => {
                correlator.created(&entry.occurrence, "n", "e");
                format!("create {}", entry.occurrence.message)
            }
            Decision::Repeat(entry) => {
                format!("{} {}", entry.count, entry.occurrence.message)
            }
        }
    }

    #[test]
    fn equal_ones_are_counted() {
        let mut correlator = Correlator::default();
        assert_eq!(happen(&mut correlator, 0, "a", "x"), "create x");
        assert_eq!(happen(&mut correlator, 1, "a", "x"), "2 x");
        assert_eq!(happen(&mut correlator, 2, "b", "x"), "create x");
        assert_eq!(happen(&mut correlator, 3, "a", "x"), "3 x");
    }

    #[test]
    fn similar_ones_are_combined() {
        let mut correlator = Correlator::default();
        for number in 0..10 {
            let said = happen(&mut correlator, 0, "a", &number.to_string());
            assert_eq!(said, format!("create {number}"));
        }
        let said = happen(&mut correlator, 1, "a", "10");
        assert_eq!(said, format!("create {PREFIX}10"));
        assert_eq!(
            happen(&mut correlator, 1, "a", "11"),
            format!("2 {PREFIX}11")
        );
        assert_eq!(happen(&mut correlator, 700, "a", "12"), "create 12");
    }

    #[test]
    fn an_object_with_too_many_is_silenced() {
        let mut correlator = Correlator::default();
        let said: Vec<_> = (0..26)
            .map(|_| happen(&mut correlator, 0, "a", "x"))
            .collect();
        assert_eq!((said[24].as_str(), said[25].as_str()), ("25 x", "drop"));
        assert_eq!(happen(&mut correlator, 0, "b", "x"), "create x");
        assert_eq!(happen(&mut correlator, 300, "a", "x"), "27 x");
        assert_eq!(happen(&mut correlator, 301, "a", "x"), "drop");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut correlator = Correlator::default();
        for number in 0..2 * REMEMBERED {
            happen(&mut correlator, 0, &number.to_string(), "x");
        }
        assert_eq!(correlator.events.map.len(), REMEMBERED);
        assert_eq!(correlator.buckets.map.len(), REMEMBERED);
        assert_eq!(correlator.groups.order.len(), REMEMBERED);
    }
}
