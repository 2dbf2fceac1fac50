//! A pod that is to run: from its first moment to the end of its last container.

use std::sync::Arc;

use crate::model::desired::ContainerSpec;
use crate::model::memory::Outcome;
use crate::model::{Life, PodMemory, Termination};

use super::init_containers::{self, Progress};
use super::restart_backoff::restarts_after;
use super::standing::{Standing, standing};
use super::{Note, Turn, containers, kills, probes, resize, retention, sandbox, volumes};

/// `status.reason` of a pod that ran for too long.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

pub(super) fn run(turn: &mut Turn<'_>) {
    take_on(turn);
    if exceeds_deadline(turn) {
        return;
    }
    let current = turn.usable_sandbox();
    kills::kill_unwanted(turn);
    sandbox::clear_others(turn, current.as_ref());
    let progress = init_containers::progress(turn, current.as_ref());
    if let Some(outcome) = outcome(turn, current.as_ref(), &progress) {
        turn.memory.outcome = Some(outcome);
        turn.memory.life = Life::Finished;
        return;
    }
    if volumes::set_up_cgroup(turn) {
        volumes::set_up_volumes(turn);
        sandbox::ensure(turn);
        containers::start_all(turn, current.as_ref(), &progress);
    }
    resize::carry_out(turn);
    containers::cancel_hook_of_the_dead(turn);
    containers::run_hooks(turn);
    probes::run_all(turn);
    retention::clean(turn);
}

fn take_on(turn: &mut Turn<'_>) {
    let now = turn.now;
    turn.memory.start_time.get_or_insert(now.wall);
    turn.memory.started.get_or_insert(now.mono);
}

fn exceeds_deadline(turn: &mut Turn<'_>) -> bool {
    let Some(deadline) = turn.spec.active_deadline else {
        return false;
    };
    let left = deadline.saturating_sub(turn.memory.active_before);
    let end = turn.memory.started.unwrap_or(turn.now.mono) + left;
    if !turn.due(end) {
        return false;
    }
    let message = "Pod was active on the node longer than the specified deadline".to_owned();
    turn.note(Note::of_pod(DEADLINE_EXCEEDED, message.clone()));
    turn.memory.life = Life::Terminating(Termination {
        since: turn.now.mono,
        grace: turn.spec.grace,
        failed: Some((DEADLINE_EXCEEDED.to_owned(), message)),
        object_stays: true,
    });
    true
}

/// How the pod ended, when it has: an init container failed for good, every main container ended
/// for good, or its sandbox died and its policy forbids to run again.
fn outcome(
    turn: &Turn<'_>,
    current: Option<&Arc<str>>,
    progress: &Progress<'_>,
) -> Option<Outcome> {
    let ended = |succeeded| {
        let (reason, message) = (String::new(), String::new());
        Some(Outcome {
            succeeded,
            reason,
            message,
        })
    };
    if *progress == Progress::Failed {
        return ended(false);
    }
    let all_over = turn.spec.mains().all(|c| is_over(turn, c));
    let given_up = current.is_none() && sandbox::all_down(turn) && !sandbox::is_wanted(turn);
    (all_over || given_up).then(|| ended(all_succeeded(turn.spec.mains(), turn)))?
}

fn is_over(turn: &Turn<'_>, c: &ContainerSpec) -> bool {
    let respawn = |memory: &PodMemory| memory.containers.get(&c.name).is_some_and(|m| m.respawn);
    match standing(turn.observed, turn.memory, &c.name) {
        Standing::Ended(how) => !respawn(turn.memory) && !restarts_after(c, how.exit_code),
        _ => false,
    }
}

fn all_succeeded<'a>(mut mains: impl Iterator<Item = &'a ContainerSpec>, turn: &Turn<'_>) -> bool {
    mains.all(|c| {
        let standing = standing(turn.observed, turn.memory, &c.name);
        matches!(standing, Standing::Ended(how) if how.exit_code == 0)
    })
}
