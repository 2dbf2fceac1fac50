//! Which old sets are forgotten.

use super::sets::size;
use super::{Decision, annotations};
use crate::write::Write;

/// Removes the oldest revisions beyond the limit, if they have and want no pods.
pub(super) fn old_sets(decision: &mut Decision<'_>) {
    let Some(limit) = decision.deployment.spec.revision_history_limit else {
        return;
    };
    let mut old: Vec<_> = decision.sets.old.clone();
    old.retain(|set| !set.metadata.is_leaving());
    let surplus = old
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_key(|set| annotations::revision(set));
    for set in &old[..surplus] {
        let is_settled = set.status.observed_generation >= set.metadata.generation;
        if set.status.replicas == 0 && size(set) == 0 && is_settled {
            decision.plan.write(Write::delete(&**set));
        }
    }
}
