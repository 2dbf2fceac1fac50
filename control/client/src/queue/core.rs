//! Decides which key's work is due. Pure: `now` is the time since the queue was made.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use crate::backoff::Backoff;

/// How retries are slowed down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The wait of one key.
    pub backoff: Backoff,
    /// Retries of all keys together, per second, once the burst is used up.
    pub per_second: f64,
    /// So many retries at once.
    pub burst: f64,
}

impl Default for Limits {
    /// Upstream's default for controllers: 5 ms to 1,000 s per key, 10 per second with 100 at
    /// once over all.
    fn default() -> Self {
        Self {
            backoff: Backoff {
                base: Duration::from_millis(5),
                most: Duration::from_secs(1000),
            },
            per_second: 10.0,
            burst: 100.0,
        }
    }
}

/// The keys and what is known of each.
#[derive(Debug)]
pub struct Core<K> {
    limits: Limits,
    ready: VecDeque<K>,
    /// Due or to be due again after [`Core::done`].
    dirty: HashSet<K>,
    working: HashSet<K>,
    delayed: BTreeSet<(Duration, K)>,
    due: HashMap<K, Duration>,
    failures: HashMap<K, u32>,
    tokens: f64,
    counted: Duration,
    closed: bool,
}

impl<K: Clone + Eq + Hash + Ord> Core<K> {
    /// Nothing waits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            working: HashSet::new(),
            delayed: BTreeSet::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            tokens: limits.burst,
            counted: Duration::ZERO,
            closed: false,
        }
    }

    /// Adds a key that is due after the delay; an earlier time counts. True if it was made ready
    /// to be taken now.
    pub fn add(&mut self, now: Duration, key: K, delay: Duration) -> bool {
        if self.closed {
            return false;
        }
        if delay.is_zero() {
            return self.add_now(key);
        }
        let at = now.saturating_add(delay);
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return false,
            Some(later) => {
                let later = *later;
                self.delayed.remove(&(later, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key));
        false
    }

    /// Adds a key after the wait that its failures and the overall limit demand.
    pub fn add_limited(&mut self, now: Duration, key: K) -> bool {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let wait = self.limits.backoff.after(*failures);
        *failures = failures.saturating_add(1);
        let wait = wait.max(self.overall(now));
        self.add(now, key, wait)
    }

    /// Takes a token of the overall limit; the result is how long it takes until it is there.
    fn overall(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        self.counted = now;
        self.tokens = (self.tokens + passed * self.limits.per_second).min(self.limits.burst);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(-self.tokens / self.limits.per_second)
    }

    /// Forgets the key's failures.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// How often in a row the key has failed.
    #[must_use]
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// A key that is due. It is being worked on until [`Core::done`].
    pub fn take(&mut self, now: Duration) -> Option<K> {
        self.ripen(now);
        let key = self.ready.pop_front()?;
        self.dirty.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }

    /// The work on the key has ended. True if it is due again.
    pub fn done(&mut self, now: Duration, key: &K) -> bool {
        self.ripen(now);
        let again = self.working.remove(key) && self.dirty.contains(key);
        if again {
            self.ready.push_back(key.clone());
        }
        again
    }

    /// When the next delayed key is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// How many keys can be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether no key can be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Nothing is taken in any more; what is delayed is dropped.
    pub fn close(&mut self) {
        self.closed = true;
        self.delayed.clear();
        self.due.clear();
    }

    /// Whether [`Core::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn add_now(&mut self, key: K) -> bool {
        if let Some(at) = self.due.remove(&key) {
            self.delayed.remove(&(at, key.clone()));
        }
        if !self.dirty.insert(key.clone()) || self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn ripen(&mut self, now: Duration) {
        while let Some((at, key)) = self.delayed.pop_first() {
            if at > now {
                self.delayed.insert((at, key));
                return;
            }
            self.due.remove(&key);
            self.add_now(key);
        }
    }
}

#[cfg(test)]
mod tests;
