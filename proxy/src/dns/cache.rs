//! Answers of other servers, kept for as long as they say. Pure: time comes in as what passed since
//! the server's start.
//!
//! An answer whose time is over is kept on: should nobody answer any more, an old answer is better
//! than none.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::name::Name;
use super::wire::Kept;

/// Answers at most.
const ENTRIES: usize = 10_000;
/// Bytes at most, about.
const BYTES: usize = 4 << 20;
/// Seconds for which records are kept at most.
const LONGEST: u32 = 3600;
/// Seconds for which "no" is kept at most, and without a word of how long.
const LONGEST_NO: u32 = 30;
const UNSAID: u32 = 5;
/// For how long an answer may be used after its time, where nobody answers.
const STALE: Duration = Duration::from_secs(3600);

/// A question that other servers are asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name.
    pub name: Name,
    /// The type.
    pub kind: u16,
    /// Whether signatures are wanted.
    pub dnssec: bool,
}

/// What is known of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An answer that holds, and how many seconds ago it came.
    Fresh(Arc<Kept>, u32),
    /// One that held once.
    Stale(Arc<Kept>),
    /// Nothing.
    Missing,
}

#[derive(Debug)]
struct Entry {
    kept: Arc<Kept>,
    at: Duration,
    until: Duration,
}

/// The answers.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Cache {
    /// What is known of a question now.
    #[must_use]
    pub fn find(&self, key: &Key, now: Duration) -> Found {
        match self.entries.get(key) {
            Some(entry) if now < entry.until => {
                let age = now.saturating_sub(entry.at).as_secs();
                Found::Fresh(entry.kept.clone(), u32::try_from(age).unwrap_or(u32::MAX))
            }
            Some(entry) if now < entry.until + STALE => Found::Stale(entry.kept.clone()),
            _ => Found::Missing,
        }
    }

    /// Keeps an answer; the oldest ones go where there are too many.
    pub fn keep(&mut self, key: Key, kept: Arc<Kept>, now: Duration) {
        let ttl = match (kept.positive && kept.code == 0, kept.ttl) {
            (true, ttl) => ttl.unwrap_or(UNSAID).min(LONGEST),
            (false, ttl) => ttl.unwrap_or(UNSAID).min(LONGEST_NO),
        };
        let entry = Entry {
            at: now,
            until: now + Duration::from_secs(ttl.into()),
            kept,
        };
        self.bytes += entry.kept.size();
        match self.entries.insert(key.clone(), entry) {
            Some(old) => self.bytes -= old.kept.size(),
            None => self.order.push_back(key),
        }
        while self.entries.len() > ENTRIES || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.kept.size();
            }
        }
    }

    /// How many answers are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{self, kind};
    use super::*;

    fn key(text: &str) -> Key {
        Key {
            name: Name::parse(text).unwrap(),
            kind: kind::A,
            dnssec: false,
        }
    }

    /// An answer with one address.
    fn answer(ttl: u32) -> Arc<Kept> {
        let asked = wire::question(7, &key("a.example").name, kind::A, false);
        let mut bytes = asked[..asked.len() - 11].to_vec();
        bytes[2] |= 0x80;
        bytes[7] = 1;
        bytes[11] = 0;
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.extend(ttl.to_be_bytes());
        bytes.extend([0, 4, 192, 0, 2, 1]);
        Arc::new(Kept::read(&bytes, &asked).unwrap())
    }

    #[test]
    fn fresh_then_stale_then_gone() {
        let at = Duration::from_secs;
        let mut cache = Cache::default();
        cache.keep(key("a.example"), answer(60), at(100));
        let check = |now, expected: &str| {
            let found = match cache.find(&key("a.example"), at(now)) {
                Found::Fresh(_, age) => format!("fresh {age}"),
                Found::Stale(_) => "stale".into(),
                Found::Missing => "missing".into(),
            };
            assert_eq!(found, expected, "{now}");
        };
        check(100, "fresh 0");
        check(159, "fresh 59");
        check(160, "stale");
        check(3759, "stale");
        check(3760, "missing");
        assert_eq!(cache.find(&key("b.example"), at(100)), Found::Missing);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut cache = Cache::default();
        for number in 0..ENTRIES + 10 {
            cache.keep(key(&format!("n{number}")), answer(60), Duration::ZERO);
        }
        assert!(cache.len() <= ENTRIES && cache.bytes <= BYTES && !cache.is_empty());
        assert_eq!(cache.find(&key("n0"), Duration::ZERO), Found::Missing);
        let newest = key(&format!("n{}", ENTRIES + 9));
        assert_ne!(cache.find(&newest, Duration::ZERO), Found::Missing);
    }
}
