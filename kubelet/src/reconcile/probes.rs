//! Probes: when each is due, and which may run.
//!
//! Due times are kept in memory, so that they survive a restart of the agent. A probe's phase is
//! shifted once, after its first run, by an amount that depends on pod, container and kind alone:
//! pods that started together do not probe together for ever. A probe that was missed for more
//! than its period, because the agent was away, runs somewhere within the next one.

use std::time::Duration;

use crate::model::desired::{ContainerSpec, ProbeKind, ProbeSpec};
use crate::model::digest::hash_of;
use crate::model::memory::{ContainerMemory, ProbeMemory};
use crate::model::{Action, Key, Mono, ObservedContainer, PodUid};

use super::standing::{hook_done, running, verdict};
use super::{Turn, kills};

/// Runs what is due on containers of a running pod.
pub(super) fn run_all(turn: &mut Turn<'_>) {
    run(
        turn,
        &[
            ProbeKind::Startup,
            ProbeKind::Liveness,
            ProbeKind::Readiness,
        ],
    );
}

/// Runs what is due on containers of a pod that is being stopped: only readiness still matters.
pub(super) fn run_readiness(turn: &mut Turn<'_>) {
    run(turn, &[ProbeKind::Readiness]);
}

fn run(turn: &mut Turn<'_>, kinds: &[ProbeKind]) {
    let (spec, observed) = (turn.spec, turn.observed);
    for c in spec.containers.iter().filter(|c| !c.probes.is_empty()) {
        let Some(running) = running(observed, &c.name) else {
            continue;
        };
        for (kind, probe) in &c.probes {
            if kinds.contains(kind) && may_run(turn, c, running, *kind) {
                run_when_due(turn, c, running, *kind, probe);
            }
        }
    }
}

fn may_run(
    turn: &Turn<'_>,
    c: &ContainerSpec,
    running: &ObservedContainer,
    kind: ProbeKind,
) -> bool {
    let Some(mem) = turn.memory.containers.get(&c.name) else {
        return false;
    };
    let dying = kills::is_dying(turn, &c.name) && kind != ProbeKind::Readiness;
    mem.current_id.as_ref() == Some(&running.id)
        && hook_done(c, mem)
        && !dying
        && (kind == ProbeKind::Startup) == held_by_startup(c, mem)
        && (kind == ProbeKind::Readiness || verdict(mem, kind) != Some(false))
}

/// The startup probe has not succeeded yet.
fn held_by_startup(c: &ContainerSpec, mem: &ContainerMemory) -> bool {
    c.probes.contains_key(&ProbeKind::Startup) && verdict(mem, ProbeKind::Startup) != Some(true)
}

fn run_when_due(
    turn: &mut Turn<'_>,
    c: &ContainerSpec,
    running: &ObservedContainer,
    kind: ProbeKind,
    probe: &ProbeSpec,
) {
    let share = phase(&turn.spec.uid, c, kind);
    let due = due_at(turn, c, kind, probe, share);
    let key = Key::Probe(c.name.clone(), kind);
    if turn.busy(&key) || !turn.due(due) {
        return;
    }
    let now = turn.now.mono;
    if let Some(memory) = turn.mem(&c.name).probes.get_mut(&kind) {
        memory.due = now + next_period(kind, probe, memory, share);
    }
    let (container, id) = (c.name.clone(), running.id.clone());
    turn.emit(Action::RunProbe {
        container,
        id,
        kind,
    });
}

/// When this probe is due; settles the first time, and the time after a long absence.
fn due_at(
    turn: &mut Turn<'_>,
    c: &ContainerSpec,
    kind: ProbeKind,
    probe: &ProbeSpec,
    share: f64,
) -> Mono {
    let now = turn.now.mono;
    let mem = turn.mem(&c.name);
    let since = mem.running_since.unwrap_or(now);
    let memory = mem.probes.entry(kind).or_insert_with(|| {
        let due = (since + probe.initial_delay).max(now);
        ProbeMemory {
            due,
            ..ProbeMemory::default()
        }
    });
    if now.since(memory.due) > probe.period {
        memory.due = now + probe.period.mul_f64(share);
    }
    memory.due
}

/// The period to the next run. The one after the first run is up to a quarter longer, or shorter
/// for a container that waits to become ready.
fn next_period(kind: ProbeKind, probe: &ProbeSpec, memory: &ProbeMemory, share: f64) -> Duration {
    let shift = probe.period.mul_f64(share / 4.0);
    match (memory.last, kind) {
        (Some(_), _) => probe.period,
        (None, ProbeKind::Readiness) => probe.period - shift,
        (None, _) => probe.period + shift,
    }
}

/// A number from 0 to 1 that belongs to this probe of this pod.
fn phase(uid: &PodUid, c: &ContainerSpec, kind: ProbeKind) -> f64 {
    let kind = match kind {
        ProbeKind::Startup => "startup",
        ProbeKind::Liveness => "liveness",
        ProbeKind::Readiness => "readiness",
    };
    let share = u16::try_from(hash_of(&[uid.as_str(), &c.name, kind]) >> 48).unwrap_or(0);
    f64::from(share) / f64::from(u16::MAX)
}

impl ProbeMemory {
    /// Counts one result.
    pub fn count(&mut self, success: bool, spec: &ProbeSpec) {
        self.run = if self.last == Some(success) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(success);
        let threshold = if success {
            spec.success_threshold
        } else {
            spec.failure_threshold
        };
        if self.run >= threshold {
            // More of the same is no news, and nothing to write down.
            self.run = threshold;
            self.verdict = Some(success);
        }
    }
}
