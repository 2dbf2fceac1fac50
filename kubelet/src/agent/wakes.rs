//! When which pod wants to be looked at again: one wake-up per pod, the earliest first.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Mono, PodUid};

/// The wake-ups of all pods. Pure.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    by_time: BTreeSet<(Mono, PodUid)>,
    by_pod: BTreeMap<PodUid, Mono>,
}

impl Wakes {
    /// Sets or clears the wake-up of a pod.
    pub fn set(&mut self, uid: &PodUid, at: Option<Mono>) {
        let before = match at {
            Some(at) => self.by_pod.insert(uid.clone(), at),
            None => self.by_pod.remove(uid),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, uid.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, uid.clone()));
        }
    }

    /// The earliest wake-up.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes every pod whose time has come.
    pub fn take_due(&mut self, now: Mono) -> Vec<PodUid> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.by_time.first()
            && *at <= now
        {
            if let Some((_, uid)) = self.by_time.pop_first() {
                self.by_pod.remove(&uid);
                due.push(uid);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_up_per_pod_and_in_order() {
        let mut wakes = Wakes::default();
        let (a, b) = (PodUid::from("a"), PodUid::from("b"));
        wakes.set(&a, Some(Mono(9)));
        wakes.set(&b, Some(Mono(5)));
        wakes.set(&a, Some(Mono(3)));
        assert_eq!(wakes.next(), Some(Mono(3)));
        assert_eq!(wakes.take_due(Mono(4)), std::slice::from_ref(&a));
        wakes.set(&b, None);
        assert_eq!(wakes.next(), None);
        assert!(wakes.take_due(Mono(100)).is_empty());
    }
}
