//! What a controller writes, as values. Decides what a request contains, such as preconditions;
//! must not know how it is sent.

use keelson_client::Resource;
use serde_json::{Value, json};

use crate::controller::{About, Verb};
use crate::kinds::{Kind, OwnerReference};

/// One change to one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The kind.
    pub resource: Resource,
    /// The namespace; empty for cluster-wide kinds.
    pub namespace: Box<str>,
    /// What is done.
    pub action: Action,
    /// The object whose people are told when a creation or deletion succeeds or fails
    /// (`SuccessfulCreate`, `FailedDelete` and so on).
    pub told_to: Option<About>,
}

/// What is done to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is made. Without `metadata.name` it is named after `metadata.generateName`: by us, so
    /// that a creation whose outcome is unknown can be repeated.
    Create {
        /// The object; kind and apiVersion are added when it is sent.
        object: Value,
        /// Whether it is fine if an object of this name is there already.
        or_exists: bool,
    },
    /// Some fields change.
    Patch {
        /// Its name.
        name: Box<str>,
        /// The object must still be this one.
        uid: Box<str>,
        /// It must still be of this version; any if empty.
        version: Box<str>,
        /// `status`, or empty for the object itself.
        subresource: &'static str,
        /// A merge patch.
        changes: Value,
    },
    /// It is removed, or its removal begins.
    Delete {
        /// Its name.
        name: Box<str>,
        /// The object must still be this one.
        uid: Box<str>,
        /// It must still be of this version; any if empty.
        version: Box<str>,
        /// What becomes of what it owns.
        propagation: Option<&'static str>,
        /// How long it may take, in seconds, if not as long as it says itself.
        grace: Option<u32>,
    },
}

impl Write {
    /// Makes an object of a kind.
    #[must_use]
    pub fn create(resource: Resource, namespace: &str, object: Value) -> Self {
        let or_exists = false;
        Self::of(resource, namespace, Action::Create { object, or_exists })
    }

    /// Makes an object unless one of its name is there.
    #[must_use]
    pub fn ensure(resource: Resource, namespace: &str, object: Value) -> Self {
        let or_exists = true;
        Self::of(resource, namespace, Action::Create { object, or_exists })
    }

    /// Changes fields of an object that must not have changed since it was seen.
    #[must_use]
    pub fn patch<K: Kind>(object: &K, changes: Value) -> Self {
        Self::patching(object, "", changes)
    }

    /// Changes the status of an object that must not have changed since it was seen.
    #[must_use]
    pub fn status<K: Kind>(object: &K, status: Value) -> Self {
        Self::patching(object, "status", json!({ "status": status }))
    }

    /// Changes fields of an object, whatever else has changed about it.
    #[must_use]
    pub fn patch_any_version<K: Kind>(object: &K, changes: Value) -> Self {
        Self::patch(object, changes).any_version()
    }

    /// The same change, whatever else has changed about the object.
    #[must_use]
    pub fn any_version(mut self) -> Self {
        if let Action::Patch { version, .. } = &mut self.action {
            *version = "".into();
        }
        self
    }

    /// Removes an object, as long as it may take.
    #[must_use]
    pub fn delete<K: Kind>(object: &K) -> Self {
        let meta = object.meta();
        let action = Action::Delete {
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            version: "".into(),
            propagation: None,
            grace: None,
        };
        Self::of(K::RESOURCE, &meta.namespace, action)
    }

    /// The same, telling somebody about a creation or deletion.
    #[must_use]
    pub fn told_to(mut self, about: About) -> Self {
        self.told_to = Some(about);
        self
    }

    /// The same deletion with a word on what becomes of what the object owns.
    #[must_use]
    pub fn propagating(mut self, policy: &'static str) -> Self {
        if let Action::Delete { propagation, .. } = &mut self.action {
            *propagation = Some(policy);
        }
        self
    }

    /// The same deletion, if the object is still of the version that was seen.
    #[must_use]
    pub fn if_unchanged<K: Kind>(mut self, object: &K) -> Self {
        if let Action::Delete { version, .. } = &mut self.action {
            version.clone_from(&object.meta().resource_version);
        }
        self
    }

    /// The same deletion with another time to end, in seconds.
    #[must_use]
    pub fn within(mut self, seconds: u32) -> Self {
        if let Action::Delete { grace, .. } = &mut self.action {
            *grace = Some(seconds);
        }
        self
    }

    /// What is done, in a word.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self.action {
            Action::Create { .. } => Verb::Create,
            Action::Patch { .. } => Verb::Change,
            Action::Delete { .. } => Verb::Delete,
        }
    }

    fn patching<K: Kind>(object: &K, subresource: &'static str, changes: Value) -> Self {
        let meta = object.meta();
        let action = Action::Patch {
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            version: meta.resource_version.clone(),
            subresource,
            changes,
        };
        Self::of(K::RESOURCE, &meta.namespace, action)
    }

    fn of(resource: Resource, namespace: &str, action: Action) -> Self {
        Self {
            resource,
            namespace: namespace.into(),
            action,
            told_to: None,
        }
    }
}

/// A reference to the object that manages another.
#[must_use]
pub fn managed_by<K: Kind>(owner: &K) -> OwnerReference {
    let meta = owner.meta();
    OwnerReference {
        api_version: K::RESOURCE.api_version().into(),
        kind: K::RESOURCE.kind.as_ref().into(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Sets, replaces and (where the patch has null) removes fields, as RFC 7386 has it.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else {
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::merge;

    #[test]
    fn merging() {
        let mut target = json!({"a": 1, "b": {"c": [1], "d": 2}, "e": "f"});
        merge(
            &mut target,
            json!({"a": null, "b": {"c": [2], "g": {"h": null}}, "e": {"i": 3}}),
        );
        assert_eq!(
            target,
            json!({"b": {"c": [2], "d": 2, "g": {}}, "e": {"i": 3}})
        );
    }
}
