//! From the runtime's answers to observed values: one pod's listing, and the quick look at all.
//!
//! Asks and converts; concludes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use keelson_cri::config::{ContainerFilter, PodSandboxFilter};
use keelson_cri::values::{self, ContainerStatus, Labels, SandboxState, SandboxStatus};
use keelson_cri::{Client, CriError};

use crate::metrics::record::measured;
use crate::model::observed::{ContainerUser, Limits};
use crate::model::{ContainerState, Event, Mono, ObservedContainer, ObservedSandbox, PodUid};
use crate::node::Node;
use crate::spec::labels;

use super::termination::with_last_words;

/// What the runtime has of one pod, without details: enough to see whether anything changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Id of each sandbox and whether it is ready.
    pub sandboxes: BTreeMap<String, bool>,
    /// Id of each container and its state.
    pub containers: BTreeMap<String, ContainerState>,
    /// Namespace and name of the pod.
    pub pod: (String, String),
    /// `terminationGracePeriodSeconds`, where a container's annotation tells it.
    pub grace: Option<u64>,
}

/// Everything that the runtime has, by pod. Sandboxes and containers without the labels of a
/// kubelet are not ours and left out.
///
/// # Errors
/// What the runtime says.
pub async fn outline(cri: &Client) -> Result<BTreeMap<PodUid, Outline>, CriError> {
    let (sandboxes, containers) = (
        list_sandboxes(cri, PodSandboxFilter::default()).await?,
        list_containers(cri, ContainerFilter::default()).await?,
    );
    let mut pods: BTreeMap<PodUid, Outline> = BTreeMap::new();
    for sandbox in sandboxes
        .iter()
        .filter(|s| s.labels.contains_key(labels::POD_UID))
    {
        let pod = pods.entry(PodUid::from(sandbox.uid.as_str())).or_default();
        pod.pod = (sandbox.namespace.clone(), sandbox.name.clone());
        pod.sandboxes
            .insert(sandbox.id.clone(), sandbox.state == SandboxState::Ready);
    }
    for container in &containers {
        let Some(uid) = container.labels.get(labels::POD_UID) else {
            continue;
        };
        let pod = pods.entry(PodUid::from(uid.as_str())).or_default();
        pod.containers
            .insert(container.id.clone(), state(container.state));
        let text = |key: &str| container.labels.get(key).cloned().unwrap_or_default();
        pod.pod = (text(labels::POD_NAMESPACE), text(labels::POD_NAME));
        let grace = container
            .annotations
            .get(labels::POD_GRACE)
            .and_then(|g| g.parse().ok());
        pod.grace = pod.grace.or(grace);
    }
    Ok(pods)
}

/// Everything that the runtime has of one pod, in detail.
///
/// # Errors
/// What the runtime says. What vanishes between listing and look is left out.
pub async fn list_pod(
    cri: &Client,
    node: &Node,
    uid: &PodUid,
    since: Mono,
) -> Result<Event, CriError> {
    let only = Labels::from([(labels::POD_UID.to_owned(), uid.to_string())]);
    let sandbox_filter = PodSandboxFilter {
        label_selector: only.clone(),
        ..PodSandboxFilter::default()
    };
    let container_filter = ContainerFilter {
        label_selector: only,
        ..ContainerFilter::default()
    };
    let mut sandboxes = Vec::new();
    for listed in list_sandboxes(cri, sandbox_filter).await? {
        match measured("podsandbox_status", cri.sandbox_status(&listed.id)).await {
            Ok(status) => sandboxes.push(sandbox(&status.sandbox, since)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let mut containers = Vec::new();
    for listed in list_containers(cri, container_filter).await? {
        match measured("container_status", cri.container_status(&listed.id)).await {
            Ok(status) => {
                let seen = container(&status, &listed.sandbox_id, since);
                containers.push(with_last_words(node, uid.as_str(), seen, &status));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    sandboxes.sort_by_key(|s| (s.attempt, s.created_at));
    containers.sort_by_key(|c| (c.attempt, c.created_at));
    Ok(Event::Listed {
        since,
        sandboxes,
        containers,
    })
}

async fn list_sandboxes(
    cri: &Client,
    filter: PodSandboxFilter,
) -> Result<Vec<values::Sandbox>, CriError> {
    measured("list_podsandbox", cri.list_sandboxes(filter)).await
}

async fn list_containers(
    cri: &Client,
    filter: ContainerFilter,
) -> Result<Vec<values::Container>, CriError> {
    measured("list_containers", cri.list_containers(filter)).await
}

/// A sandbox as observed.
#[must_use]
pub fn sandbox(status: &SandboxStatus, seen: Mono) -> ObservedSandbox {
    ObservedSandbox {
        id: status.sandbox.id.as_str().into(),
        attempt: status.sandbox.attempt,
        ready: status.sandbox.state == SandboxState::Ready,
        ips: status.ips.clone(),
        created_at: status.sandbox.created_at,
        seen,
    }
}

/// A container as observed.
#[must_use]
pub fn container(status: &ContainerStatus, sandbox_id: &str, seen: Mono) -> ObservedContainer {
    let hash = status.annotations.get(labels::CONTAINER_HASH);
    ObservedContainer {
        id: status.id.as_str().into(),
        sandbox_id: sandbox_id.into(),
        name: shared_name(status),
        attempt: status.attempt,
        state: state(status.state),
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        image: status.image.as_str().into(),
        image_ref: status.image_ref.as_str().into(),
        stop_signal: status.stop_signal.as_deref().map(Into::into),
        user: status.user.as_ref().map(|user| ContainerUser {
            uid: user.uid,
            gid: user.gid,
            groups: user.supplemental_groups.clone(),
        }),
        limits: status.resources.as_ref().map(limits),
        hash: hash
            .and_then(|h| u64::from_str_radix(h, 16).ok())
            .unwrap_or(0),
        seen,
    }
}

fn limits(resources: &values::Resources) -> Limits {
    let number = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
    let (quota, period) = (number(resources.cpu_quota), number(resources.cpu_period));
    Limits {
        cpu_shares: number(resources.cpu_shares),
        cpu: (quota * 1000).checked_div(period).unwrap_or(0),
        memory: number(resources.memory_limit),
    }
}

fn shared_name(status: &ContainerStatus) -> Arc<str> {
    let label = status.labels.get(labels::CONTAINER_NAME);
    label.map_or(status.name.as_str(), String::as_str).into()
}

fn state(state: values::ContainerState) -> ContainerState {
    match state {
        values::ContainerState::Created => ContainerState::Created,
        values::ContainerState::Running => ContainerState::Running,
        values::ContainerState::Exited => ContainerState::Exited,
        values::ContainerState::Unknown => ContainerState::Unknown,
    }
}
