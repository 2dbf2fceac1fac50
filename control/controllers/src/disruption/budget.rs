//! Decides what a budget allows: how many pods there should be, how many are well, and how many
//! may go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keelson_api::IntOrString;

use crate::kinds::condition;
use crate::kinds::disruption_budget::{DisruptionBudgetSpec, DisruptionBudgetStatus};
use crate::kinds::{Condition, DisruptionBudget, Pod};

/// How long a pod whose eviction was granted counts as going.
const GRANTED: SignedDuration = SignedDuration::from_mins(2);

/// The status of a budget, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The status.
    pub status: DisruptionBudgetStatus,
    /// When the first pod that should be going no longer counts as such.
    pub recheck: Option<Duration>,
}

/// Whether it must be known how many pods their owners want.
#[must_use]
pub fn needs_scale(spec: &DisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// The status of a budget. `expected` is how many pods their owners want, where that matters.
#[must_use]
pub fn counts(
    budget: &DisruptionBudget,
    pods: &[Arc<Pod>],
    expected: Option<i32>,
    now: Timestamp,
) -> Counts {
    let expected = expected.unwrap_or_else(|| number(pods.len()));
    let desired = desired(&budget.spec, expected);
    let (going, recheck) = going(budget, pods, now);
    let is_well = |pod: &&Arc<Pod>| {
        !pod.metadata.is_leaving() && pod.is_ready() && !going.contains_key(&*pod.metadata.name)
    };
    let healthy = number(pods.iter().filter(is_well).count());
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let mut conditions = budget.status.conditions.clone();
    let reason = if allowed > 0 {
        "SufficientPods"
    } else {
        "InsufficientPods"
    };
    let mut said = Condition::new("DisruptionAllowed", allowed > 0, reason, "", now);
    said.observed_generation = Some(budget.metadata.generation);
    let known = condition::find(&conditions, "DisruptionAllowed");
    if known.is_none_or(|known| known.observed_generation != said.observed_generation) {
        let same = known.filter(|known| known.status == said.status);
        said.last_transition_time = same
            .and_then(|known| known.last_transition_time)
            .or(said.last_transition_time);
        condition::remove(&mut conditions, "DisruptionAllowed");
        conditions.push(said);
    } else {
        condition::set(&mut conditions, said);
    }
    Counts {
        status: DisruptionBudgetStatus {
            observed_generation: budget.metadata.generation,
            disrupted_pods: going,
            disruptions_allowed: allowed,
            current_healthy: healthy,
            desired_healthy: desired,
            expected_pods: expected,
            conditions,
        },
        recheck,
    }
}

/// How many pods must be well.
fn desired(spec: &DisruptionBudgetSpec, expected: i32) -> i32 {
    if let Some(most) = &spec.max_unavailable {
        return (expected - scaled(most, expected)).max(0);
    }
    spec.min_available
        .as_ref()
        .map_or(0, |least| scaled(least, expected))
}

/// A number, or a share of another, rounded up.
fn scaled(value: &IntOrString, of: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(share) => {
            let percent: i64 = share.trim_end_matches('%').parse().unwrap_or(0);
            let scaled = (percent * i64::from(of) + 99).div_euclid(100);
            i32::try_from(scaled).unwrap_or(i32::MAX)
        }
    }
}

/// Pods whose eviction was granted and that have not begun to leave, and for how long the first
/// of them still counts.
fn going(
    budget: &DisruptionBudget,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Timestamp>, Option<Duration>) {
    let mut going = BTreeMap::new();
    let mut first = None;
    for (name, since) in &budget.status.disrupted_pods {
        let pod = pods.iter().find(|pod| *pod.metadata.name == **name);
        if pod.is_none_or(|pod| pod.metadata.is_leaving()) {
            continue;
        }
        let left = GRANTED - now.duration_since(*since);
        if left.is_positive() {
            going.insert(name.clone(), *since);
            let left = left.unsigned_abs();
            first = Some(first.map_or(left, |first: Duration| first.min(left)));
        }
    }
    (going, first)
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Counts, counts};
    use crate::given;
    use crate::kinds::{DisruptionBudget, Pod};

    fn counted(spec: Value, status: Value, ready: &[bool], expected: Option<i32>) -> Counts {
        let budget: DisruptionBudget = given::read(json!({
            "metadata": {"name": "b", "namespace": "a", "generation": 3},
            "spec": spec, "status": status,
        }));
        let pods: Vec<Arc<Pod>> = ready
            .iter()
            .enumerate()
            .map(|(at, ready)| {
                let ready = if *ready { "True" } else { "False" };
                Arc::new(given::read(json!({"metadata": {"name": format!("p{at}")},
                    "status": {"conditions": [{"type": "Ready", "status": ready}]}})))
            })
            .collect();
        counts(&budget, &pods, expected, given::at(1000))
    }

    #[test]
    fn what_may_go() {
        let check =
            |spec: Value, ready: &[bool], expected: Option<i32>, result: (i32, i32, i32)| {
                let status = counted(spec.clone(), json!({}), ready, expected).status;
                let found = (
                    status.disruptions_allowed,
                    status.current_healthy,
                    status.desired_healthy,
                );
                assert_eq!(found, result, "{spec}");
                let condition = &status.conditions[0];
                assert_eq!(condition.holds(), result.0 > 0);
                assert_eq!(status.observed_generation, 3);
            };
        let three = [true, true, true];
        check(json!({"minAvailable": 2}), &three, None, (1, 3, 2));
        check(
            json!({"minAvailable": 2}),
            &[true, true, false],
            None,
            (0, 2, 2),
        );
        check(json!({"minAvailable": "50%"}), &three, Some(3), (1, 3, 2));
        check(json!({"minAvailable": "100%"}), &three, Some(5), (0, 3, 5));
        check(json!({"maxUnavailable": 1}), &three, Some(3), (1, 3, 2));
        check(json!({"maxUnavailable": "34%"}), &three, Some(3), (2, 3, 1));
        check(json!({"maxUnavailable": 5}), &three, Some(3), (3, 3, 0));
        check(json!({"minAvailable": 0}), &[], None, (0, 0, 0));
    }

    #[test]
    fn granted_evictions_count_until_they_are_seen() {
        let status = json!({"disruptedPods": {
            "p0": given::at(950), "p1": given::at(700), "gone": given::at(990)}});
        let spec = json!({"minAvailable": 1});
        let found = counted(spec, status, &[true, true, true], None);
        let going: Vec<_> = found
            .status
            .disrupted_pods
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(going, ["p0"]);
        assert_eq!(
            (
                found.status.current_healthy,
                found.status.disruptions_allowed
            ),
            (2, 1)
        );
        assert_eq!(found.recheck, Some(Duration::from_secs(70)));
    }
}
