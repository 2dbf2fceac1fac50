//! The pod's sandbox: made when there is none to use, after all of the old one is down.

use std::sync::Arc;

use crate::model::desired::RestartPolicy;
use crate::model::memory::RetryOf;
use crate::model::{Action, KillReason};

use super::kills::{self, Order};
use super::restart_backoff::restarts_after;
use super::standing::{Standing, standing};
use super::volumes::retry_due;
use super::{Note, Turn};

/// Gives the pod a sandbox where it has none that can be used.
pub(super) fn ensure(turn: &mut Turn<'_>) {
    if turn.usable_sandbox().is_some() || !all_down(turn) || !turn.observed.cgroup_ready {
        return;
    }
    let attempt = turn
        .observed
        .sandboxes
        .iter()
        .map(|s| s.attempt + 1)
        .max()
        .unwrap_or(0);
    let first_try = !turn.memory.retries.contains_key(&RetryOf::Sandbox);
    let emitted = retry_due(turn, RetryOf::Sandbox) && turn.emit(Action::CreateSandbox { attempt });
    if emitted && first_try && attempt > 0 {
        let message = "the pod's sandbox is gone or not ready; it is made again".to_owned();
        turn.note(Note::of_pod("SandboxChanged", message));
    }
}

/// Kills what lives outside of the sandbox to use, and stops sandboxes that are left.
pub(super) fn clear_others(turn: &mut Turn<'_>, current: Option<&Arc<str>>) {
    let observed = turn.observed;
    for c in observed.containers.iter().filter(|c| c.is_live()) {
        if current != Some(&c.sandbox_id) {
            let message = format!("Container {} lost its sandbox", c.name);
            kills::kill(
                turn,
                c,
                Order::own(turn, KillReason::SandboxChanged, message),
            );
        }
    }
    for s in observed.sandboxes.iter().filter(|s| Some(&s.id) != current) {
        stop_when_empty(turn, &s.id);
    }
}

/// Stops a sandbox that is not stopped yet, once nothing lives in it.
pub(super) fn stop_when_empty(turn: &mut Turn<'_>, id: &Arc<str>) {
    let lived_in = turn
        .observed
        .containers
        .iter()
        .any(|c| c.is_live() && c.sandbox_id == *id);
    if !lived_in && !turn.memory.stopped.contains(id) && retry_due(turn, RetryOf::CleanUp) {
        turn.emit(Action::StopSandbox { id: id.clone() });
    }
}

/// Nothing lives and every sandbox is stopped.
pub(super) fn all_down(turn: &Turn<'_>) -> bool {
    !turn.observed.containers.iter().any(|c| c.is_live())
        && turn
            .observed
            .sandboxes
            .iter()
            .all(|s| turn.memory.stopped.contains(&s.id))
}

/// Whether a pod without a usable sandbox is to get one: it never ran, or one of its main
/// containers may run again.
pub(super) fn is_wanted(turn: &Turn<'_>) -> bool {
    let mut memories = turn.memory.containers.values();
    if turn.observed.containers.is_empty() && memories.all(|m| m.current_id.is_none()) {
        return true;
    }
    turn.spec
        .mains()
        .any(|c| match standing(turn.observed, turn.memory, &c.name) {
            Standing::New | Standing::Created(_) => c.restart_policy != RestartPolicy::Never,
            Standing::Running(_) | Standing::Unknown(_) => restarts_after(c, KILLED),
            Standing::Ended(how) => {
                turn.memory
                    .containers
                    .get(&c.name)
                    .is_some_and(|m| m.respawn)
                    || restarts_after(c, how.exit_code)
            }
        })
}

/// Exit code of a process that SIGKILL ended.
const KILLED: i32 = 137;
