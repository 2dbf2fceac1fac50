//! What we ask the runtime to make: the CRI messages themselves, under a name of their own.
//!
//! Requests need no conversion and no validation of ours (the runtime judges them), so these are
//! the generated types: fields are CRI v1's, maps are ordered, every type has `Default`, and zero
//! or empty means "not set" unless the field is an `Option`. Enumerations are carried as `i32`;
//! write them as `NamespaceMode::Node.into()`.

pub use crate::proto::runtime::security_profile::ProfileType;
pub use crate::proto::runtime::{
    AttachRequest, AuthConfig, Capability, CdiDevice, ContainerConfig, ContainerFilter,
    ContainerMetadata, ContainerStatsFilter, Device, DnsConfig, ExecRequest, HugepageLimit,
    IdMapping, ImageSpec, Int64Value, KeyValue, LinuxContainerConfig, LinuxContainerResources,
    LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    MountPropagation, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxFilter,
    PodSandboxMetadata, PodSandboxStatsFilter, PortMapping, Protocol, SeLinuxOption,
    SecurityProfile, Signal, SupplementalGroupsPolicy, UserNamespace,
};
