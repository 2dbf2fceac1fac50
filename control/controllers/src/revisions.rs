//! The templates that an owner had, as ControllerRevisions: decides which one is current, makes it
//! if it is new, and forgets old ones. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use keelson_api::selector::Selector;
use keelson_client::cache::Store;
use serde_json::json;

use crate::claim::claim;
use crate::controller::Plan;
use crate::kinds::template::hash;
use crate::kinds::{ControllerRevision, Kind, Template};
use crate::write::{Write, managed_by};

/// The label of pods that says of which revision they are.
pub const LABEL: &str = "controller-revision-hash";

/// The revisions of an owner.
#[derive(Clone, Debug)]
pub struct History {
    /// That of the current template.
    pub current: Arc<ControllerRevision>,
    /// The others, the oldest first.
    pub old: Vec<Arc<ControllerRevision>>,
}

/// What became of looking for the current revision.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is there.
    History(History),
    /// The plan makes it.
    Making,
    /// Its name is taken by another template's: the count of collisions has to grow.
    Collision,
}

/// The owner of revisions.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a, O> {
    /// The object.
    pub object: &'a O,
    /// Its template.
    pub template: &'a Template,
    /// Which pods, and revisions, are its own.
    pub selector: &'a Selector,
    /// How often a hash of it was taken.
    pub collisions: Option<i32>,
    /// The label of revisions that has the hash.
    pub hash_label: &'static str,
}

impl<O: Kind> Owner<'_, O> {
    /// Finds the revision of the current template.
    pub fn history(&self, store: &Store<ControllerRevision>, plan: &mut Plan) -> Found {
        let mut old = claim(self.object, self.selector, store, plan);
        old.sort_by_key(|revision| (revision.revision, revision.metadata.creation_timestamp));
        let data = data(self.template);
        let at = old.iter().rposition(|revision| revision.data == data);
        let Some(at) = at else {
            let next = old.last().map_or(0, |last| last.revision) + 1;
            return self.make(store, &data, next, plan);
        };
        let current = old.remove(at);
        let next = old.last().map_or(0, |last| last.revision) + 1;
        if current.revision < next {
            plan.write(Write::patch(&*current, json!({"revision": next})));
        }
        Found::History(History { current, old })
    }

    fn make(
        &self,
        store: &Store<ControllerRevision>,
        data: &Template,
        revision: i64,
        plan: &mut Plan,
    ) -> Found {
        let meta = self.object.meta();
        let hash = hash(data, self.collisions);
        let name = format!("{}-{hash}", meta.name);
        if store.get(&meta.namespace, &name).is_some() {
            return Found::Collision;
        }
        let mut labels = self.template.labels();
        labels.insert(self.hash_label.to_owned(), hash);
        let object = json!({
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": meta.annotations,
                "ownerReferences": [managed_by(self.object)],
            },
            "data": data.value(),
            "revision": revision,
        });
        plan.write(Write::create(
            ControllerRevision::RESOURCE,
            &meta.namespace,
            object,
        ));
        Found::Making
    }
}

impl History {
    /// Forgets the oldest revisions beyond the limit, but none that is in use.
    pub fn clean(&self, limit: Option<i32>, in_use: &BTreeSet<&str>, plan: &mut Plan) {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let idle = |revision: &&Arc<ControllerRevision>| {
            let hash = revision.metadata.labels.get(LABEL);
            !in_use.contains(&*revision.metadata.name)
                && hash.is_none_or(|hash| !in_use.contains(hash.as_str()))
        };
        let surplus = self.old.len().saturating_sub(limit);
        for revision in self.old.iter().filter(idle).take(surplus) {
            plan.write(Write::delete(&**revision));
        }
    }
}

/// The patch that brings a template back, which is how revisions keep it.
#[must_use]
pub fn data(template: &Template) -> Template {
    let mut value = template.value();
    value["$patch"] = json!("replace");
    Template::of(&json!({"spec": {"template": value}}))
}

/// The template that a revision keeps.
#[must_use]
pub fn template_of(revision: &ControllerRevision) -> Template {
    let mut value = revision.data.value()["spec"]["template"].take();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("$patch");
    }
    Template::of(&value)
}
