//! The init order: which init containers and sidecars may start next, and when main containers may.

use std::sync::Arc;

use crate::model::desired::{ContainerSpec, Role};
use crate::model::{ObservedPod, PodMemory, PodSpec};

use super::Turn;
use super::restart_backoff::restarts_after;
use super::standing::{Standing, is_started, standing};

/// How far a pod has come in its init order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Progress<'a> {
    /// This one is to start, or to start again.
    Next(&'a ContainerSpec),
    /// This one has to end, or to be started fully, before the next.
    Waiting,
    /// This one failed and is not started again: the pod has failed.
    Failed,
    /// All are done; main containers may run.
    Done,
}

/// The init progress in that sandbox; without one, from the beginning.
pub(super) fn progress<'a>(turn: &mut Turn<'a>, sandbox: Option<&Arc<str>>) -> Progress<'a> {
    let progress = look(turn.spec, turn.observed, turn.memory, sandbox);
    if progress == Progress::Done {
        turn.memory.initialized_in = sandbox.cloned();
    }
    progress
}

fn look<'a>(
    spec: &'a PodSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    sandbox: Option<&Arc<str>>,
) -> Progress<'a> {
    let Some(sandbox) = sandbox else {
        return spec.inits().next().map_or(Progress::Done, Progress::Next);
    };
    if is_initialized(spec, observed, memory, sandbox) {
        return Progress::Done;
    }
    let inits: Vec<&ContainerSpec> = spec.inits().collect();
    let begun = |c: &&ContainerSpec| was_begun(c, observed, memory, sandbox);
    let furthest = inits.iter().rposition(begun).unwrap_or(0);
    let rest = inits.get(furthest..).unwrap_or_default();
    rest.iter()
        .map(|c| of_one(c, observed, memory, sandbox))
        .find(|progress| *progress != Progress::Done)
        .unwrap_or(Progress::Done)
}

/// Sidecars before that point and, in an initialized pod, all of them run whenever they are down.
pub(super) fn sidecars_to_keep<'a>(
    turn: &Turn<'a>,
    sandbox: &Arc<str>,
    progress: &Progress<'a>,
) -> Vec<&'a ContainerSpec> {
    let begun = |c: &&ContainerSpec| {
        *progress == Progress::Done || was_begun(c, turn.observed, turn.memory, sandbox)
    };
    turn.spec
        .inits()
        .filter(|c| c.role == Role::Sidecar)
        .filter(begun)
        .collect()
}

fn is_initialized(
    spec: &PodSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    sandbox: &Arc<str>,
) -> bool {
    memory.initialized_in.as_ref() == Some(sandbox)
        || spec.mains().any(|c| is_in(observed, &c.name, sandbox))
}

fn is_in(observed: &ObservedPod, name: &Arc<str>, sandbox: &Arc<str>) -> bool {
    observed
        .containers
        .iter()
        .any(|c| c.name == *name && c.sandbox_id == *sandbox)
}

fn was_begun(
    c: &ContainerSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    sandbox: &Arc<str>,
) -> bool {
    completed(c, memory, sandbox) || is_in(observed, &c.name, sandbox)
}

fn completed(c: &ContainerSpec, memory: &PodMemory, sandbox: &Arc<str>) -> bool {
    memory
        .containers
        .get(&c.name)
        .is_some_and(|m| m.completed_in.as_ref() == Some(sandbox))
}

fn of_one<'a>(
    c: &'a ContainerSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    sandbox: &Arc<str>,
) -> Progress<'a> {
    let standing = standing(observed, memory, &c.name);
    match (c.role, standing) {
        (Role::Sidecar, Standing::Running(_)) if is_started(c, observed, memory) => Progress::Done,
        (Role::Init, _) if completed(c, memory, sandbox) => Progress::Done,
        (_, Standing::Running(_) | Standing::Unknown(_)) => Progress::Waiting,
        (Role::Init, Standing::Ended(how)) if how.exit_code != 0 => {
            let respawn = memory.containers.get(&c.name).is_some_and(|m| m.respawn);
            if respawn || restarts_after(c, how.exit_code) {
                Progress::Next(c)
            } else {
                Progress::Failed
            }
        }
        _ => Progress::Next(c),
    }
}
