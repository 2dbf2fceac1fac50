//! Values to protocol messages: the way back from what the client converts.

use jiff::Timestamp;
use keelson_cri::proto::runtime as pb;
use keelson_cri::values::{
    Container, ContainerState, ContainerStatus, Event, EventKind, ExecOutput, Image, MountStatus,
    PodStatus, Resources, Sandbox, SandboxState, SandboxStatus,
};

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

fn nanos_or_zero(at: Option<Timestamp>) -> i64 {
    at.map_or(0, nanos)
}

/// The number of a container state.
pub(crate) fn state(state: ContainerState) -> i32 {
    let state = match state {
        ContainerState::Created => pb::ContainerState::ContainerCreated,
        ContainerState::Running => pb::ContainerState::ContainerRunning,
        ContainerState::Exited => pb::ContainerState::ContainerExited,
        ContainerState::Unknown => pb::ContainerState::ContainerUnknown,
    };
    state.into()
}

fn sandbox_state(state: SandboxState) -> i32 {
    let state = match state {
        SandboxState::Ready => pb::PodSandboxState::SandboxReady,
        SandboxState::NotReady => pb::PodSandboxState::SandboxNotready,
    };
    state.into()
}

fn image_spec(image: String) -> Option<pb::ImageSpec> {
    Some(pb::ImageSpec {
        image,
        ..Default::default()
    })
}

pub(crate) fn sandbox(sandbox: Sandbox) -> pb::PodSandbox {
    pb::PodSandbox {
        id: sandbox.id,
        metadata: Some(pb::PodSandboxMetadata {
            name: sandbox.name,
            uid: sandbox.uid,
            namespace: sandbox.namespace,
            attempt: sandbox.attempt,
        }),
        state: sandbox_state(sandbox.state),
        created_at: nanos(sandbox.created_at),
        labels: sandbox.labels,
        annotations: sandbox.annotations,
        runtime_handler: sandbox.runtime_handler,
    }
}

fn sandbox_status(status: SandboxStatus) -> pb::PodSandboxStatus {
    let mode = match status.host_network {
        true => pb::NamespaceMode::Node,
        false => pb::NamespaceMode::Pod,
    };
    let options = pb::NamespaceOption {
        network: mode.into(),
        ..Default::default()
    };
    let mut ips = status.ips.iter().map(ToString::to_string);
    let network = pb::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| pb::PodIp { ip }).collect(),
    };
    let listed = sandbox(status.sandbox);
    pb::PodSandboxStatus {
        id: listed.id,
        metadata: listed.metadata,
        state: listed.state,
        created_at: listed.created_at,
        network: Some(network),
        linux: Some(pb::LinuxPodSandboxStatus {
            namespaces: Some(pb::Namespace {
                options: Some(options),
            }),
        }),
        labels: listed.labels,
        annotations: listed.annotations,
        runtime_handler: listed.runtime_handler,
    }
}

pub(crate) fn pod_status(status: PodStatus) -> pb::PodSandboxStatusResponse {
    pb::PodSandboxStatusResponse {
        status: Some(sandbox_status(status.sandbox)),
        info: status.info,
        containers_statuses: status
            .containers
            .into_iter()
            .map(container_status)
            .collect(),
        timestamp: nanos_or_zero(status.at),
    }
}

pub(crate) fn container(container: Container) -> pb::Container {
    pb::Container {
        id: container.id,
        pod_sandbox_id: container.sandbox_id,
        metadata: Some(pb::ContainerMetadata {
            name: container.name,
            attempt: container.attempt,
        }),
        image: image_spec(container.image),
        image_ref: container.image_ref,
        state: state(container.state),
        created_at: nanos(container.created_at),
        labels: container.labels,
        annotations: container.annotations,
        image_id: container.image_id,
    }
}

pub(crate) fn container_status(status: ContainerStatus) -> pb::ContainerStatus {
    pb::ContainerStatus {
        id: status.id,
        metadata: Some(pb::ContainerMetadata {
            name: status.name,
            attempt: status.attempt,
        }),
        state: state(status.state),
        created_at: nanos(status.created_at),
        started_at: nanos_or_zero(status.started_at),
        finished_at: nanos_or_zero(status.finished_at),
        exit_code: status.exit_code,
        image: image_spec(status.image),
        image_ref: status.image_ref,
        reason: status.reason,
        message: status.message,
        labels: status.labels,
        annotations: status.annotations,
        mounts: status.mounts.into_iter().map(mount).collect(),
        log_path: status.log_path,
        resources: status.resources.map(resources),
        image_id: status.image_id,
        ..Default::default()
    }
}

fn mount(mount: MountStatus) -> pb::Mount {
    pb::Mount {
        container_path: mount.container_path,
        host_path: mount.host_path,
        image: mount.image.and_then(image_spec),
        readonly: mount.read_only,
        recursive_read_only: mount.recursive_read_only,
        ..Default::default()
    }
}

fn resources(resources: Resources) -> pb::ContainerResources {
    let linux = pb::LinuxContainerResources {
        cpu_shares: resources.cpu_shares.unwrap_or(0),
        cpu_quota: resources.cpu_quota.unwrap_or(0),
        cpu_period: resources.cpu_period.unwrap_or(0),
        memory_limit_in_bytes: resources.memory_limit.unwrap_or(0),
        memory_swap_limit_in_bytes: resources.memory_swap_limit.unwrap_or(0),
        cpuset_cpus: resources.cpuset_cpus,
        cpuset_mems: resources.cpuset_mems,
        unified: resources.unified,
        ..Default::default()
    };
    pb::ContainerResources {
        linux: Some(linux),
        windows: None,
    }
}

pub(crate) fn image(image: Image) -> pb::Image {
    pb::Image {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|value| pb::Int64Value { value }),
        username: image.username,
        spec: None,
        pinned: image.pinned,
    }
}

pub(crate) fn event(event: Event) -> pb::ContainerEventResponse {
    let kind = match event.kind {
        EventKind::Created => pb::ContainerEventType::ContainerCreatedEvent,
        EventKind::Started => pb::ContainerEventType::ContainerStartedEvent,
        EventKind::Stopped => pb::ContainerEventType::ContainerStoppedEvent,
        EventKind::Deleted => pb::ContainerEventType::ContainerDeletedEvent,
    };
    pb::ContainerEventResponse {
        container_id: event.container_id,
        container_event_type: kind.into(),
        created_at: nanos(event.created_at),
        pod_sandbox_status: event.sandbox.map(sandbox_status),
        containers_statuses: event.containers.into_iter().map(container_status).collect(),
    }
}

pub(crate) fn exec(output: ExecOutput) -> pb::ExecSyncResponse {
    pb::ExecSyncResponse {
        stdout: output.stdout,
        stderr: output.stderr,
        exit_code: output.exit_code,
    }
}
