//! What a pod waits for, for people: one line per thing that has not happened yet.

use std::sync::Arc;
use std::time::Duration;

use crate::model::desired::{ProbeKind, Role};
use crate::model::memory::{ContainerMemory, RetryOf};
use crate::model::{Action, Life, Mono, ObservedPod, PodMemory, PodSpec};

use super::standing::{Standing, hook_done, is_started, standing, verdict};

/// One thing that a pod waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The container that waits, or the whole pod.
    pub container: Option<Arc<str>>,
    /// What it waits for and, where it failed before, why.
    pub what: String,
    /// Since when, where that is known.
    pub since: Option<Mono>,
    /// When the next attempt is due; `None` while one is under way or nothing is to be done.
    pub next: Option<Mono>,
}

/// Everything that a pod waits for now, actions under way first.
#[must_use]
pub fn waits(spec: &PodSpec, observed: &ObservedPod, memory: &PodMemory, now: Mono) -> Vec<Wait> {
    let mut list: Vec<Wait> = under_way(memory, now).collect();
    list.extend(retries(memory, now));
    if memory.life == Life::Wanted {
        for c in &spec.containers {
            let mem = memory.containers.get(&c.name);
            let what =
                mem.and_then(|mem| delayed(mem, now).or_else(|| held(c, observed, memory, mem)));
            list.extend(what.map(|wait| Wait {
                container: Some(c.name.clone()),
                ..wait
            }));
        }
    }
    list
}

fn under_way(memory: &PodMemory, now: Mono) -> impl Iterator<Item = Wait> {
    let quick = Duration::from_millis(100);
    memory
        .in_flight
        .values()
        .filter(move |entry| now.since(entry.since) >= quick)
        .map(|entry| {
            let (container, what) = in_words(&entry.action);
            Wait {
                container,
                what,
                since: Some(entry.since),
                next: None,
            }
        })
}

fn in_words(action: &Action) -> (Option<Arc<str>>, String) {
    let of = |c: &Arc<str>, what: &str| (Some(c.clone()), what.to_owned());
    match action {
        Action::SetUpCgroup => (None, "the pod's cgroup".to_owned()),
        Action::Resize { .. } => (None, "its resources to be changed".to_owned()),
        Action::SetUpVolumes => (None, "volumes to be set up".to_owned()),
        Action::TearDown { .. } => (None, "volumes to be torn down".to_owned()),
        Action::CreateSandbox { .. } => (None, "the sandbox and its network".to_owned()),
        Action::StopSandbox { .. } => (None, "the sandbox to stop".to_owned()),
        Action::RemoveSandbox { .. } => (None, "the sandbox to be removed".to_owned()),
        Action::EnsureImage { container } => of(container, "its image"),
        Action::StartContainer { container, .. } => of(container, "the runtime to start it"),
        Action::RunPostStart { container, .. } => of(container, "its postStart hook"),
        Action::KillContainer {
            container, grace, ..
        } => {
            let what = format!("its process to end within {} s", grace.as_secs());
            (Some(container.clone()), what)
        }
        Action::RemoveContainer { container, .. } => of(container, "its remains to be removed"),
        Action::RunProbe { container, .. } => of(container, "the answer of a probe"),
        Action::Cancel(_) => (None, "something under way to be given up".to_owned()),
    }
}

fn retries(memory: &PodMemory, now: Mono) -> impl Iterator<Item = Wait> {
    memory
        .retries
        .iter()
        .filter(move |(_, retry)| retry.backoff.until > now)
        .map(|(of, retry)| {
            let what = match of {
                RetryOf::Cgroup => "the pod's cgroup",
                RetryOf::Resize => "a change of resources",
                RetryOf::Volumes => "volumes",
                RetryOf::Sandbox => "the sandbox",
                RetryOf::CleanUp => "clean-up",
            };
            let (what, next) = (
                format!("{what}: {}", retry.message),
                Some(retry.backoff.until),
            );
            Wait {
                container: None,
                what,
                since: None,
                next,
            }
        })
}

/// A delay that holds a container back.
fn delayed(mem: &ContainerMemory, now: Mono) -> Option<Wait> {
    let wait = |what, next| {
        Some(Wait {
            container: None,
            what,
            since: None,
            next: Some(next),
        })
    };
    if let Some((reason, message)) = &mem.image.error
        && mem.image.backoff.until > now
    {
        return wait(
            format!("its image: {reason}: {message}"),
            mem.image.backoff.until,
        );
    }
    if let Some((reason, message)) = &mem.start_error
        && mem.start_retry.until > now
    {
        return wait(
            format!("its start: {reason}: {message}"),
            mem.start_retry.until,
        );
    }
    let ended = mem
        .ended
        .as_ref()
        .filter(|_| mem.crash_backoff.until > now)?;
    let what = format!("crash back-off after exit code {}", ended.how.exit_code);
    Some(Wait {
        since: Some(ended.at),
        ..wait(what, mem.crash_backoff.until)?
    })
}

/// What keeps a container that runs from being started or ready.
fn held(
    c: &crate::model::ContainerSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    mem: &ContainerMemory,
) -> Option<Wait> {
    let Standing::Running(_) = standing(observed, memory, &c.name) else {
        return None;
    };
    let on = |kind: ProbeKind, what: &str| {
        let next = mem.probes.get(&kind).map(|probe| probe.due);
        Some(Wait {
            container: None,
            what: what.to_owned(),
            since: mem.running_since,
            next,
        })
    };
    if c.role == Role::Init {
        let since = mem.running_since;
        return Some(Wait {
            container: None,
            what: "it to complete".to_owned(),
            since,
            next: None,
        });
    }
    if !hook_done(c, mem) {
        return None;
    }
    if !is_started(c, observed, memory) {
        return on(ProbeKind::Startup, "its startup probe to succeed");
    }
    let unready = c.probes.contains_key(&ProbeKind::Readiness)
        && verdict(mem, ProbeKind::Readiness) != Some(true);
    unready.then(|| on(ProbeKind::Readiness, "its readiness probe to succeed"))?
}
