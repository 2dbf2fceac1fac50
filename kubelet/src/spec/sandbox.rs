//! Configuration of a pod's sandbox.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod, PodSpec};
use keelson_cri::config::{
    DnsConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol,
};

use super::labels::sandbox_labels;
use super::security::{Confinement, sandbox_security};

/// What a sandbox needs beyond the pod itself.
#[derive(Clone, Debug, Default)]
pub struct SandboxInputs {
    /// Its attempt number.
    pub attempt: u32,
    /// Host name inside of the pod; empty with host network.
    pub hostname: String,
    /// Content of `/etc/resolv.conf`.
    pub dns: Option<DnsConfig>,
    /// `/var/log/pods/NS_NAME_UID`.
    pub log_directory: String,
    /// The pod's cgroup in the notation of the runtime's cgroup driver.
    pub cgroup_parent: String,
    /// Security settings of the node.
    pub confinement: Confinement,
}

/// What `RunPodSandbox` is asked for.
#[must_use]
pub fn sandbox_config(pod: &Pod, inputs: &SandboxInputs) -> PodSandboxConfig {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let meta = &pod.metadata;
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            attempt: inputs.attempt,
        }),
        hostname: inputs.hostname.clone(),
        log_directory: inputs.log_directory.clone(),
        dns_config: inputs.dns.clone(),
        port_mappings: port_mappings(spec),
        labels: sandbox_labels(pod),
        annotations: meta.annotations.clone().unwrap_or_default(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: inputs.cgroup_parent.clone(),
            security_context: Some(sandbox_security(
                spec,
                any_privileged(spec),
                &inputs.confinement,
            )),
            sysctls: sysctls(spec),
            ..Default::default()
        }),
        windows: None,
    }
}

fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
}

fn any_privileged(spec: &PodSpec) -> bool {
    all_containers(spec)
        .any(|c| c.security_context.as_ref().and_then(|s| s.privileged) == Some(true))
}

fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let wanted = spec
        .security_context
        .as_ref()
        .and_then(|s| s.sysctls.as_ref());
    // The kernel takes both separators; the runtime only dots.
    wanted
        .into_iter()
        .flatten()
        .map(|s| (s.name.replace('/', "."), s.value.clone()))
        .collect()
}

fn port_mappings(spec: &PodSpec) -> Vec<PortMapping> {
    if spec.host_network == Some(true) {
        return Vec::new();
    }
    // Ports of containers that end before the pod serves are not mapped, as those of sidecars are.
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.is_some());
    sidecars
        .chain(&spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
        .map(port_mapping)
        .collect()
}

fn port_mapping(port: &ContainerPort) -> PortMapping {
    let protocol = match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    PortMapping {
        protocol: protocol.into(),
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    }
}
