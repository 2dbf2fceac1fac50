//! Resources of a pod that changed while it runs: what is changed in place, in which order, and
//! when all of it is done. What may be changed at all was decided before (`crate::admit`).

use crate::model::desired::{ContainerSpec, Role};
use crate::model::memory::{ContainerMemory, RetryOf};
use crate::model::resources::{Change, ContainerChange};
use crate::model::{Action, Key};

use super::kills::is_dying;
use super::standing::running;
use super::volumes::retry_due;
use super::{Note, Turn};

/// Whether the container runs with resources that it gives up only by a restart.
pub(super) fn needs_restart(spec: &ContainerSpec, mem: &ContainerMemory) -> bool {
    change(spec, mem).is_some_and(|change| spec.needs_restart.for_change(&change))
}

/// From what it was given to what it is to have. Init containers run to their end as they are.
fn change(spec: &ContainerSpec, mem: &ContainerMemory) -> Option<Change> {
    let from = mem.given.filter(|given| *given != spec.resources)?;
    let to = spec.resources;
    matches!(spec.role, Role::Main | Role::Sidecar).then_some(Change { from, to })
}

/// Changes what runs, and says when nothing is left to change.
pub(super) fn carry_out(turn: &mut Turn<'_>) {
    if turn.busy(&Key::Cgroup) || !turn.observed.cgroup_ready {
        return;
    }
    let (containers, others_differ) = changes(turn);
    let wanted = turn.spec.resources;
    let from = turn.memory.cgroup.unwrap_or(wanted);
    // While something still has more than it is to have, the pod keeps room for it.
    let to = if others_differ {
        from.most(wanted)
    } else {
        wanted
    };
    if from == to && containers.is_empty() {
        if !others_differ {
            complete(turn);
        }
        return;
    }
    if retry_due(turn, RetryOf::Resize) {
        let pod = Change { from, to };
        turn.emit(Action::Resize { pod, containers });
    }
}

/// The containers to change in place now, and whether there are others that differ: they are about
/// to be restarted, or something else is being done to them.
fn changes(turn: &Turn<'_>) -> (Vec<ContainerChange>, bool) {
    let mut now = Vec::new();
    let mut others = false;
    for spec in &turn.spec.containers {
        let (Some(c), Some(mem)) = (
            running(turn.observed, &spec.name),
            turn.memory.containers.get(&spec.name),
        ) else {
            continue;
        };
        let Some(change) = change(spec, mem) else {
            continue;
        };
        let in_place = mem.current_id.as_ref() == Some(&c.id)
            && !turn.container_busy(&spec.name)
            && !is_dying(turn, &spec.name)
            && !spec.needs_restart.for_change(&change);
        match in_place {
            true => now.push(ContainerChange {
                container: spec.name.clone(),
                id: c.id.clone(),
                change,
            }),
            false => others = true,
        }
    }
    (now, others)
}

fn complete(turn: &mut Turn<'_>) {
    if let Some(progress) = turn.memory.resize.progress.take() {
        let message = format!("Pod resize completed: {}}}", progress.about);
        turn.note(Note::of_pod("ResizeCompleted", message));
    }
}
