//! Answers that are good for a while, such as those of reviews. Time comes in as a value.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Answers by question, each until its time is over; of too many the one that ends first goes.
#[derive(Debug)]
pub struct Kept<K, V> {
    answers: BTreeMap<K, (V, Instant)>,
    most: usize,
}

impl<K: Ord + Clone, V> Kept<K, V> {
    /// Keeps at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            answers: BTreeMap::new(),
            most,
        }
    }

    /// The answer, if it is still good.
    pub fn find(&self, question: &K, now: Instant) -> Option<&V> {
        let (answer, until) = self.answers.get(question)?;
        (now < *until).then_some(answer)
    }

    /// Keeps an answer until then.
    pub fn keep(&mut self, question: K, answer: V, until: Instant) {
        if self.answers.len() >= self.most && !self.answers.contains_key(&question) {
            let first = self.answers.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(question) = first.map(|(question, _)| question.clone()) {
                self.answers.remove(&question);
            }
        }
        self.answers.insert(question, (answer, until));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_end_and_make_room() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut kept = Kept::new(2);
        kept.keep("a", 1, at(20));
        kept.keep("b", 2, at(10));
        assert_eq!(kept.find(&"b", at(9)), Some(&2));
        assert_eq!(kept.find(&"b", at(10)), None);
        kept.keep("c", 3, at(30));
        assert_eq!(kept.find(&"b", at(0)), None, "it made room");
        assert_eq!(kept.find(&"a", at(0)), Some(&1));
        kept.keep("a", 4, at(40));
        assert_eq!(kept.find(&"a", at(30)), Some(&4));
        assert_eq!(kept.find(&"c", at(0)), Some(&3), "nobody had to go");
    }
}
