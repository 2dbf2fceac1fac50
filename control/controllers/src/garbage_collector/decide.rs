//! Decides what becomes of an object, from its owners and from what it owns. Must not know how
//! that is found out.

use super::tracked::{FOREGROUND, ORPHAN, Tracked};

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It is there and stays, or leaves without waiting for anybody.
    Solid,
    /// It leaves and waits for what it owns.
    Waiting,
    /// It is not there: never was, is gone, or is another object of its name.
    Absent,
}

/// What is to be done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Leave,
    /// It goes: how it treats what it owns itself.
    Delete {
        /// `Background`, `Foreground` or `Orphan`.
        policy: &'static str,
        /// Whether its owners shall not wait for it any more, because it waits itself: two that
        /// own each other would wait for ever.
        unblock: bool,
    },
    /// These owners (by uid) are no owners any more, as there are others.
    Disown(Vec<Box<str>>),
}

/// What becomes of an object that has owners and is not leaving. `circular`: something that it
/// owns leaves and waits for its own dependents.
#[must_use]
pub fn of_dependent(object: &Tracked, owners: &[Owner], circular: Option<bool>) -> Step {
    let references = object.metadata.owner_references.iter().zip(owners);
    let is = |kind: Owner| owners.contains(&kind);
    if object.metadata.deletion_timestamp.is_some() || owners.is_empty() {
        return Step::Leave;
    }
    if is(Owner::Solid) {
        let others = references.filter(|(_, owner)| **owner != Owner::Solid);
        let others: Vec<_> = others.map(|(reference, _)| reference.uid.clone()).collect();
        return if others.is_empty() {
            Step::Leave
        } else {
            Step::Disown(others)
        };
    }
    if let (true, Some(unblock)) = (is(Owner::Waiting), circular) {
        return Step::Delete {
            policy: "Foreground",
            unblock,
        };
    }
    let policy = if object.has_finalizer(ORPHAN) {
        "Orphan"
    } else if object.has_finalizer(FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    Step::Delete {
        policy,
        unblock: false,
    }
}

/// Whether an owner that waits may go: nothing that blocks it is left.
#[must_use]
pub fn may_go<'a>(owner: &Tracked, dependents: impl IntoIterator<Item = &'a Tracked>) -> bool {
    let uid = &owner.metadata.uid;
    !dependents
        .into_iter()
        .any(|dependent| dependent.blocks(uid))
}

/// The finalizers of an object without one of them.
#[must_use]
pub fn without(object: &Tracked, finalizer: &str) -> Vec<Box<str>> {
    let all = object.metadata.finalizers.iter();
    all.filter(|name| &***name != finalizer).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Owner, Step, may_go, of_dependent, without};
    use crate::garbage_collector::tracked::Tracked;

    fn object(owners: usize, finalizers: &[&str], leaving: bool) -> Tracked {
        let owners: Vec<_> = (0..owners)
            .map(|at| {
                json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": format!("{at}"),
                "blockOwnerDeletion": at == 0})
            })
            .collect();
        let leaving = leaving.then_some("2026-01-01T00:00:00Z");
        serde_json::from_value(json!({"metadata": {"name": "o", "uid": "u",
            "ownerReferences": owners, "finalizers": finalizers, "deletionTimestamp": leaving}}))
        .unwrap()
    }

    #[test]
    fn what_becomes_of_dependents() {
        use Owner::{Absent, Solid, Waiting};
        let check =
            |owners: &[Owner], finalizers: &[&str], circular: Option<bool>, expected: Step| {
                let object = object(owners.len(), finalizers, false);
                assert_eq!(
                    of_dependent(&object, owners, circular),
                    expected,
                    "{owners:?}"
                );
            };
        let delete = |policy: &'static str| Step::Delete {
            policy,
            unblock: false,
        };
        check(&[], &[], None, Step::Leave);
        check(&[Solid], &[], None, Step::Leave);
        check(&[Absent], &[], None, delete("Background"));
        check(&[Absent], &["orphan"], None, delete("Orphan"));
        check(
            &[Absent],
            &["foregroundDeletion"],
            None,
            delete("Foreground"),
        );
        check(
            &[Absent, Solid, Waiting],
            &[],
            None,
            Step::Disown(vec!["0".into(), "2".into()]),
        );
        // Whoever owns nothing need not wait for anything.
        check(&[Waiting], &[], None, delete("Background"));
        check(&[Waiting, Absent], &[], Some(false), delete("Foreground"));
        let unblock = Step::Delete {
            policy: "Foreground",
            unblock: true,
        };
        check(&[Waiting], &[], Some(true), unblock);
        assert_eq!(
            of_dependent(&object(1, &[], true), &[Absent], None),
            Step::Leave
        );
    }

    #[test]
    fn an_owner_waits_for_those_that_block_it() {
        let mut owner = object(0, &["foregroundDeletion", "other"], true);
        owner.metadata.uid = "0".into();
        let dependent = object(2, &[], false);
        assert!(!may_go(&owner, [&dependent]));
        owner.metadata.uid = "1".into();
        assert!(may_go(&owner, [&dependent]));
        assert!(may_go(&owner, []));
        assert_eq!(without(&owner, "foregroundDeletion"), ["other".into()]);
    }
}
