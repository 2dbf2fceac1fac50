//! Objects of a kind, understood: kept up to date by looking at what changed since the last look.
//!
//! There is no task behind it. Whoever reads pays for the changes since the last reader.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::KindCache;
use crate::object::Version;

/// Changes taken at once.
const BATCH: usize = 4096;

/// A view of a kind's objects.
pub(crate) trait View: Default {
    /// An object is there in this version.
    fn put(&mut self, version: &Version);
    /// An object is gone.
    fn remove(&mut self, version: &Version);
}

/// What a follower learns.
pub(crate) enum Step<'a> {
    /// Forget everything: what follows is all there is.
    Restart,
    /// An object is there in this version.
    Put(&'a Version),
    /// An object is gone.
    Remove(&'a Version),
}

/// A place in the changes of a kind.
#[derive(Default)]
pub(crate) struct Cursor {
    source: Option<Arc<KindCache>>,
    revision: u64,
}

impl Cursor {
    /// Tells what has changed since the last time.
    pub(crate) fn follow(&mut self, kind: &Arc<KindCache>, mut tell: impl FnMut(Step<'_>)) {
        let same = self
            .source
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, kind));
        if !same {
            return self.restart(kind, tell);
        }
        loop {
            let Ok(changes) = kind.changes(self.revision, BATCH) else {
                return self.restart(kind, tell);
            };
            let Some(last) = changes.last() else {
                return;
            };
            self.revision = last.revision;
            for change in &changes {
                tell(if change.gone {
                    Step::Remove(&change.version)
                } else {
                    Step::Put(&change.version)
                });
            }
        }
    }

    fn restart(&mut self, kind: &Arc<KindCache>, mut tell: impl FnMut(Step<'_>)) {
        let snapshot = kind.all();
        tell(Step::Restart);
        for version in &snapshot.versions {
            tell(Step::Put(version));
        }
        self.revision = snapshot.revision;
        self.source = Some(Arc::clone(kind));
    }
}

/// A view that follows a kind.
#[derive(Default)]
pub(crate) struct Informer<V> {
    state: Mutex<(V, Cursor)>,
}

impl<V: View> Informer<V> {
    /// Reads the view as `kind` has it now.
    pub(crate) fn read<T>(&self, kind: &Arc<KindCache>, look: impl FnOnce(&V) -> T) -> T {
        let mut state = self.state.lock();
        let (view, cursor) = &mut *state;
        cursor.follow(kind, |step| match step {
            Step::Restart => *view = V::default(),
            Step::Put(version) => view.put(version),
            Step::Remove(version) => view.remove(version),
        });
        look(view)
    }
}

/// Objects read into a type of their own, by key. What cannot be read is left out.
pub(crate) struct Typed<T>(pub(crate) HashMap<Box<str>, Arc<T>>);

impl<T> Default for Typed<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: serde::de::DeserializeOwned> View for Typed<T> {
    fn put(&mut self, version: &Version) {
        match serde_json::from_slice(&version.body) {
            Ok(object) => self.0.insert(version.key.clone(), Arc::new(object)),
            Err(_) => self.0.remove(&version.key),
        };
    }

    fn remove(&mut self, version: &Version) {
        self.0.remove(&version.key);
    }
}
