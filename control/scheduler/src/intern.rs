//! One copy of each equal value, so that comparing two is comparing two addresses. Used for the
//! words of labels and names, and for everything a pod asks of its node, which all pods of one
//! workload share. Must not know what is interned.
//!
//! A table forgets what nobody holds any more when it has doubled since it last looked.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// The smallest table that is looked through.
const SMALLEST: usize = 1024;

/// All values of one kind that are in use.
#[derive(Debug)]
pub struct Table<T> {
    values: HashSet<Arc<T>>,
    look_at: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            look_at: SMALLEST,
        }
    }
}

impl<T: Hash + Eq> Table<T> {
    /// The one copy of a value.
    pub fn keep(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.look_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.values.shrink_to(SMALLEST);
            self.look_at = (self.values.len() * 2).max(SMALLEST);
        }
        let value = Arc::new(value);
        self.values.insert(value.clone());
        value
    }

    /// How many values the table holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A text of the API: equal words are one, so equality costs one comparison of addresses.
#[derive(Clone)]
pub struct Word(Arc<Text>);

struct Text(Box<str>);

static WORDS: LazyLock<Mutex<Words>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Words {
    known: HashSet<ByText>,
    look_at: usize,
}

/// A word that is found by its text.
struct ByText(Word);

impl PartialEq for ByText {
    fn eq(&self, other: &Self) -> bool {
        self.0.text() == other.0.text()
    }
}

impl Eq for ByText {}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text().hash(state);
    }
}

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        self.0.text()
    }
}

impl Word {
    /// The word of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut words = WORDS.lock();
        if let Some(known) = words.known.get(text) {
            return known.0.clone();
        }
        if words.known.len() >= words.look_at {
            words.known.retain(|word| Arc::strong_count(&word.0.0) > 1);
            words.known.shrink_to(SMALLEST);
            words.look_at = (words.known.len() * 2).max(SMALLEST);
        }
        let word = Self(Arc::new(Text(text.into())));
        words.known.insert(ByText(word.clone()));
        word
    }

    /// The empty word.
    #[must_use]
    pub fn empty() -> Self {
        static EMPTY: LazyLock<Word> = LazyLock::new(|| Word::of(""));
        EMPTY.clone()
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.0
    }

    /// Whether it is the empty word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text().is_empty()
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Word {}

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl PartialOrd for Word {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Word {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(other.text())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.text(), f)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::of(text)
    }
}

impl<'de> serde::Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word::of(text))
            }

            fn visit_unit<E>(self) -> Result<Word, E> {
                Ok(Word::empty())
            }
        }
        from.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_are_one() {
        let (a, b) = (Word::of("zone-a"), Word::of(&String::from("zone-a")));
        assert!(a == b && a != Word::of("zone-b"));
        assert_eq!(a.cmp(&Word::of("zone-b")), std::cmp::Ordering::Less);
        let read: Word = serde_json::from_str("\"zone-a\"").unwrap();
        assert_eq!(read, a);
    }

    #[test]
    fn a_table_forgets_what_nobody_holds() {
        let mut table = Table::default();
        let held: Vec<_> = (0..10).map(|n| table.keep(n)).collect();
        for n in 10..10_000 {
            table.keep(n);
        }
        assert!(table.len() <= SMALLEST + 1, "{}", table.len());
        assert!(held.iter().all(|n| Arc::ptr_eq(n, &table.keep(**n))));
    }
}
