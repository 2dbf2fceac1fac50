//! What this node is and what it offers: the facts that decisions and translations are given.
//!
//! A value made once at start; `crate::agent` discovers it. Reads nothing itself.

use std::net::IpAddr;
use std::path::PathBuf;

use keelson_api::resources::Amounts;

use crate::cgroup;
use crate::model::objects::Objects;
use crate::pod_files::{HostResolv, NodeDns, Paths};
use crate::spec::env::DownwardFacts;
use crate::spec::resources::NodeLimits;
use crate::spec::security::Confinement;

/// What the node is and offers.
#[derive(Clone, Debug)]
pub struct Node {
    /// `spec.nodeName` of its pods.
    pub name: String,
    /// Its addresses, primary first.
    pub ips: Vec<IpAddr>,
    /// Where pods have their files (`--root-dir`).
    pub paths: Paths,
    /// Where container logs are (`podLogsDir`).
    pub log_root: PathBuf,
    /// Where links to container logs are, for log shippers.
    pub log_links: PathBuf,
    /// What pods together may have: `cpu`, `memory`, `pods`.
    pub allocatable: Amounts,
    /// What one container may have.
    pub limits: NodeLimits,
    /// How pod cgroups are limited.
    pub cgroup_policy: cgroup::Policy,
    /// Security settings of all containers.
    pub confinement: Confinement,
    /// `clusterDNS`.
    pub cluster_dns: Vec<String>,
    /// `clusterDomain`.
    pub cluster_domain: String,
    /// The file that `resolvConf` names, parsed.
    pub resolv: Option<HostResolv>,
    /// Read-only mounts can be made so all the way down.
    pub recursive_read_only: bool,
    /// Memory file systems know `noswap`.
    pub tmpfs_noswap: bool,
    /// SELinux is on.
    pub selinux: bool,
    /// AppArmor is on.
    pub app_armor: bool,
    /// Name of the runtime, for `containerID`: `containerd`.
    pub runtime: String,
}

impl Node {
    /// What the downward API tells a pod with these addresses.
    #[must_use]
    pub fn downward(&self, pod_ips: &[IpAddr]) -> DownwardFacts {
        DownwardFacts {
            node_name: self.name.clone(),
            host_ips: self.ips.clone(),
            pod_ips: pod_ips.to_vec(),
            allocatable: self.allocatable.clone(),
            objects: Objects::default(),
        }
    }

    /// What the node adds to a pod's name service.
    #[must_use]
    pub fn dns(&self) -> NodeDns<'_> {
        NodeDns {
            cluster_dns: &self.cluster_dns,
            cluster_domain: &self.cluster_domain,
            host: self.resolv.as_ref(),
            node_ips: &self.ips,
        }
    }
}
