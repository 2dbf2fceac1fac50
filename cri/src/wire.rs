//! The one place where protocol messages become [`crate::values`].
//!
//! It is strict where a value could not be used (no metadata, no id, an address that is none) and
//! lenient where a newer runtime may know more than we do (states, signals). It must not call
//! anything and must not log.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::proto::runtime as pb;
use crate::values::{
    CgroupDriver, Container, ContainerState, ContainerStatus, ContainerUser, Event, EventKind,
    ExecOutput, Image, MountStatus, PodStatus, Resources, RuntimeCondition, RuntimeHandler,
    RuntimeStatus, RuntimeVersion, Sandbox, SandboxState, SandboxStatus,
};

mod stats;

/// A message that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that every runtime must fill is not there.
    #[error("{object} has no {field}")]
    Missing { object: String, field: &'static str },
    /// A field holds what it can't hold.
    #[error("{object}: {field} is {value:?}")]
    Malformed {
        object: String,
        field: &'static str,
        value: String,
    },
}

fn missing(kind: &str, id: &str, field: &'static str) -> WireError {
    WireError::Missing {
        object: format!("{kind} {id:?}"),
        field,
    }
}

/// Nanoseconds since the epoch; what is not after it means "never".
fn timestamp(nanos: i64) -> Option<Timestamp> {
    (nanos > 0)
        .then(|| Timestamp::from_nanosecond(i128::from(nanos)).ok())
        .flatten()
}

fn timestamp_or_epoch(nanos: i64) -> Timestamp {
    timestamp(nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Converts each item and stops at the first that makes no sense.
pub(crate) fn all<P, V: TryFrom<P, Error = WireError>>(items: Vec<P>) -> Result<Vec<V>, WireError> {
    items.into_iter().map(V::try_from).collect()
}

impl From<pb::PodSandboxState> for SandboxState {
    fn from(state: pb::PodSandboxState) -> Self {
        match state {
            pb::PodSandboxState::SandboxReady => Self::Ready,
            pb::PodSandboxState::SandboxNotready => Self::NotReady,
        }
    }
}

/// Anything that is not ready, even a state of tomorrow, is not ready.
fn sandbox_state(state: i32) -> SandboxState {
    pb::PodSandboxState::try_from(state).map_or(SandboxState::NotReady, SandboxState::from)
}

impl TryFrom<pb::PodSandbox> for Sandbox {
    type Error = WireError;

    fn try_from(sandbox: pb::PodSandbox) -> Result<Self, WireError> {
        let metadata = sandbox
            .metadata
            .ok_or_else(|| missing("sandbox", &sandbox.id, "metadata"))?;
        if sandbox.id.is_empty() {
            return Err(missing("sandbox", &metadata.name, "id"));
        }
        Ok(Self {
            id: sandbox.id,
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            attempt: metadata.attempt,
            state: sandbox_state(sandbox.state),
            created_at: timestamp_or_epoch(sandbox.created_at),
            labels: sandbox.labels,
            annotations: sandbox.annotations,
            runtime_handler: sandbox.runtime_handler,
        })
    }
}

impl TryFrom<pb::PodSandboxStatus> for SandboxStatus {
    type Error = WireError;

    fn try_from(status: pb::PodSandboxStatus) -> Result<Self, WireError> {
        let ips = addresses(&status.id, status.network.unwrap_or_default())?;
        let network = status
            .linux
            .and_then(|linux| linux.namespaces?.options)
            .map(|options| options.network());
        let sandbox = Sandbox::try_from(pb::PodSandbox {
            id: status.id,
            metadata: status.metadata,
            state: status.state,
            created_at: status.created_at,
            labels: status.labels,
            annotations: status.annotations,
            runtime_handler: status.runtime_handler,
        })?;
        Ok(Self {
            sandbox,
            ips,
            host_network: network == Some(pb::NamespaceMode::Node),
        })
    }
}

fn addresses(id: &str, network: pb::PodSandboxNetworkStatus) -> Result<Vec<IpAddr>, WireError> {
    std::iter::once(network.ip)
        .chain(network.additional_ips.into_iter().map(|ip| ip.ip))
        .filter(|ip| !ip.is_empty())
        .map(|ip| {
            ip.parse().map_err(|_| WireError::Malformed {
                object: format!("sandbox {id:?}"),
                field: "ip",
                value: ip,
            })
        })
        .collect()
}

impl TryFrom<pb::PodSandboxStatusResponse> for PodStatus {
    type Error = WireError;

    fn try_from(reply: pb::PodSandboxStatusResponse) -> Result<Self, WireError> {
        let status = reply
            .status
            .ok_or_else(|| missing("sandbox status", "", "status"))?;
        Ok(Self {
            sandbox: status.try_into()?,
            containers: all(reply.containers_statuses)?,
            at: timestamp(reply.timestamp),
            info: reply.info,
        })
    }
}

/// A state of tomorrow is unknown, which makes nobody start a second instance.
fn container_state(state: i32) -> ContainerState {
    match pb::ContainerState::try_from(state) {
        Ok(pb::ContainerState::ContainerCreated) => ContainerState::Created,
        Ok(pb::ContainerState::ContainerRunning) => ContainerState::Running,
        Ok(pb::ContainerState::ContainerExited) => ContainerState::Exited,
        Ok(pb::ContainerState::ContainerUnknown) | Err(_) => ContainerState::Unknown,
    }
}

impl TryFrom<pb::Container> for Container {
    type Error = WireError;

    fn try_from(container: pb::Container) -> Result<Self, WireError> {
        let metadata = container
            .metadata
            .ok_or_else(|| missing("container", &container.id, "metadata"))?;
        if container.id.is_empty() {
            return Err(missing("container", &metadata.name, "id"));
        }
        Ok(Self {
            id: container.id,
            sandbox_id: container.pod_sandbox_id,
            name: metadata.name,
            attempt: metadata.attempt,
            state: container_state(container.state),
            created_at: timestamp_or_epoch(container.created_at),
            image: container.image.unwrap_or_default().image,
            image_ref: container.image_ref,
            image_id: container.image_id,
            labels: container.labels,
            annotations: container.annotations,
        })
    }
}

impl TryFrom<pb::ContainerStatus> for ContainerStatus {
    type Error = WireError;

    fn try_from(status: pb::ContainerStatus) -> Result<Self, WireError> {
        let stop_signal = stop_signal(&status);
        let metadata = status
            .metadata
            .ok_or_else(|| missing("container", &status.id, "metadata"))?;
        if status.id.is_empty() {
            return Err(missing("container", &metadata.name, "id"));
        }
        Ok(Self {
            id: status.id,
            name: metadata.name,
            attempt: metadata.attempt,
            state: container_state(status.state),
            created_at: timestamp_or_epoch(status.created_at),
            started_at: timestamp(status.started_at),
            finished_at: timestamp(status.finished_at),
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            image: status.image.unwrap_or_default().image,
            image_ref: status.image_ref,
            image_id: status.image_id,
            labels: status.labels,
            annotations: status.annotations,
            mounts: status.mounts.into_iter().map(MountStatus::from).collect(),
            log_path: status.log_path,
            resources: status.resources.and_then(|r| r.linux).map(Resources::from),
            user: status.user.and_then(|u| u.linux).map(ContainerUser::from),
            stop_signal,
        })
    }
}

fn stop_signal(status: &pb::ContainerStatus) -> Option<String> {
    match status.stop_signal() {
        pb::Signal::RuntimeDefault => None,
        signal => Some(signal.as_str_name().to_owned()),
    }
}

impl From<pb::Mount> for MountStatus {
    fn from(mount: pb::Mount) -> Self {
        Self {
            container_path: mount.container_path,
            host_path: mount.host_path,
            image: mount.image.map(|image| image.image),
            read_only: mount.readonly,
            recursive_read_only: mount.recursive_read_only,
        }
    }
}

impl From<pb::LinuxContainerResources> for Resources {
    fn from(resources: pb::LinuxContainerResources) -> Self {
        let set = |value: i64| (value != 0).then_some(value);
        Self {
            cpu_shares: set(resources.cpu_shares),
            cpu_quota: set(resources.cpu_quota),
            cpu_period: set(resources.cpu_period),
            memory_limit: set(resources.memory_limit_in_bytes),
            memory_swap_limit: set(resources.memory_swap_limit_in_bytes),
            cpuset_cpus: resources.cpuset_cpus,
            cpuset_mems: resources.cpuset_mems,
            unified: resources.unified,
        }
    }
}

impl From<pb::LinuxContainerUser> for ContainerUser {
    fn from(user: pb::LinuxContainerUser) -> Self {
        Self {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: user.supplemental_groups,
        }
    }
}

impl TryFrom<pb::Image> for Image {
    type Error = WireError;

    fn try_from(image: pb::Image) -> Result<Self, WireError> {
        if image.id.is_empty() {
            return Err(missing("image", &image.repo_tags.join(","), "id"));
        }
        Ok(Self {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            size: image.size,
            uid: image.uid.map(|uid| uid.value),
            username: image.username,
            pinned: image.pinned,
            runtime_handler: image.spec.unwrap_or_default().runtime_handler,
        })
    }
}

impl From<pb::VersionResponse> for RuntimeVersion {
    fn from(version: pb::VersionResponse) -> Self {
        Self {
            name: version.runtime_name,
            version: version.runtime_version,
            api_version: version.runtime_api_version,
        }
    }
}

impl From<pb::StatusResponse> for RuntimeStatus {
    fn from(reply: pb::StatusResponse) -> Self {
        let features = reply.features.unwrap_or_default();
        let conditions = reply.status.unwrap_or_default().conditions;
        Self {
            conditions: conditions.into_iter().map(RuntimeCondition::from).collect(),
            handlers: reply
                .runtime_handlers
                .into_iter()
                .map(RuntimeHandler::from)
                .collect(),
            supplemental_groups_policy: features.supplemental_groups_policy,
            user_namespaces_host_network: features.user_namespaces_host_network,
            info: reply.info,
        }
    }
}

impl From<pb::RuntimeCondition> for RuntimeCondition {
    fn from(condition: pb::RuntimeCondition) -> Self {
        Self {
            kind: condition.r#type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
        }
    }
}

impl From<pb::RuntimeHandler> for RuntimeHandler {
    fn from(handler: pb::RuntimeHandler) -> Self {
        let features = handler.features.unwrap_or_default();
        Self {
            name: handler.name,
            recursive_read_only_mounts: features.recursive_read_only_mounts,
            user_namespaces: features.user_namespaces,
        }
    }
}

impl TryFrom<pb::RuntimeConfigResponse> for CgroupDriver {
    type Error = WireError;

    fn try_from(reply: pb::RuntimeConfigResponse) -> Result<Self, WireError> {
        let linux = reply
            .linux
            .ok_or_else(|| missing("runtime config", "", "linux"))?;
        match pb::CgroupDriver::try_from(linux.cgroup_driver) {
            Ok(pb::CgroupDriver::Systemd) => Ok(Self::Systemd),
            Ok(pb::CgroupDriver::Cgroupfs) => Ok(Self::Cgroupfs),
            Err(_) => Err(WireError::Malformed {
                object: "runtime config".to_owned(),
                field: "cgroup_driver",
                value: linux.cgroup_driver.to_string(),
            }),
        }
    }
}

impl TryFrom<pb::ContainerEventResponse> for Event {
    type Error = WireError;

    fn try_from(event: pb::ContainerEventResponse) -> Result<Self, WireError> {
        let kind = match pb::ContainerEventType::try_from(event.container_event_type) {
            Ok(pb::ContainerEventType::ContainerCreatedEvent) => EventKind::Created,
            Ok(pb::ContainerEventType::ContainerStartedEvent) => EventKind::Started,
            Ok(pb::ContainerEventType::ContainerStoppedEvent) => EventKind::Stopped,
            Ok(pb::ContainerEventType::ContainerDeletedEvent) => EventKind::Deleted,
            Err(_) => {
                return Err(WireError::Malformed {
                    object: format!("event of container {:?}", event.container_id),
                    field: "container_event_type",
                    value: event.container_event_type.to_string(),
                });
            }
        };
        Ok(Self {
            kind,
            container_id: event.container_id,
            created_at: timestamp_or_epoch(event.created_at),
            sandbox: event
                .pod_sandbox_status
                .map(SandboxStatus::try_from)
                .transpose()?,
            containers: all(event.containers_statuses)?,
        })
    }
}

impl From<pb::ExecSyncResponse> for ExecOutput {
    fn from(reply: pb::ExecSyncResponse) -> Self {
        Self {
            stdout: reply.stdout,
            stderr: reply.stderr,
            exit_code: reply.exit_code,
        }
    }
}

#[cfg(test)]
mod tests;
