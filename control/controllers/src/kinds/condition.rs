//! Conditions, as statuses of many kinds have them, and how one is set: the transition time moves
//! with the status alone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Box<str>,
    /// When somebody last looked (pods, jobs, nodes).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Timestamp>,
    /// When a node was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Timestamp>,
    /// When something about it last changed (Deployments).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// A word for machines.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: Box<str>,
    /// The generation it was set for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// A condition that became what it is now.
    #[must_use]
    pub fn new(kind: &str, status: bool, reason: &str, message: &str, now: Timestamp) -> Self {
        Self {
            kind: kind.into(),
            status: if status { "True" } else { "False" }.into(),
            last_transition_time: Some(whole_seconds(now)),
            reason: reason.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// Whether its status is `True`.
    #[must_use]
    pub fn holds(&self) -> bool {
        &*self.status == "True"
    }
}

/// The time as the API keeps it.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| &*condition.kind == kind)
}

/// Puts a condition in, behind all others. One of its type that says the same (status and reason)
/// stays as it is; one of the same status keeps its transition time. True if anything changed.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) -> bool {
    let at = conditions.iter().position(|c| c.kind == condition.kind);
    if let Some(at) = at {
        let old = &conditions[at];
        if old.status == condition.status && old.reason == condition.reason {
            return false;
        }
        if old.status == condition.status {
            condition.last_transition_time = old.last_transition_time;
        }
        conditions.remove(at);
    }
    conditions.push(condition);
    true
}

/// Takes a condition out. True if it was there.
pub fn remove(conditions: &mut Vec<Condition>, kind: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| &*condition.kind != kind);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Condition, set};

    #[test]
    fn the_transition_time_moves_with_the_status_alone() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut all = vec![Condition::new("A", true, "R", "m", at(1))];
        assert!(!set(&mut all, Condition::new("A", true, "R", "n", at(2))));
        assert!(set(&mut all, Condition::new("A", true, "S", "n", at(3))));
        assert_eq!(all[0].last_transition_time, Some(at(1)));
        assert!(set(&mut all, Condition::new("A", false, "S", "n", at(4))));
        assert_eq!(all[0].last_transition_time, Some(at(4)));
        assert_eq!(all.len(), 1);
    }
}
