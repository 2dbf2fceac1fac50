//! What one container mounts: its volumes, its hosts file, the file of its last words.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Container;
use keelson_cri::config::{Mount, MountPropagation};

use super::container::image_spec;
use super::{Executor, Job};
use crate::node::Node;
use crate::pod_files::{self, HostsFile, hosts};
use crate::volume::plan::Propagation;
use crate::volume::{self, MountFrom, ReadyMount, VolumePlan};

impl Executor {
    /// Prepares the mounts of a container. Volumes may lie on a file system that does not answer:
    /// the work is done where it holds up nobody else.
    pub(super) async fn mounts(
        &self,
        job: &Job,
        container: &Container,
        attempt: u32,
    ) -> Result<Vec<Mount>, String> {
        let plan = self.volume_plan(job)?;
        let (node, job, container) = (self.node.clone(), job.clone(), container.clone());
        let prepare = move || prepare(&node, &plan, &job, &container, attempt);
        let prepared = tokio::task::spawn_blocking(prepare).await;
        prepared.map_err(|error| error.to_string())?
    }
}

fn prepare(
    node: &Node,
    plan: &VolumePlan,
    job: &Job,
    container: &Container,
    attempt: u32,
) -> Result<Vec<Mount>, String> {
    let ready = volume::prepare_mounts(plan, &container.name).map_err(|e| e.to_string())?;
    let mut mounts: Vec<Mount> = ready.into_iter().map(mount).collect();
    let taken = |path: &str, mounts: &[Mount]| mounts.iter().any(|m| m.container_path == path);
    if !taken("/etc/hosts", &mounts) {
        mounts.push(plain(hosts_file(node, job)?, "/etc/hosts"));
    }
    if let Some(path) = container.termination_message_path.as_deref()
        && !path.is_empty()
        && !taken(path, &mounts)
    {
        let uid = job.uid.as_str();
        let log = pod_files::create_container_dir(&node.paths, uid, &container.name, attempt);
        mounts.push(plain(log.map_err(|e| e.to_string())?, path));
    }
    Ok(mounts)
}

fn hosts_file(node: &Node, job: &Job) -> Result<PathBuf, String> {
    let names = pod_files::host_names(&job.pod, &node.cluster_domain).map_err(|e| e.to_string())?;
    let node_hosts = match job.spec.host_network {
        true => std::fs::read("/etc/hosts").unwrap_or_default(),
        false => Vec::new(),
    };
    let ips: Vec<String> = job.ips.iter().map(ToString::to_string).collect();
    let file = match job.spec.host_network {
        true => HostsFile::HostNetwork {
            node_hosts: &node_hosts,
        },
        false => HostsFile::Pod {
            ips: &ips,
            hostname: &names.short,
            fqdn: names.fqdn.as_deref(),
        },
    };
    let spec = job.pod.spec.as_ref();
    let aliases = spec.and_then(|s| s.host_aliases.as_deref());
    let content = hosts::content(file, aliases.unwrap_or_default());
    pod_files::write_hosts(&node.paths, job.uid.as_str(), &content)
        .map_err(|error| error.to_string())
}

fn plain(host: PathBuf, container_path: &str) -> Mount {
    Mount {
        container_path: container_path.to_owned(),
        host_path: host.to_string_lossy().into_owned(),
        ..Default::default()
    }
}

fn mount(ready: ReadyMount) -> Mount {
    let propagation = match ready.propagation {
        Propagation::Private => MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => MountPropagation::PropagationBidirectional,
    };
    let mut mount = Mount {
        container_path: ready.container_path,
        readonly: ready.read_only,
        recursive_read_only: ready.recursive_read_only,
        selinux_relabel: ready.selinux_relabel,
        propagation: propagation.into(),
        ..Default::default()
    };
    match ready.from {
        MountFrom::Host(path) => mount.host_path = path.to_string_lossy().into_owned(),
        MountFrom::Image {
            reference,
            sub_path,
        } => {
            mount.image = Some(image_spec(&reference));
            mount.image_sub_path = sub_path.unwrap_or_default();
        }
    }
    mount
}
