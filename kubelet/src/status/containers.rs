//! The status of each container.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMount,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::model::desired::{ContainerSpec, Role};
use crate::model::memory::{ContainerMemory, ImageMemory, LastTermination};
use crate::model::{Life, ObservedContainer};
use crate::reconcile::restart_backoff::restarts_after;
use crate::reconcile::{Standing, is_ready, is_started, standing};

use super::View;
use super::resources::of_container;

/// How long a failed pull is shown as such before it is shown as backing off.
const FRESH: Duration = Duration::from_secs(1);

/// The statuses of all containers, each list in the order of the spec.
pub(super) struct Statuses {
    pub init: Vec<ContainerStatus>,
    pub main: Vec<ContainerStatus>,
    pub ephemeral: Vec<ContainerStatus>,
}

impl Statuses {
    /// In the order of [`crate::model::PodSpec::containers`].
    pub fn in_order(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init.iter().chain(&self.main).chain(&self.ephemeral)
    }
}

pub(super) fn all(view: &View<'_>) -> Statuses {
    let of = |roles: &[Role]| {
        let wanted = view
            .spec
            .containers
            .iter()
            .filter(|c| roles.contains(&c.role));
        wanted.map(|c| status(view, c)).collect()
    };
    Statuses {
        init: of(&[Role::Init, Role::Sidecar]),
        main: of(&[Role::Main]),
        ephemeral: of(&[Role::Ephemeral]),
    }
}

fn status(view: &View<'_>, c: &ContainerSpec) -> ContainerStatus {
    let nothing = ContainerMemory::default();
    let mem = view.memory.containers.get(&c.name).unwrap_or(&nothing);
    let newest = view.observed.newest_container(&c.name);
    let manifest = manifest(view, c);
    let resources = manifest.and_then(|m| m.resources.as_ref());
    let (state, last_state) = states(view, c, mem);
    ContainerStatus {
        name: c.name.to_string(),
        state: Some(state),
        last_state: Some(last_state),
        ready: is_ready(c, view.observed, view.memory),
        started: Some(is_started(c, view.observed, view.memory)),
        restart_count: i32::try_from(mem.restarts).unwrap_or(i32::MAX),
        image: newest.map_or(&c.image, |n| &n.image).to_string(),
        image_id: newest.map(|n| n.image_ref.to_string()).unwrap_or_default(),
        container_id: shown_id(mem, newest).map(|id| full_id(view, id)),
        allocated_resources: newest.and(resources.and_then(|r| r.requests.clone())),
        resources: newest.and_then(|newest| of_container(resources?, mem, newest)),
        user: newest.and_then(user),
        volume_mounts: volume_mounts(
            manifest.and_then(|m| m.volume_mounts.as_deref()),
            view.node.recursive_read_only,
        ),
        stop_signal: newest.and_then(|n| n.stop_signal.as_deref().map(str::to_owned)),
        ..ContainerStatus::default()
    }
}

fn manifest<'a>(view: &View<'a>, c: &ContainerSpec) -> Option<&'a Container> {
    let spec = view.pod.spec.as_ref()?;
    let named = |m: &&Container| *m.name == *c.name;
    match c.role {
        Role::Main => spec.containers.iter().find(named),
        Role::Init | Role::Sidecar => spec.init_containers.iter().flatten().find(named),
        Role::Ephemeral => None,
    }
}

fn shown_id<'a>(
    mem: &'a ContainerMemory,
    newest: Option<&'a ObservedContainer>,
) -> Option<&'a Arc<str>> {
    newest.map(|n| &n.id).or(mem.current_id.as_ref())
}

fn full_id(view: &View<'_>, id: &Arc<str>) -> String {
    format!("{}://{id}", view.node.runtime)
}

fn user(newest: &ObservedContainer) -> Option<ContainerUser> {
    let user = newest.user.as_ref()?;
    let linux = LinuxContainerUser {
        uid: user.uid,
        gid: user.gid,
        supplemental_groups: Some(user.groups.clone()),
    };
    Some(ContainerUser { linux: Some(linux) })
}

/// As they were made: what was to be read-only all the way down if possible is shown as what it
/// became.
fn volume_mounts(
    mounts: Option<&[VolumeMount]>,
    recursive_read_only: bool,
) -> Option<Vec<VolumeMountStatus>> {
    let recursive = |m: &VolumeMount| match m.recursive_read_only.as_deref() {
        Some("Enabled") => "Enabled",
        Some("IfPossible") if recursive_read_only => "Enabled",
        _ => "Disabled",
    };
    let status = |m: &VolumeMount| VolumeMountStatus {
        name: m.name.clone(),
        mount_path: m.mount_path.clone(),
        read_only: m.read_only,
        recursive_read_only: (m.read_only == Some(true)).then(|| recursive(m).to_owned()),
        volume_status: None,
    };
    mounts
        .filter(|list| !list.is_empty())
        .map(|list| list.iter().map(status).collect())
}

/// `state` and `lastState`.
fn states(
    view: &View<'_>,
    c: &ContainerSpec,
    mem: &ContainerMemory,
) -> (ContainerState, ContainerState) {
    let last = mem
        .last
        .as_ref()
        .map(|how| terminated(view, how))
        .unwrap_or_default();
    match standing(view.observed, view.memory, &c.name) {
        Standing::Running(container) => (running(container), last),
        Standing::Unknown(container) => (lost(container), last),
        Standing::Ended(how) => match reason_to_wait(view, c, mem, how) {
            Some(reason) => (waiting(reason), terminated(view, how)),
            None => (terminated(view, how), last),
        },
        Standing::New | Standing::Created(_) => match mem.ended.as_ref() {
            Some(ended) => (terminated(view, &ended.how), last),
            None => (never_run(view, c, mem), last),
        },
    }
}

fn running(container: &ObservedContainer) -> ContainerState {
    let started_at = container
        .started_at
        .or(Some(container.created_at))
        .map(Time);
    let running = Some(ContainerStateRunning { started_at });
    ContainerState {
        running,
        ..ContainerState::default()
    }
}

fn terminated(view: &View<'_>, how: &LastTermination) -> ContainerState {
    let terminated = Some(ContainerStateTerminated {
        container_id: Some(full_id(view, &how.id)),
        exit_code: how.exit_code,
        reason: Some(how.reason.clone()).filter(|text| !text.is_empty()),
        message: Some(how.message.clone()).filter(|text| !text.is_empty()),
        started_at: how.started_at.map(Time),
        finished_at: how.finished_at.map(Time),
        signal: None,
    });
    ContainerState {
        terminated,
        ..ContainerState::default()
    }
}

/// A container whose state is not known: shown as ended until it is killed and started again.
fn lost(container: &ObservedContainer) -> ContainerState {
    let terminated = Some(ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("the runtime has lost track of this container".to_owned()),
        started_at: container.started_at.map(Time),
        ..ContainerStateTerminated::default()
    });
    ContainerState {
        terminated,
        ..ContainerState::default()
    }
}

fn waiting((reason, message): (String, Option<String>)) -> ContainerState {
    let waiting = Some(ContainerStateWaiting {
        reason: Some(reason),
        message,
    });
    ContainerState {
        waiting,
        ..ContainerState::default()
    }
}

/// Why a container that is to be started again is not yet; `None` when its end is the better news.
fn reason_to_wait(
    view: &View<'_>,
    c: &ContainerSpec,
    mem: &ContainerMemory,
    how: &LastTermination,
) -> Option<(String, Option<String>)> {
    let again = mem.respawn || restarts_after(c, how.exit_code);
    if !again || view.memory.life != Life::Wanted {
        return None;
    }
    if mem.crash_backoff.until > view.now.mono {
        let message = format!(
            "back-off {} restarting failed container={} pod={}",
            in_go_style(mem.crash_backoff.delay),
            c.name,
            view.spec.full_name()
        );
        return Some(("CrashLoopBackOff".to_owned(), Some(message)));
    }
    failure(view, mem)
}

/// What the last attempt to pull, create or start failed with.
fn failure(view: &View<'_>, mem: &ContainerMemory) -> Option<(String, Option<String>)> {
    let error = |(reason, message): &(String, String)| (reason.clone(), Some(message.clone()));
    pull_failure(view, &mem.image).or_else(|| mem.start_error.as_ref().map(error))
}

/// A failed pull is `ErrImagePull` while it is fresh, then `ImagePullBackOff`.
fn pull_failure(view: &View<'_>, image: &ImageMemory) -> Option<(String, Option<String>)> {
    let (reason, message) = image.error.as_ref()?;
    let failed_at = image
        .backoff
        .until
        .0
        .saturating_sub(millis(image.backoff.delay));
    let fresh = view.now.mono.0.saturating_sub(failed_at) < millis(FRESH);
    if reason != "ErrImagePull" || fresh {
        return Some((reason.clone(), Some(message.clone())));
    }
    let text = format!("Back-off pulling image {:?}: {reason}: {message}", image.of);
    Some(("ImagePullBackOff".to_owned(), Some(text)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A container that has not run in this pod.
fn never_run(view: &View<'_>, c: &ContainerSpec, mem: &ContainerMemory) -> ContainerState {
    let initializes = view.spec.inits().next().is_some();
    let initialized = super::conditions::initialized(view.spec, view.observed, view.memory);
    if view.memory.outcome.is_some() && c.role == Role::Main && initialized {
        return terminated_unseen();
    }
    let its_turn = c.role != Role::Main || initialized;
    let failure = failure(view, mem).filter(|_| its_turn);
    let default = if initializes {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    waiting(failure.unwrap_or((default.to_owned(), None)))
}

/// The pod is over and this container never ran.
fn terminated_unseen() -> ContainerState {
    let terminated = Some(ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("the pod ended before this container could be located".to_owned()),
        ..ContainerStateTerminated::default()
    });
    ContainerState {
        terminated,
        ..ContainerState::default()
    }
}

/// `10s`, `2m40s`, `5m0s`.
fn in_go_style(delay: Duration) -> String {
    let seconds = delay.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}
