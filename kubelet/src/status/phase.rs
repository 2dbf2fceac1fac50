//! The phase of a pod, from the states of its containers and what decides whether they run again.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::model::desired::{ContainerSpec, Role};
use crate::model::{Life, ObservedContainer};
use crate::reconcile::restart_backoff::restarts_after;

use super::View;
use super::containers::Statuses;

/// How many containers are in which state.
#[derive(Default)]
struct Count {
    /// Init containers that must still end, or sidecars that must still be started.
    pending: usize,
    /// An init container failed for good.
    init_failed: bool,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

pub(super) fn phase(view: &View<'_>, statuses: &Statuses) -> &'static str {
    if let Some(outcome) = &view.memory.outcome {
        return if outcome.succeeded {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    let ran = view.spec.mains().any(|c| has_run(view, c));
    let mut count = Count::default();
    for (c, status) in view.spec.containers.iter().zip(statuses.in_order()) {
        match c.role {
            Role::Init => count_init(&mut count, c, status),
            Role::Sidecar => count_sidecar(&mut count, status, ran),
            Role::Main => count_main(&mut count, c, status),
            Role::Ephemeral => {}
        }
    }
    verdict(view, &count)
}

fn verdict(view: &View<'_>, count: &Count) -> &'static str {
    let leaving = matches!(view.memory.life, Life::Terminating(_) | Life::Gone)
        && !view
            .observed
            .containers
            .iter()
            .any(ObservedContainer::is_live);
    if count.init_failed {
        "Failed"
    } else if count.pending > 0 || count.waiting > 0 {
        "Pending"
    } else if count.running > 0 {
        "Running"
    } else if count.stopped == 0 {
        "Pending"
    } else if count.stopped != count.stopped_for_good && !leaving {
        "Running"
    } else if count.stopped == count.succeeded {
        "Succeeded"
    } else {
        "Failed"
    }
}

fn has_run(view: &View<'_>, c: &ContainerSpec) -> bool {
    view.memory
        .containers
        .get(&c.name)
        .is_some_and(|m| m.current_id.is_some())
}

/// The exit code that a state shows, now or as the last one while it waits.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    let of = |state: &Option<ContainerState>| {
        state
            .as_ref()
            .and_then(|s| s.terminated.as_ref())
            .map(|t| t.exit_code)
    };
    let waits = status.state.as_ref().is_some_and(|s| s.waiting.is_some());
    of(&status.state).or_else(|| if waits { of(&status.last_state) } else { None })
}

fn runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|s| s.running.is_some())
}

fn count_init(count: &mut Count, c: &ContainerSpec, status: &ContainerStatus) {
    match exit_code(status) {
        _ if runs(status) => count.pending += 1,
        Some(0) => {}
        Some(code) if !restarts_after(c, code) => count.init_failed = true,
        Some(_) | None => count.pending += 1,
    }
}

fn count_sidecar(count: &mut Count, status: &ContainerStatus, pod_ran: bool) {
    let started = status.started == Some(true);
    if runs(status) {
        count.running += 1;
        count.pending += usize::from(!started && !pod_ran);
    } else if exit_code(status).is_none() {
        count.pending += usize::from(!pod_ran);
    }
}

fn count_main(count: &mut Count, c: &ContainerSpec, status: &ContainerStatus) {
    match exit_code(status) {
        _ if runs(status) => count.running += 1,
        None => count.waiting += 1,
        Some(code) => {
            count.stopped += 1;
            count.stopped_for_good += usize::from(!restarts_after(c, code));
            count.succeeded += usize::from(code == 0);
        }
    }
}
