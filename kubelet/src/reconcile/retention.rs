//! What is kept of the dead: per container the newest dead one, for its logs and last state.

use std::sync::Arc;

use crate::model::memory::RetryOf;
use crate::model::{Action, ContainerState, ObservedContainer};

use super::Turn;
use super::volumes::retry_due;

/// Removes dead containers and sandboxes that nothing needs any more.
pub(super) fn clean(turn: &mut Turn<'_>) {
    for c in &turn.observed.containers {
        if !c.is_live() && !is_kept(turn, c) {
            remove_container(turn, c);
        }
    }
    for s in &turn.observed.sandboxes {
        let newest = turn
            .observed
            .newest_sandbox()
            .is_some_and(|newest| newest.id == s.id);
        if !newest {
            remove_sandbox_when_empty(turn, &s.id);
        }
    }
}

fn is_kept(turn: &Turn<'_>, c: &ObservedContainer) -> bool {
    let newer_dead = |other: &ObservedContainer| {
        other.name == c.name
            && other.state == ContainerState::Exited
            && (other.attempt, other.created_at) > (c.attempt, c.created_at)
    };
    c.state == ContainerState::Exited
        && turn.spec.container(&c.name).is_some()
        && !turn.observed.containers.iter().any(newer_dead)
}

/// Removes a container that does not run.
pub(super) fn remove_container(turn: &mut Turn<'_>, c: &ObservedContainer) {
    if !turn.container_busy(&c.name) && retry_due(turn, RetryOf::CleanUp) {
        let (container, id) = (c.name.clone(), c.id.clone());
        turn.emit(Action::RemoveContainer { container, id });
    }
}

/// Removes a stopped sandbox that holds no container.
pub(super) fn remove_sandbox_when_empty(turn: &mut Turn<'_>, id: &Arc<str>) {
    let stopped = turn.memory.stopped.contains(id);
    let empty = turn.observed.containers.iter().all(|c| c.sandbox_id != *id);
    if stopped && empty && retry_due(turn, RetryOf::CleanUp) {
        turn.emit(Action::RemoveSandbox { id: id.clone() });
    }
}
