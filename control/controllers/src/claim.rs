//! Who manages what: decides which objects an owner adopts and which it lets go, by its selector.
//! Pure; the changes are writes of the plan.

use std::sync::Arc;

use keelson_api::selector::Selector;
use keelson_client::cache::{Change, Key, Store};
use serde_json::json;

use crate::controller::Plan;
use crate::kinds::{CONTROLLER, Kind, NAMESPACE, OwnerReference, orphans_of, owned_by};
use crate::wiring::{Wiring, owners};
use crate::write::{Write, managed_by};

/// The objects of the owner's namespace that are its own. Those without an owner that it selects
/// are adopted, those that it no longer selects are let go.
pub fn claim<O: Kind, K: Kind>(
    owner: &O,
    selector: &Selector,
    store: &Store<K>,
    plan: &mut Plan,
) -> Vec<Arc<K>> {
    let meta = owner.meta();
    let mut claimed = Vec::new();
    for object in store.by_index(CONTROLLER, &owned_by(&meta.uid)) {
        if selector.matches(&object.meta().labels) {
            claimed.push(object);
        } else if !meta.is_leaving() {
            plan.write(release(owner, &*object));
        }
    }
    if meta.is_leaving() {
        return claimed;
    }
    for object in store.by_index(CONTROLLER, &orphans_of(&meta.namespace)) {
        if !object.meta().is_leaving() && selector.matches(&object.meta().labels) {
            plan.write(adopt(owner, &*object));
            claimed.push(object);
        }
    }
    claimed
}

fn adopt<O: Kind, K: Kind>(owner: &O, object: &K) -> Write {
    let mut references = object.meta().owner_references.clone();
    references.retain(|reference| reference.uid != owner.meta().uid);
    references.push(managed_by(owner));
    with_owners(object, &references)
}

fn release<O: Kind, K: Kind>(owner: &O, object: &K) -> Write {
    let mut references = object.meta().owner_references.clone();
    references.retain(|reference| reference.uid != owner.meta().uid);
    with_owners(object, &references)
}

fn with_owners<K: Kind>(object: &K, references: &[OwnerReference]) -> Write {
    Write::patch(object, json!({"metadata": {"ownerReferences": references}}))
}

/// The kind that a controller is about, and one whose objects it selects: a change of these is
/// about who manages or managed it, and about who may adopt it.
pub fn keepers<O: Kind, K: Kind>(
    wiring: &mut Wiring<'_>,
    selector: fn(&O) -> Option<Selector>,
) -> (Store<O>, Store<K>) {
    let all = wiring.own::<O>();
    let known = all.clone();
    let kept = wiring.watch(move |change: &Change<K>, keys| {
        owners(change, &O::RESOURCE, keys);
        suitors(change, &known, selector, keys);
    });
    (all, kept)
}

/// The owners that a change of an object without one may concern: those that select it, now or
/// before.
fn suitors<O: Kind, K: Kind>(
    change: &Change<K>,
    owners: &Store<O>,
    selector: impl Fn(&O) -> Option<Selector>,
    keys: &mut Vec<Key>,
) {
    let object = change.latest();
    let Some(now) = change
        .current()
        .filter(|now| now.meta().controller().is_none())
    else {
        return;
    };
    let same = change.previous().is_some_and(|old| {
        old.meta().labels == now.meta().labels && old.meta().controller().is_none()
    });
    if same {
        return;
    }
    for owner in owners.by_index(NAMESPACE, object.namespace()) {
        if selector(&owner).is_some_and(|selector| selector.matches(&now.meta().labels)) {
            let key = owner.key();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
}
