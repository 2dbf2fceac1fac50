//! The set of the current template: decides its name, its revision, and what it begins with.

use keelson_client::cache::Store;
use serde_json::json;

use super::sets::{HASH, unhashed};
use super::{Decision, annotations, roll};
use crate::kinds::template::hash;
use crate::kinds::{Deployment, Kind as _, ReplicaSet};
use crate::write::{Write, managed_by};

impl Decision<'_> {
    /// Keeps the revisions of the set and of the Deployment right, and what is passed on.
    pub(super) fn sync_revisions(&mut self) {
        let Some(set) = self.sets.new.clone() else {
            return;
        };
        let newest = self.newest_old_revision() + 1;
        let changes = annotations::of_revision(self.deployment, &set, newest);
        let seconds = self.deployment.spec.min_ready_seconds;
        let revision = newest.max(annotations::revision(&set));
        if !changes.is_empty() || set.spec.min_ready_seconds != seconds {
            let patch = json!({
                "metadata": {"annotations": changes},
                "spec": {"minReadySeconds": seconds},
            });
            self.plan.write(Write::patch(&*set, patch).any_version());
        }
        self.set_own_revision(revision);
        let name = set.metadata.name.clone();
        self.status.found(self.deployment, &name, self.input.now);
    }

    fn newest_old_revision(&self) -> i64 {
        let revisions = self.sets.old.iter().map(|set| annotations::revision(set));
        revisions.max().unwrap_or(0)
    }

    fn set_own_revision(&mut self, revision: i64) {
        let known = annotations::number(self.deployment, annotations::REVISION);
        if known != Some(revision) {
            let patch = json!({"metadata": {"annotations": {
                annotations::REVISION: revision.to_string()}}});
            self.plan.write(Write::patch(self.deployment, patch));
        }
    }

    /// Makes the set of the current template.
    pub(super) fn make_set(&mut self, known: &Store<ReplicaSet>) {
        let deployment = self.deployment;
        let template = unhashed(&deployment.spec.template);
        let hash = hash(&template, deployment.status.collision_count);
        let name = format!("{}-{hash}", deployment.metadata.name);
        if known.get(&deployment.metadata.namespace, &name).is_some() {
            // It isn't ours, or is of another template, or it would have been found.
            self.status.collided();
            return;
        }
        let size = roll::size_of_new(deployment, &self.sets);
        let revision = self.newest_old_revision() + 1;
        let set = new_set(deployment, &name, &hash, size, revision);
        let namespace = &deployment.metadata.namespace;
        self.plan
            .write(Write::create(ReplicaSet::RESOURCE, namespace, set));
        if size > 0 {
            self.tell_size(&name, 0, size);
        }
        self.set_own_revision(revision);
        self.status.made(deployment, &name, self.input);
    }
}

fn new_set(
    deployment: &Deployment,
    name: &str,
    hash: &str,
    size: i32,
    revision: i64,
) -> serde_json::Value {
    let mut notes = annotations::passed_on(deployment);
    notes.insert(annotations::REVISION.to_owned(), revision.to_string());
    for (name, value) in annotations::sizes(deployment) {
        notes.insert(name.to_owned(), value);
    }
    let mut template = deployment.spec.template.value();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = json!(deployment.spec.selector);
    selector["matchLabels"][HASH] = json!(hash);
    json!({
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": notes,
            "ownerReferences": [managed_by(deployment)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}
