//! Killing containers: which of them must not run on, and how one kill is carried through.

use std::sync::Arc;
use std::time::Duration;

use crate::model::desired::{ContainerSpec, ProbeKind, ProbeSpec, Role};
use crate::model::memory::{PendingKill, RetryOf};
use crate::model::{Action, ContainerState, Key, KillReason, Mono, ObservedContainer, PodSpec};

use super::restart_backoff::restarts_after;
use super::standing::{Standing, standing, verdict};
use super::volumes::retry_due;
use super::{Note, Turn, resize};

/// A deadline that moves by less than this is left as it is.
const WORTH_A_CANCEL: Duration = Duration::from_millis(500);

/// How and why to kill.
pub(super) struct Order {
    pub reason: KillReason,
    pub message: String,
    /// Counted from `since`.
    pub grace: Duration,
    pub since: Mono,
}

impl Order {
    /// A kill decided now with the pod's own grace.
    pub fn own(turn: &Turn<'_>, reason: KillReason, message: String) -> Self {
        Self {
            reason,
            message,
            grace: turn.spec.grace,
            since: turn.now.mono,
        }
    }

    fn end(&self) -> Mono {
        self.since + self.grace
    }
}

/// Kills a container, or goes on with killing it. An earlier deadline than that of a kill under
/// way replaces it; a later one changes nothing.
pub(super) fn kill(turn: &mut Turn<'_>, c: &ObservedContainer, order: Order) {
    let key = Key::Container(c.name.clone());
    match turn.mem(&c.name).kill.clone() {
        Some(kill) if kill.id == c.id => shorten(turn, c, &kill, &order),
        _ if turn.busy(&key) => return,
        _ => begin(turn, c, order),
    }
    if turn.busy(&key) || !retry_due(turn, RetryOf::CleanUp) {
        return;
    }
    if let Some(kill) = turn.mem(&c.name).kill.clone() {
        let left = (kill.since + kill.grace).since(turn.now.mono);
        turn.emit(Action::KillContainer {
            container: c.name.clone(),
            id: c.id.clone(),
            grace: left.max(turn.policy.least_grace),
            pre_stop: turn.spec.container(&c.name).is_some_and(|s| s.pre_stop),
            reason: kill.reason,
            message: kill.message,
        });
    }
}

fn begin(turn: &mut Turn<'_>, c: &ObservedContainer, order: Order) {
    let Order {
        reason,
        message,
        grace,
        since,
    } = order;
    turn.note(Note::of("Killing", &c.name, message.clone()));
    turn.mem(&c.name).kill = Some(PendingKill {
        id: c.id.clone(),
        reason,
        message,
        grace,
        since,
    });
    turn.cancel(&Key::PostStart(c.name.clone()));
}

fn shorten(turn: &mut Turn<'_>, c: &ObservedContainer, kill: &PendingKill, order: &Order) {
    if order.end() + WORTH_A_CANCEL >= kill.since + kill.grace {
        return;
    }
    if let Some(kill) = &mut turn.mem(&c.name).kill {
        (kill.grace, kill.since) = (order.grace, order.since);
    }
    let key = Key::Container(c.name.clone());
    let killing = turn.memory.in_flight.get(&key).is_some_and(
        |entry| matches!(&entry.action, Action::KillContainer { id, .. } if *id == c.id),
    );
    if killing {
        turn.cancel(&key);
    }
}

/// Kills what the spec does not want to run on in its sandbox, and goes on with kills decided
/// earlier.
pub(super) fn kill_unwanted(turn: &mut Turn<'_>) {
    let observed = turn.observed;
    for c in observed.containers.iter().filter(|c| c.is_live()) {
        if let Some(order) = reason_to_kill(turn, c) {
            turn.mem(&c.name).respawn |= is_made_anew(turn.spec, c, order.reason);
            kill(turn, c, order);
        }
    }
}

/// Whether the killed container has a successor whatever its restart policy says.
fn is_made_anew(spec: &PodSpec, c: &ObservedContainer, reason: KillReason) -> bool {
    use KillReason::{Resize, SpecChanged, StateUnknown};
    matches!(reason, SpecChanged | StateUnknown | Resize)
        && spec
            .container(&c.name)
            .is_some_and(|c| c.role != Role::Ephemeral)
}

fn reason_to_kill(turn: &Turn<'_>, c: &ObservedContainer) -> Option<Order> {
    let Some(spec) = turn.spec.container(&c.name) else {
        let message = format!("Container {} is not in the pod's spec", c.name);
        return Some(Order::own(turn, KillReason::NotInSpec, message));
    };
    let newest = turn.observed.newest_container(&c.name);
    if newest.is_some_and(|newest| newest.id != c.id) {
        let message = format!("Container {} has a newer instance", c.name);
        return Some(Order::own(turn, KillReason::NotInSpec, message));
    }
    pending(turn, c).or_else(|| fault(turn, spec, c))
}

/// A kill that was decided before.
fn pending(turn: &Turn<'_>, c: &ObservedContainer) -> Option<Order> {
    let kill = turn.memory.containers.get(&c.name)?.kill.as_ref()?;
    (kill.id == c.id).then(|| Order {
        reason: kill.reason,
        message: kill.message.clone(),
        grace: kill.grace,
        since: kill.since,
    })
}

fn fault(turn: &Turn<'_>, spec: &ContainerSpec, c: &ObservedContainer) -> Option<Order> {
    let own = |reason, message| Some(Order::own(turn, reason, message));
    let name = &c.name;
    if c.state == ContainerState::Unknown {
        let message = format!("Container {name} is in unknown state, killed before its restart");
        return own(KillReason::StateUnknown, message);
    }
    if matches!(spec.role, Role::Main | Role::Sidecar) && c.hash != spec.hash {
        let message = format!("Container {name} definition changed, will be restarted");
        return own(KillReason::SpecChanged, message);
    }
    let mem = turn.memory.containers.get(name)?;
    if mem.current_id.as_ref() != Some(&c.id) {
        return None;
    }
    if resize::needs_restart(spec, mem) {
        let message = format!("Container {name} resize requires restart");
        return own(KillReason::Resize, message);
    }
    if spec.post_start && mem.post_start == Some(false) {
        return own(
            KillReason::PostStartFailed,
            "FailedPostStartHook".to_owned(),
        );
    }
    let probed = |kind| {
        spec.probes
            .get(&kind)
            .filter(|_| verdict(mem, kind) == Some(false))
    };
    let next = if restarts_after(spec, 137) {
        ", will be restarted"
    } else {
        ""
    };
    let by_probe = |reason, what, probe: &ProbeSpec| Order {
        grace: probe.grace.unwrap_or(turn.spec.grace),
        ..Order::own(
            turn,
            reason,
            format!("Container {name} failed {what} probe{next}"),
        )
    };
    probed(ProbeKind::Liveness)
        .map(|probe| by_probe(KillReason::Liveness, "liveness", probe))
        .or_else(|| {
            let probe = probed(ProbeKind::Startup)?;
            Some(by_probe(KillReason::Startup, "startup", probe))
        })
}

/// Kills what lives with `order`: all but sidecars at once, then sidecars one after the other, last
/// one first. True when nothing lives.
pub(super) fn kill_in_order(
    turn: &mut Turn<'_>,
    order: impl Fn(&Turn<'_>, &Arc<str>) -> Order,
) -> bool {
    let observed = turn.observed;
    let sidecar = |turn: &Turn<'_>, name: &str| {
        turn.spec
            .container(name)
            .is_some_and(|c| c.role == Role::Sidecar)
    };
    let mut others = observed
        .containers
        .iter()
        .filter(|c| c.is_live())
        .collect::<Vec<_>>();
    let sidecars: Vec<_> = others.extract_if(.., |c| sidecar(turn, &c.name)).collect();
    for c in &others {
        kill(turn, c, order(turn, &c.name));
    }
    let last = turn
        .spec
        .containers
        .iter()
        .rev()
        .find_map(|spec| sidecars.iter().find(|c| c.name == spec.name));
    match last {
        None => others.is_empty(),
        Some(c) if others.is_empty() => {
            kill(turn, c, order(turn, &c.name));
            false
        }
        Some(_) => false,
    }
}

/// Whether the container of that name is live and on its way out.
pub(super) fn is_dying(turn: &Turn<'_>, name: &str) -> bool {
    let Some(kill) = turn
        .memory
        .containers
        .get(name)
        .and_then(|m| m.kill.as_ref())
    else {
        return false;
    };
    matches!(
        standing(turn.observed, turn.memory, name),
        Standing::Running(c) | Standing::Unknown(c) if c.id == kill.id
    )
}
