//! Decides what a namespace says about its removal: what remains in it, and what holds that back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keelson_client::Resource;

use crate::kinds::Condition;
use crate::kinds::condition;

/// What an attempt to empty a namespace came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Groups whose kinds are unknown, and why.
    pub undiscovered: Vec<String>,
    /// Requests that failed.
    pub failed: Vec<String>,
    /// How many objects of which kind are still there.
    pub remaining: BTreeMap<String, usize>,
    /// How many objects wait for which finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

impl Report {
    /// An object is still there.
    pub fn add(&mut self, resource: &Resource, finalizers: &[Box<str>]) {
        let kind = format!("{}.{}", resource.plural, resource.group);
        *self.remaining.entry(kind).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
    }

    /// Whether the namespace is empty, for all that can be known.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.undiscovered.is_empty() && self.failed.is_empty() && self.remaining.is_empty()
    }
}

/// Sets the conditions of a namespace. True if any changed.
pub fn set(conditions: &mut Vec<Condition>, report: &Report, now: Timestamp) -> bool {
    let counted = |counts: &BTreeMap<String, usize>| {
        let parts = counts.iter().map(|(what, count)| match count {
            1 => format!("{what} (1 object)"),
            count => format!("{what} ({count} objects)"),
        });
        parts.collect::<Vec<_>>().join(", ")
    };
    let all = [
        (
            "NamespaceDeletionDiscoveryFailure",
            ("DiscoveryFailed", report.undiscovered.join("; ")),
            ("ResourcesDiscovered", "all kinds of objects are known"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            ("GroupVersionParsingFailed", String::new()),
            (
                "ParsedGroupVersions",
                "all groups and versions were understood",
            ),
        ),
        (
            "NamespaceDeletionContentFailure",
            ("ContentDeletionFailed", report.failed.join("; ")),
            ("ContentDeleted", "the removal of all objects was accepted"),
        ),
        (
            "NamespaceContentRemaining",
            (
                "SomeResourcesRemain",
                prefixed("objects remain: ", counted(&report.remaining)),
            ),
            ("ContentRemoved", "all objects are gone"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (
                "SomeFinalizersRemain",
                prefixed("objects wait for finalizers: ", counted(&report.finalizers)),
            ),
            ("ContentHasNoFinalizers", "no object waits for a finalizer"),
        ),
    ];
    let mut changed = false;
    for (kind, (bad, why), (good, fine)) in all {
        let wanted = if why.is_empty() {
            Condition::new(kind, false, good, fine, now)
        } else {
            Condition::new(kind, true, bad, &why, now)
        };
        let known = condition::find(conditions, kind);
        // A new message is news too: it names what is stuck.
        if known
            .is_some_and(|known| known.message != wanted.message && known.status == wanted.status)
        {
            let since = known.and_then(|known| known.last_transition_time);
            condition::remove(conditions, kind);
            conditions.push(Condition {
                last_transition_time: since,
                ..wanted
            });
            changed = true;
        } else {
            changed |= condition::set(conditions, wanted);
        }
    }
    changed
}

fn prefixed(before: &str, text: String) -> String {
    if text.is_empty() {
        text
    } else {
        format!("{before}{text}")
    }
}

#[cfg(test)]
mod tests {
    use keelson_client::Resource;

    use super::{Report, set};
    use crate::given;
    use crate::kinds::condition;

    #[test]
    fn what_is_stuck_is_named() {
        let mut report = Report::default();
        assert!(report.is_done());
        let maps = Resource::fixed("", "v1", "configmaps", "ConfigMap", true);
        report.add(&maps, &["a.io/hold".into()]);
        report.add(&maps, &["a.io/hold".into(), "b.io/hold".into()]);
        assert!(!report.is_done());
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, &report, given::at(1)));
        let said = |conditions: &[condition::Condition], kind: &str| {
            let found = condition::find(conditions, kind).unwrap();
            format!("{} {} {}", found.status, found.reason, found.message)
        };
        assert_eq!(
            said(&conditions, "NamespaceContentRemaining"),
            "True SomeResourcesRemain objects remain: configmaps. (2 objects)"
        );
        assert_eq!(
            said(&conditions, "NamespaceFinalizersRemaining"),
            "True SomeFinalizersRemain objects wait for finalizers: \
             a.io/hold (2 objects), b.io/hold (1 object)"
        );
        assert!(said(&conditions, "NamespaceDeletionContentFailure").starts_with("False"));
        assert!(!set(&mut conditions, &report, given::at(2)));
        // One finalizer fewer is news, but no transition.
        report.finalizers.remove("a.io/hold");
        assert!(set(&mut conditions, &report, given::at(3)));
        let remaining = condition::find(&conditions, "NamespaceFinalizersRemaining").unwrap();
        assert_eq!(remaining.last_transition_time, Some(given::at(1)));
        assert!(
            remaining
                .message
                .ends_with("for finalizers: b.io/hold (1 object)")
        );
    }
}
