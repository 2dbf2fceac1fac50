//! The end of a pod: on request, of its own accord, or past its deadline.

use std::sync::Arc;

use crate::model::desired::ProbeKind;
use crate::model::memory::{Outcome, RetryOf};
use crate::model::{Action, Key, KillReason, Life, PodMemory, Termination};

use super::kills::{self, Order};
use super::volumes::retry_due;
use super::{Turn, probes, retention, sandbox};

/// Asks a pod to stop. Asked again, its grace can only become shorter, and an object that goes
/// does not come back.
pub fn terminate(memory: &mut PodMemory, asked: Termination) {
    match &mut memory.life {
        Life::Gone => {}
        Life::Terminating(current) => {
            if asked.since + asked.grace < current.since + current.grace {
                (current.since, current.grace) = (asked.since, asked.grace);
            }
            current.object_stays &= asked.object_stays;
        }
        Life::Finished | Life::Rejected { .. } if asked.object_stays => {}
        Life::Wanted | Life::Finished | Life::Rejected { .. } => {
            memory.life = Life::Terminating(asked);
        }
    }
}

/// One step on the way out: containers in order, sandboxes, then everything else, until nothing is
/// left.
pub(super) fn wind_up(turn: &mut Turn<'_>, termination: &Termination) {
    cancel_beginnings(turn);
    probes::run_readiness(turn);
    let stopped = stop_all(turn, |_, name| Order {
        reason: KillReason::PodTerminating,
        message: format!("Stopping container {name}"),
        grace: termination.grace,
        since: termination.since,
    });
    if !stopped {
        return;
    }
    if termination.object_stays {
        if tear_down(turn, true) {
            stay_as_failed(turn, termination);
        }
    } else if remove_all(turn) && tear_down(turn, false) && turn.memory.in_flight.is_empty() {
        turn.memory.life = Life::Gone;
    }
}

fn stay_as_failed(turn: &mut Turn<'_>, termination: &Termination) {
    let (reason, message) = termination.failed.clone().unwrap_or_default();
    turn.memory.outcome.get_or_insert(Outcome {
        succeeded: false,
        reason,
        message,
    });
    turn.memory.life = Life::Finished;
}

/// The pod's main containers have ended for good: what still runs is stopped, what is held is given
/// back, and the dead are kept.
pub(super) fn finish(turn: &mut Turn<'_>) {
    cancel_beginnings(turn);
    let stopped = stop_all(turn, |turn, name| {
        Order::own(
            turn,
            KillReason::PodFinished,
            format!("Stopping container {name}"),
        )
    });
    retention::clean(turn);
    if stopped {
        tear_down(turn, true);
    }
}

/// What only serves to begin something is given up.
fn cancel_beginnings(turn: &mut Turn<'_>) {
    let (observed, terminating) = (turn.observed, turn.memory.life != Life::Finished);
    turn.cancel_where(|action| match action {
        Action::SetUpVolumes
        | Action::CreateSandbox { .. }
        | Action::EnsureImage { .. }
        | Action::StartContainer { .. }
        | Action::RunPostStart { .. } => true,
        Action::RunProbe { id, kind, .. } => {
            let runs = observed
                .containers
                .iter()
                .any(|c| c.id == *id && c.is_live());
            !(runs && terminating && *kind == ProbeKind::Readiness)
        }
        _ => false,
    });
}

/// Kills everything in order, then stops every sandbox. True when that is done and nothing that
/// could undo it is under way.
fn stop_all(turn: &mut Turn<'_>, order: impl Fn(&Turn<'_>, &Arc<str>) -> Order) -> bool {
    let beginning = |key: &Key| matches!(key, Key::Container(_) | Key::Sandbox | Key::Volumes);
    if !kills::kill_in_order(turn, order) || turn.memory.in_flight.keys().any(beginning) {
        return false;
    }
    for s in &turn.observed.sandboxes {
        sandbox::stop_when_empty(turn, &s.id);
    }
    sandbox::all_down(turn)
}

/// Removes containers, then sandboxes. True when none is left.
fn remove_all(turn: &mut Turn<'_>) -> bool {
    for c in &turn.observed.containers {
        retention::remove_container(turn, c);
    }
    for s in &turn.observed.sandboxes {
        retention::remove_sandbox_when_empty(turn, &s.id);
    }
    turn.observed.containers.is_empty() && turn.observed.sandboxes.is_empty()
}

/// Gives back volumes, directories and cgroup. True when nothing is held.
fn tear_down(turn: &mut Turn<'_>, keep_logs: bool) -> bool {
    let idle = !turn.busy(&Key::Volumes) && !turn.busy(&Key::Cgroup);
    let held = turn.observed.resources_held || (turn.observed.files_kept && !keep_logs);
    if held && idle && retry_due(turn, RetryOf::CleanUp) {
        turn.emit(Action::TearDown { keep_logs });
    }
    idle && !held
}
