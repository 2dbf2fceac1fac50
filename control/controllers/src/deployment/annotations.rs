//! The annotations of a Deployment's ReplicaSets: revisions, sizes, and what the Deployment passes
//! on.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::kinds::{Deployment, Kind, Labels, ReplicaSet};

/// Which revision of its Deployment a set is; on the Deployment, the current one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier revisions that a set was.
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many pods the Deployment wanted when the set got its size.
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many there might be at that time.
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// What is not passed on.
const OWN: &[&str] = &[
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// No history is longer.
const HISTORY_LENGTH: usize = 2000;

/// An annotation that is a number.
#[must_use]
pub fn number<K: Kind>(object: &K, name: &str) -> Option<i64> {
    object.meta().annotations.get(name)?.parse().ok()
}

/// The revision of a set; 0 where it has none.
#[must_use]
pub fn revision(set: &ReplicaSet) -> i64 {
    number(set, REVISION).unwrap_or(0)
}

/// What the sizes' annotations have to become; `None` if they are right.
#[must_use]
pub fn of_size(deployment: &Deployment, set: &Arc<ReplicaSet>) -> Option<Map<String, Value>> {
    let wanted = sizes(deployment);
    let right = wanted
        .iter()
        .all(|(name, value)| set.metadata.annotations.get(*name) == Some(value));
    let entries = wanted
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)));
    (!right).then(|| entries.collect())
}

/// The sizes' annotations.
#[must_use]
pub fn sizes(deployment: &Deployment) -> [(&'static str, String); 2] {
    let most = deployment.replicas() + deployment.max_surge();
    [
        (DESIRED, deployment.replicas().to_string()),
        (MAX, most.to_string()),
    ]
}

/// What a Deployment passes on to its sets.
#[must_use]
pub fn passed_on(deployment: &Deployment) -> Labels {
    let mut all = deployment.metadata.annotations.clone();
    all.retain(|name, _| !OWN.contains(&name.as_str()));
    all
}

/// What the annotations of a set that becomes this revision change into; empty if nothing changes.
#[must_use]
pub fn of_revision(deployment: &Deployment, set: &ReplicaSet, newest: i64) -> Map<String, Value> {
    let known = &set.metadata.annotations;
    let mut changes = Map::new();
    for (name, value) in passed_on(deployment) {
        if known.get(&name) != Some(&value) {
            changes.insert(name, json!(value));
        }
    }
    let old = known.get(REVISION);
    if revision(set) < newest {
        changes.insert(REVISION.to_owned(), json!(newest.to_string()));
        if let Some(old) = old.filter(|old| !old.is_empty()) {
            changes.insert(HISTORY.to_owned(), json!(history(known.get(HISTORY), old)));
        }
    }
    changes
}

fn history(before: Option<&String>, revision: &str) -> String {
    let earlier = before.map_or("", String::as_str);
    let mut all: Vec<&str> = earlier.split(',').filter(|one| !one.is_empty()).collect();
    all.push(revision);
    while all.len() > 1 && all.iter().map(|one| one.len() + 1).sum::<usize>() > HISTORY_LENGTH {
        all.remove(0);
    }
    all.join(",")
}
