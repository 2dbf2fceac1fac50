//! Starting containers and running their postStart hooks.

use std::sync::Arc;

use crate::model::desired::{ContainerSpec, Role};
use crate::model::{Action, Key, Mono};

use super::init_containers::{Progress, sidecars_to_keep};
use super::restart_backoff::restarts_after;
use super::standing::{Standing, running, standing};
use super::{Turn, images};

/// Starts what may start now, and prepares the images of what has never run.
pub(super) fn start_all(turn: &mut Turn<'_>, sandbox: Option<&Arc<str>>, progress: &Progress<'_>) {
    for c in may_start(turn, sandbox, progress) {
        start(turn, c, sandbox);
    }
    let spec = turn.spec;
    for c in &spec.containers {
        if standing(turn.observed, turn.memory, &c.name) == Standing::New && !starting(turn, c) {
            images::ensure(turn, c);
        }
    }
}

fn starting(turn: &Turn<'_>, c: &ContainerSpec) -> bool {
    turn.container_busy(&c.name)
}

/// The containers whose turn it is and that do not run, whether or not a delay holds them back.
fn may_start<'a>(
    turn: &Turn<'a>,
    sandbox: Option<&Arc<str>>,
    progress: &Progress<'a>,
) -> Vec<&'a ContainerSpec> {
    let mut list: Vec<&ContainerSpec> = Vec::new();
    if let Some(sandbox) = sandbox {
        list.extend(sidecars_to_keep(turn, sandbox, progress));
    }
    match progress {
        Progress::Next(c) if list.iter().any(|other| other.name == c.name) => {}
        Progress::Next(c) => list.push(c),
        Progress::Done => list.extend(turn.spec.mains()),
        Progress::Waiting | Progress::Failed => {}
    }
    list.extend(
        turn.spec
            .containers
            .iter()
            .filter(|c| c.role == Role::Ephemeral),
    );
    list.retain(|c| is_down_and_wanted(turn, c));
    list
}

fn is_down_and_wanted(turn: &Turn<'_>, c: &ContainerSpec) -> bool {
    match standing(turn.observed, turn.memory, &c.name) {
        Standing::New => true,
        Standing::Created(_) | Standing::Running(_) | Standing::Unknown(_) => false,
        Standing::Ended(how) => may_run_again(turn, c, how.exit_code),
    }
}

/// An init container is asked for by the init order alone: it may have to run again in a new
/// sandbox.
fn may_run_again(turn: &Turn<'_>, c: &ContainerSpec, exit_code: i32) -> bool {
    let respawn = turn
        .memory
        .containers
        .get(&c.name)
        .is_some_and(|m| m.respawn);
    c.role == Role::Init || respawn || restarts_after(c, exit_code)
}

/// One container whose turn it is: waits for its delays, its image, the sandbox and the volumes.
fn start(turn: &mut Turn<'_>, c: &ContainerSpec, sandbox: Option<&Arc<str>>) {
    let not_before = not_before(turn, c);
    if !turn.due(not_before) || starting(turn, c) {
        return;
    }
    let image = images::ensure(turn, c);
    let (Some(image_ref), Some(sandbox)) = (image, sandbox) else {
        return;
    };
    if !turn.observed.volumes_ready {
        return;
    }
    let mem = turn.mem(&c.name);
    let attempt = if mem.current_id.is_some() {
        mem.restarts + 1
    } else {
        0
    };
    mem.image.ready = None;
    mem.given = Some(c.resources);
    turn.emit(Action::StartContainer {
        container: c.name.clone(),
        attempt,
        sandbox: sandbox.clone(),
        image_ref,
    });
}

/// Crash back-off and the delay after a failed start; an init container that ended well and runs
/// again for a new sandbox waits for neither.
fn not_before(turn: &mut Turn<'_>, c: &ContainerSpec) -> Mono {
    let mem = turn.mem(&c.name);
    let crashed = mem
        .ended
        .as_ref()
        .is_some_and(|e| c.role != Role::Init || e.how.exit_code != 0);
    let crash = if crashed {
        mem.crash_backoff.until
    } else {
        Mono(0)
    };
    crash.max(mem.start_retry.until)
}

/// Runs postStart hooks of containers that run and have not had theirs.
pub(super) fn run_hooks(turn: &mut Turn<'_>) {
    let (spec, observed) = (turn.spec, turn.observed);
    for c in spec.containers.iter().filter(|c| c.post_start) {
        let Some(running) = running(observed, &c.name) else {
            continue;
        };
        let mem = turn.mem(&c.name);
        let current = mem.current_id.as_ref() == Some(&running.id);
        let not_before = mem.start_retry.until;
        if current && mem.post_start.is_none() && mem.kill.is_none() && turn.due(not_before) {
            let (container, id) = (c.name.clone(), running.id.clone());
            turn.emit(Action::RunPostStart { container, id });
        }
    }
}

/// A hook, a probe or an image pull of a container that is not wanted any more.
pub(super) fn cancel_hook_of_the_dead(turn: &mut Turn<'_>) {
    let dead: Vec<Key> = turn
        .memory
        .in_flight
        .values()
        .filter_map(|entry| match &entry.action {
            Action::RunPostStart { container, id } => {
                let standing = standing(turn.observed, turn.memory, container);
                let runs = matches!(standing, Standing::Running(c) if c.id == *id);
                (!runs).then(|| entry.action.key())
            }
            _ => None,
        })
        .collect();
    for key in dead {
        turn.cancel(&key);
    }
}
