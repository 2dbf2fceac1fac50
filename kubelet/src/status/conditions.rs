//! The conditions of a pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::desired::{ContainerSpec, Role};
use crate::model::{Life, ObservedPod, PodMemory, PodSpec};
use crate::reconcile::{is_ready, is_started};

use super::View;

const READY_TO_START: &str = "PodReadyToStartContainers";
const INITIALIZED: &str = "Initialized";
const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";
const SCHEDULED: &str = "PodScheduled";
const DISRUPTION: &str = "DisruptionTarget";

const RESIZE_PENDING: &str = "PodResizePending";
const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";

/// Conditions that this node writes; others in the object are kept as they are.
const OURS: [&str; 8] = [
    READY_TO_START,
    INITIALIZED,
    READY,
    CONTAINERS_READY,
    SCHEDULED,
    DISRUPTION,
    RESIZE_PENDING,
    RESIZE_IN_PROGRESS,
];

/// Whether the kubelet writes the condition of that type; all others are somebody else's.
#[must_use]
pub fn is_ours(type_: &str) -> bool {
    OURS.contains(&type_)
}

/// Whether a condition is there only while it holds.
#[must_use]
pub fn is_passing(type_: &str) -> bool {
    matches!(type_, RESIZE_PENDING | RESIZE_IN_PROGRESS)
}

/// Which of the conditions that change hold now. The reconciler records when each changed.
#[must_use]
pub fn truths(
    spec: &PodSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
) -> [(&'static str, bool); 4] {
    let over = memory.outcome.is_some() || matches!(memory.life, Life::Rejected { .. });
    let ready = !over && unready(spec, observed, memory).is_empty();
    [
        (READY_TO_START, ready_to_start(observed, memory)),
        (INITIALIZED, initialized(spec, observed, memory)),
        (READY, ready),
        (CONTAINERS_READY, ready),
    ]
}

fn ready_to_start(observed: &ObservedPod, memory: &PodMemory) -> bool {
    observed
        .newest_sandbox()
        .is_some_and(|s| s.ready && !memory.stopped.contains(&s.id))
}

/// All init containers are done, or a main container has run already.
pub(super) fn initialized(spec: &PodSpec, observed: &ObservedPod, memory: &PodMemory) -> bool {
    let ran = |c: &ContainerSpec| {
        memory
            .containers
            .get(&c.name)
            .is_some_and(|m| m.current_id.is_some())
    };
    spec.mains().any(ran) || uninitialized(spec, observed, memory).is_empty()
}

fn uninitialized(spec: &PodSpec, observed: &ObservedPod, memory: &PodMemory) -> Vec<String> {
    let done = |c: &&ContainerSpec| match c.role {
        Role::Sidecar => is_started(c, observed, memory),
        _ => {
            is_ready(c, observed, memory)
                || memory
                    .containers
                    .get(&c.name)
                    .is_some_and(|m| m.completed_in.is_some())
        }
    };
    spec.inits()
        .filter(|c| !done(c))
        .map(|c| c.name.to_string())
        .collect()
}

fn unready(spec: &PodSpec, observed: &ObservedPod, memory: &PodMemory) -> Vec<String> {
    let counts = |c: &&ContainerSpec| matches!(c.role, Role::Main | Role::Sidecar);
    let all = spec.containers.iter().filter(counts);
    all.filter(|c| !is_ready(c, observed, memory))
        .map(|c| c.name.to_string())
        .collect()
}

/// What a condition says besides its type.
#[derive(Default)]
struct Saying {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Saying {
    fn yes() -> Self {
        Self {
            holds: true,
            ..Self::default()
        }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self {
            holds: false,
            reason,
            message,
        }
    }
}

pub(super) fn all(view: &View<'_>, phase: &str) -> Vec<PodCondition> {
    let foreign = view
        .pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let mut list: Vec<PodCondition> = foreign
        .filter(|c| !OURS.contains(&c.type_.as_str()))
        .cloned()
        .collect();
    list.extend(disruption(view));
    list.extend(resizes(view));
    let start = Saying {
        holds: ready_to_start(view.observed, view.memory),
        ..Saying::default()
    };
    list.push(condition(view, READY_TO_START, start));
    list.push(condition(
        view,
        INITIALIZED,
        initialized_saying(view, phase),
    ));
    list.push(condition(view, READY, ready_saying(view, phase)));
    list.push(condition(
        view,
        CONTAINERS_READY,
        containers_ready(view, phase),
    ));
    list.push(condition(view, SCHEDULED, Saying::yes()));
    list
}

fn condition(view: &View<'_>, type_: &str, saying: Saying) -> PodCondition {
    let some = |text: String| (!text.is_empty()).then_some(text);
    PodCondition {
        type_: type_.to_owned(),
        status: if saying.holds { "True" } else { "False" }.to_owned(),
        reason: some(saying.reason.to_owned()),
        message: some(saying.message),
        last_transition_time: Some(Time(changed_at(view, type_))),
        observed_generation: view.pod.metadata.generation,
        last_probe_time: None,
    }
}

fn changed_at(view: &View<'_>, type_: &str) -> Timestamp {
    let recorded = view.memory.conditions.get(type_).map(|(_, at)| *at);
    recorded.or(view.memory.start_time).unwrap_or(view.now.wall)
}

fn initialized_saying(view: &View<'_>, phase: &str) -> Saying {
    if phase == "Succeeded" {
        return Saying {
            reason: "PodCompleted",
            ..Saying::yes()
        };
    }
    if initialized(view.spec, view.observed, view.memory) {
        return Saying::yes();
    }
    let names = uninitialized(view.spec, view.observed, view.memory).join(" ");
    let message = format!("containers with incomplete status: [{names}]");
    Saying::no("ContainersNotInitialized", message)
}

fn containers_ready(view: &View<'_>, phase: &str) -> Saying {
    match phase {
        "Succeeded" => return Saying::no("PodCompleted", String::new()),
        "Failed" => return Saying::no("PodFailed", String::new()),
        _ => {}
    }
    let names = unready(view.spec, view.observed, view.memory);
    if names.is_empty() {
        return Saying::yes();
    }
    let message = format!("containers with unready status: [{}]", names.join(" "));
    Saying::no("ContainersNotReady", message)
}

/// Ready needs the containers and every readiness gate.
fn ready_saying(view: &View<'_>, phase: &str) -> Saying {
    let containers = containers_ready(view, phase);
    let spec = view.pod.spec.as_ref();
    let gates = spec
        .and_then(|s| s.readiness_gates.as_deref())
        .unwrap_or_default();
    let closed: Vec<String> = gates
        .iter()
        .filter_map(|gate| closed_gate(view, &gate.condition_type))
        .collect();
    if !containers.holds || closed.is_empty() {
        return containers;
    }
    Saying::no("ReadinessGatesNotReady", closed.join(", "))
}

fn closed_gate(view: &View<'_>, type_: &str) -> Option<String> {
    let mut given = view
        .pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    match given.find(|c| c.type_ == type_) {
        None => Some(format!(
            "condition of readiness gate {type_:?} does not exist"
        )),
        Some(c) if c.status != "True" => Some(format!(
            "status of readiness gate {type_:?} is {:?}",
            c.status
        )),
        Some(_) => None,
    }
}

/// A change of resources that waits, and one that is being made.
fn resizes(view: &View<'_>) -> Vec<PodCondition> {
    if view.memory.life != Life::Wanted {
        return Vec::new();
    }
    let resize = &view.memory.resize;
    let pending = resize.pending.as_ref().map(|pending| PodCondition {
        type_: RESIZE_PENDING.to_owned(),
        reason: Some(pending.reason().to_owned()),
        message: Some(pending.message.clone()),
        last_transition_time: Some(Time(pending.since)),
        observed_generation: pending.generation,
        ..PodCondition::default()
    });
    let progress = resize.progress.as_ref().map(|progress| PodCondition {
        type_: RESIZE_IN_PROGRESS.to_owned(),
        reason: progress.error.as_ref().map(|_| "Error".to_owned()),
        message: progress.error.clone(),
        last_transition_time: Some(Time(progress.since)),
        observed_generation: progress.generation,
        ..PodCondition::default()
    });
    let mut both: Vec<PodCondition> = pending.into_iter().chain(progress).collect();
    for condition in &mut both {
        "True".clone_into(&mut condition.status);
    }
    both
}

/// The node itself ends the pod, for a reason that a job may ignore.
fn disruption(view: &View<'_>) -> Option<PodCondition> {
    let failed = match &view.memory.life {
        Life::Terminating(termination) => termination.failed.clone(),
        _ => view
            .memory
            .outcome
            .as_ref()
            .map(|o| (o.reason.clone(), o.message.clone())),
    };
    let (reason, message) = failed?;
    matches!(reason.as_str(), "Evicted" | "Preempting" | "Terminated").then(|| {
        let saying = Saying {
            holds: true,
            reason: "TerminationByKubelet",
            message,
        };
        condition(view, DISRUPTION, saying)
    })
}
