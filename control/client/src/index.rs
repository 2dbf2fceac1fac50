//! Finds objects by something other than their name. An index is a function from an object to
//! words; the store keeps, for each word, the keys. Must not know how the store is filled.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::cache::Key;

/// The words under which an object is found.
type Words<T> = Box<dyn Fn(&T, &mut Vec<String>) + Send + Sync>;

/// One way of finding objects.
pub struct Index<T> {
    name: &'static str,
    words: Words<T>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<T> fmt::Debug for Index<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<T> Index<T> {
    /// An index. The function adds the object's words; an object without any isn't found by it.
    #[must_use]
    pub fn new(
        name: &'static str,
        words: impl Fn(&T, &mut Vec<String>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            words: Box::new(words),
            keys: HashMap::new(),
        }
    }

    /// What the index is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The keys of a word's objects, in order.
    pub fn keys(&self, word: &str) -> impl Iterator<Item = &Key> {
        self.keys.get(word).into_iter().flatten()
    }

    pub(crate) fn replace(&mut self, key: &Key, old: Option<&T>, new: Option<&T>) {
        let (before, after) = (self.words_of(old), self.words_of(new));
        for word in before.difference(&after) {
            if let Some(keys) = self.keys.get_mut(word) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(word);
                }
            }
        }
        for word in after.difference(&before) {
            self.keys
                .entry(word.clone())
                .or_default()
                .insert(key.clone());
        }
    }

    fn words_of(&self, object: Option<&T>) -> BTreeSet<String> {
        let mut words = Vec::new();
        if let Some(object) = object {
            (self.words)(object, &mut words);
        }
        words.into_iter().collect()
    }
}
