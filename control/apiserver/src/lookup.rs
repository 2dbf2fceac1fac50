//! Decisions that look at other objects, made with what the caches hold.
//!
//! A decision is made at once and without waiting. Where it asked for a kind that is not loaded,
//! that kind is loaded and the decision made anew; where it says no, it is made once more with
//! caches that have caught up with the store, since what it did not find may just have been made.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::admit::{View, namespace_lifecycle};
use crate::auth::User;
use crate::auth::authorize::{Attributes, Decision, What};
use crate::auth::authorizer::Loaded;
use crate::failure::Outcome;
use crate::kinds::Kind;
use crate::object::Version;
use crate::registry::Registry;
use crate::watch_cache::KindCache;

/// What the caches hold.
pub(crate) struct Lookup<'a> {
    registry: &'a Registry,
    /// Decides what people may do; without it nobody may do anything.
    rights: Option<&'a Loaded<'a>>,
    /// Kinds that were asked for and are not loaded: group and plural.
    missing: Mutex<BTreeSet<(String, String)>>,
}

/// Decides with what the caches hold.
pub(crate) async fn settle<T>(
    registry: &Registry,
    rights: Option<&Loaded<'_>>,
    mut decide: impl FnMut(&Lookup<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let mut caught_up = false;
    loop {
        let lookup = Lookup {
            registry,
            rights,
            missing: Mutex::default(),
        };
        let outcome = decide(&lookup);
        let missing = lookup.missing.into_inner();
        for (group, plural) in &missing {
            registry.cache_of(group, plural).await?;
        }
        if !missing.is_empty() {
            continue;
        }
        if outcome.is_ok() || caught_up {
            return outcome;
        }
        registry.caches.catch_up().await?;
        caught_up = true;
    }
}

impl Lookup<'_> {
    fn cache(&self, group: &str, plural: &str) -> Option<(&Arc<Kind>, Arc<KindCache>)> {
        let kind = self.registry.kinds.builtin(group, plural)?;
        let loaded = self.registry.caches.loaded(&kind.prefix);
        if loaded.is_none() {
            let name = (group.to_owned(), plural.to_owned());
            self.missing.lock().insert(name);
        }
        Some((kind, loaded?))
    }

    /// An object of the core group.
    pub(crate) fn core(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.find("", plural, namespace, name)
    }
}

fn tree(version: &Version) -> Option<Value> {
    serde_json::from_slice(&version.body).ok()
}

impl View for Lookup<'_> {
    fn find(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let (kind, cache) = self.cache(group, resource)?;
        let found = cache.object(&kind.place(namespace, name))?;
        tree(&found)
    }

    fn namespace_ends(&self, name: &str) -> Option<bool> {
        let (kind, cache) = self.cache("", "namespaces")?;
        let found = cache.object(&kind.place("", name))?;
        // Every write asks: a namespace without these words need not be read to be known to stay.
        let words: [&[u8]; 2] = [b"Terminating", b"deletionTimestamp"];
        let has = |word: &&[u8]| found.body.windows(word.len()).any(|here| here == *word);
        if !words.iter().any(has) {
            return Some(false);
        }
        Some(namespace_lifecycle::ends(&tree(&found)?))
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let Some((_, cache)) = self.cache(group, resource) else {
            return Vec::new();
        };
        let all = cache.all().versions;
        let inside =
            |version: &&Arc<Version>| namespace.is_empty() || version.namespace() == namespace;
        all.iter()
            .filter(inside)
            .filter_map(|version| tree(version))
            .collect()
    }

    fn allows(&self, user: &User, verb: &str, what: What<'_>) -> bool {
        let wanted = Attributes { user, verb, what };
        let decision = self.rights.map(|rights| rights.decide(&wanted, None));
        matches!(decision, Some(Decision::Allow(_)))
    }

    fn plural(&self, api_version: &str, kind: &str) -> Option<(String, String, bool)> {
        let all = self.registry.kinds.all();
        let found = all
            .iter()
            .find(|row| row.kind == kind && row.api_version() == api_version)?;
        Some((
            found.group.to_string(),
            found.plural.to_string(),
            found.is_namespaced(),
        ))
    }
}
