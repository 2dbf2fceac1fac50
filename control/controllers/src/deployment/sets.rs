//! The ReplicaSets of one Deployment: which one is of its template, which are older.

use std::sync::Arc;

use serde_json::Value;

use super::annotations;
use crate::kinds::{Deployment, ReplicaSet, Template};

/// The label that tells the pods of one template from those of others.
pub const HASH: &str = "pod-template-hash";

/// The sets of a Deployment.
#[derive(Clone, Debug)]
pub struct Sets {
    /// The one of the current template.
    pub new: Option<Arc<ReplicaSet>>,
    /// All others, the oldest first.
    pub old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    /// Sorts the sets of a Deployment.
    #[must_use]
    pub fn new(deployment: &Deployment, mut sets: Vec<Arc<ReplicaSet>>) -> Self {
        sets.sort_by(|a, b| age(a).cmp(&age(b)));
        let wanted = unhashed(&deployment.spec.template);
        let at = sets
            .iter()
            .position(|set| unhashed(&set.spec.template) == wanted);
        let new = at.map(|at| sets.remove(at));
        Self { new, old: sets }
    }

    /// All sets.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// All sets that want pods.
    pub fn active(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.all().filter(|set| size(set) > 0)
    }

    /// How many pods all sets want.
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.all().map(size).sum()
    }

    /// Whether the wanted number changed since the sets got their sizes.
    #[must_use]
    pub fn is_rescaled(&self, deployment: &Deployment) -> bool {
        self.active().any(|set| {
            let desired = annotations::number(&**set, annotations::DESIRED);
            desired.is_some_and(|desired| desired != i64::from(deployment.replicas()))
        })
    }
}

/// How many pods a set wants.
#[must_use]
pub fn size(set: &Arc<ReplicaSet>) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Older sets sort first; of one second, by name.
fn age(set: &ReplicaSet) -> (Option<jiff::Timestamp>, &str) {
    (set.metadata.creation_timestamp, &set.metadata.name)
}

/// The template without the label that its hash adds.
#[must_use]
pub fn unhashed(template: &Template) -> Template {
    let mut value = template.value();
    if let Some(Value::Object(labels)) = value.pointer_mut("/metadata/labels") {
        labels.remove(HASH);
    }
    Template::of(&value)
}
