//! Where each container of a pod stands: one word for what runtime and memory say together.

use crate::model::desired::{ContainerSpec, ProbeKind, Role};
use crate::model::memory::{ContainerMemory, LastTermination};
use crate::model::{ContainerState, ObservedContainer, ObservedPod, PodMemory};

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing<'a> {
    /// It has never been started in this pod.
    New,
    /// Created and not started: left behind by a start that did not come to its end.
    Created(&'a ObservedContainer),
    /// Its process runs.
    Running(&'a ObservedContainer),
    /// The runtime lost track of it.
    Unknown(&'a ObservedContainer),
    /// Its process ended.
    Ended(&'a LastTermination),
}

impl Standing<'_> {
    /// Its process may still be there.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Unknown(_))
    }
}

/// Where the container of that name stands.
#[must_use]
pub fn standing<'a>(observed: &'a ObservedPod, memory: &'a PodMemory, name: &str) -> Standing<'a> {
    let newest = observed.newest_container(name);
    match newest.map(|c| (c, c.state)) {
        Some((c, ContainerState::Created)) => Standing::Created(c),
        Some((c, ContainerState::Running)) => Standing::Running(c),
        Some((c, ContainerState::Unknown)) => Standing::Unknown(c),
        Some((_, ContainerState::Exited)) | None => memory
            .containers
            .get(name)
            .and_then(|m| m.ended.as_ref())
            .map_or(Standing::New, |ended| Standing::Ended(&ended.how)),
    }
}

/// The newest container of that name, when its process runs.
pub(super) fn running<'a>(observed: &'a ObservedPod, name: &str) -> Option<&'a ObservedContainer> {
    observed
        .newest_container(name)
        .filter(|c| c.state == ContainerState::Running)
}

/// `started`: it runs, its postStart hook is done and its startup probe has succeeded.
#[must_use]
pub fn is_started(spec: &ContainerSpec, observed: &ObservedPod, memory: &PodMemory) -> bool {
    let Standing::Running(container) = standing(observed, memory, &spec.name) else {
        return false;
    };
    let Some(mem) = memory.containers.get(&spec.name) else {
        return false;
    };
    mem.current_id.as_ref() == Some(&container.id)
        && hook_done(spec, mem)
        && (!spec.probes.contains_key(&ProbeKind::Startup)
            || verdict(mem, ProbeKind::Startup) == Some(true))
}

/// `ready`: started and its readiness probe says so; of an init container, ended well.
#[must_use]
pub fn is_ready(spec: &ContainerSpec, observed: &ObservedPod, memory: &PodMemory) -> bool {
    match spec.role {
        Role::Init => {
            let standing = standing(observed, memory, &spec.name);
            matches!(standing, Standing::Ended(how) if how.exit_code == 0)
        }
        Role::Ephemeral => false,
        Role::Main | Role::Sidecar => {
            let probed = spec.probes.contains_key(&ProbeKind::Readiness);
            let mem = memory.containers.get(&spec.name);
            is_started(spec, observed, memory)
                && (!probed || mem.and_then(|m| verdict(m, ProbeKind::Readiness)) == Some(true))
        }
    }
}

/// Its postStart hook has succeeded, or it has none.
pub(super) fn hook_done(spec: &ContainerSpec, memory: &ContainerMemory) -> bool {
    !spec.post_start || memory.post_start == Some(true)
}

/// What a probe has established.
pub(super) fn verdict(memory: &ContainerMemory, kind: ProbeKind) -> Option<bool> {
    memory.probes.get(&kind).and_then(|probe| probe.verdict)
}
