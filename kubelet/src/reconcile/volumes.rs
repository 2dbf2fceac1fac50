//! What stands on the node for a pod before anything of it runs: its cgroup, then its volumes.

use crate::model::memory::RetryOf;
use crate::model::{Action, Mono};

use super::Turn;

/// Sets up the cgroup. True when it stands.
pub(super) fn set_up_cgroup(turn: &mut Turn<'_>) -> bool {
    if !turn.observed.cgroup_ready && retry_due(turn, RetryOf::Cgroup) {
        let bounds = turn.spec.resources;
        turn.memory.cgroup.get_or_insert(bounds);
        turn.emit(Action::SetUpCgroup);
    }
    turn.observed.cgroup_ready
}

/// Sets up directories and volumes, and again when they show something old: what stands is left
/// as it is.
pub(super) fn set_up_volumes(turn: &mut Turn<'_>) {
    let observed = turn.observed;
    let wanted = !observed.volumes_ready || observed.volumes_outdated.is_some();
    if wanted && retry_due(turn, RetryOf::Volumes) {
        turn.emit(Action::SetUpVolumes);
    }
}

/// True when what failed before may be tried again.
pub(super) fn retry_due(turn: &mut Turn<'_>, of: RetryOf) -> bool {
    let until = turn
        .memory
        .retries
        .get(&of)
        .map_or(Mono(0), |retry| retry.backoff.until);
    turn.due(until)
}
