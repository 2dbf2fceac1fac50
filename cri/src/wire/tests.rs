//! Messages become our values, or are refused by the field that can't be used.

use super::*;

fn sandbox() -> pb::PodSandboxStatus {
    pb::PodSandboxStatus {
        id: "s1".into(),
        metadata: Some(pb::PodSandboxMetadata {
            name: "web".into(),
            uid: "u".into(),
            namespace: "default".into(),
            attempt: 2,
        }),
        state: pb::PodSandboxState::SandboxReady.into(),
        created_at: 1_000_000_000,
        network: Some(pb::PodSandboxNetworkStatus {
            ip: "10.0.0.2".into(),
            additional_ips: vec![pb::PodIp {
                ip: "fd00::2".into(),
            }],
        }),
        ..Default::default()
    }
}

fn container() -> pb::ContainerStatus {
    pb::ContainerStatus {
        id: "c1".into(),
        metadata: Some(pb::ContainerMetadata {
            name: "main".into(),
            attempt: 1,
        }),
        state: pb::ContainerState::ContainerExited.into(),
        created_at: 1,
        started_at: 2,
        finished_at: 0,
        exit_code: 137,
        reason: "OOMKilled".into(),
        stop_signal: pb::Signal::Sigusr1.into(),
        ..Default::default()
    }
}

#[test]
fn sandbox_keeps_identity_and_order_of_addresses() {
    let status = SandboxStatus::try_from(sandbox()).unwrap();
    assert_eq!(status.sandbox.attempt, 2);
    assert_eq!(status.sandbox.state, SandboxState::Ready);
    assert_eq!(status.sandbox.created_at.as_second(), 1);
    let ips: Vec<String> = status.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.0.0.2", "fd00::2"]);
    assert!(!status.host_network);
}

#[test]
fn host_network_is_recognised() {
    let mut wire = sandbox();
    wire.network = None;
    wire.linux = Some(pb::LinuxPodSandboxStatus {
        namespaces: Some(pb::Namespace {
            options: Some(pb::NamespaceOption {
                network: pb::NamespaceMode::Node.into(),
                ..Default::default()
            }),
        }),
    });
    let status = SandboxStatus::try_from(wire).unwrap();
    assert!(status.host_network);
    assert!(status.ips.is_empty());
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let mut nameless = sandbox();
    nameless.metadata = None;
    let mut anonymous = sandbox();
    anonymous.id.clear();
    let mut homeless = sandbox();
    homeless.network.as_mut().unwrap().ip = "10.0.0".into();
    for (wire, expected) in [
        (nameless, "sandbox \"s1\" has no metadata"),
        (anonymous, "sandbox \"web\" has no id"),
        (homeless, "sandbox \"s1\": ip is \"10.0.0\""),
    ] {
        assert_eq!(
            SandboxStatus::try_from(wire).unwrap_err().to_string(),
            expected
        );
    }
    let mut nameless = container();
    nameless.metadata = None;
    assert_eq!(
        ContainerStatus::try_from(nameless).unwrap_err().to_string(),
        "container \"c1\" has no metadata"
    );
}

#[test]
fn container_times_and_signals() {
    let status = ContainerStatus::try_from(container()).unwrap();
    assert_eq!(status.started_at.unwrap().as_nanosecond(), 2);
    assert_eq!(status.finished_at, None);
    assert_eq!(status.stop_signal.as_deref(), Some("SIGUSR1"));
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (137, "OOMKilled")
    );
}

#[test]
fn times_before_the_epoch_mean_never() {
    // Go's zero time, as some runtimes report it.
    assert_eq!(timestamp(-6_795_364_578_871_345_152), None);
    assert_eq!(timestamp(0), None);
    assert!(timestamp(i64::MAX).is_some());
}

#[test]
fn states_of_tomorrow_are_the_safe_ones() {
    assert_eq!(sandbox_state(7), SandboxState::NotReady);
    assert_eq!(container_state(9), ContainerState::Unknown);
    for (wire, expected) in [
        (0, ContainerState::Created),
        (1, ContainerState::Running),
        (2, ContainerState::Exited),
        (3, ContainerState::Unknown),
    ] {
        assert_eq!(container_state(wire), expected);
    }
}

#[test]
fn zero_limits_are_absent() {
    let resources = Resources::from(pb::LinuxContainerResources {
        cpu_quota: -1,
        memory_limit_in_bytes: 0,
        ..Default::default()
    });
    assert_eq!(resources.cpu_quota, Some(-1));
    assert_eq!(resources.memory_limit, None);
}

#[test]
fn events_of_an_unknown_kind_are_refused() {
    let event = pb::ContainerEventResponse {
        container_id: "c1".into(),
        container_event_type: 42,
        ..Default::default()
    };
    assert_eq!(
        Event::try_from(event).unwrap_err().to_string(),
        "event of container \"c1\": container_event_type is \"42\""
    );
}

#[test]
fn cgroup_driver_must_be_one_we_know() {
    let reply = |driver| pb::RuntimeConfigResponse {
        linux: Some(pb::LinuxRuntimeConfiguration {
            cgroup_driver: driver,
        }),
    };
    assert_eq!(CgroupDriver::try_from(reply(0)), Ok(CgroupDriver::Systemd));
    assert_eq!(CgroupDriver::try_from(reply(1)), Ok(CgroupDriver::Cgroupfs));
    assert!(CgroupDriver::try_from(reply(2)).is_err());
    assert!(CgroupDriver::try_from(pb::RuntimeConfigResponse::default()).is_err());
}
