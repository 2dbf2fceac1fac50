//! The kubelet's own files of a pod: its directory, `/etc/hosts`, DNS settings, host name and
//! termination messages. What they contain is decided in [`dns`], [`hosts`], [`hostname`] and
//! [`termination`] without touching the host; [`write`] puts it on disk. Knows no CRI type.

pub mod dns;
pub mod hostname;
pub mod hosts;
pub mod layout;
pub mod termination;
pub mod write;

pub use dns::{DnsConfig, DnsNote, DnsPlan, HostResolv, NodeDns};
pub use hostname::{HostNames, HostnameError, host_names};
pub use hosts::HostsFile;
pub use layout::{Paths, UnsafeSegment};
pub use write::{PodFileError, create_container_dir, create_pod_dir, read_tail, write_hosts};
