//! `keelson down`: stops what `up` started and takes away what it and the pods made. Never stops
//! at the first error; what could not be removed is listed at the end. Only what is provably ours
//! is touched: holders of our locks, shims of our containerd, mounts below our folders, the cgroup
//! and the bridge that carry our names.

mod cgroups;
mod mounts;
mod network;
mod pods;
mod processes;
mod services;

use crate::cluster::{Cluster, static_pods};
use crate::layout::Layout;
use crate::up::{kept_cluster, start};
use crate::{daemon, demo, files, units};
use std::path::Path;
use std::time::Duration;

/// How long the kubelet and containerd may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// Gives back what the CNI plugins hold in the firewall for the network of this name; the error
/// says what stands in the way.
pub type ForgetNetwork = fn(&str) -> Result<(), String>;

/// Takes the node down; with `purge`, images, logs and the binary go too.
///
/// # Errors
/// When something of ours could not be removed: each on a line.
pub async fn down(layout: &Layout, purge: bool, forget: ForgetNetwork) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("this is not root: only root can stop a node".to_owned());
    }
    let was = kept_cluster(layout);
    let mut kept = Vec::new();
    kept.extend(step("the kubelet", stop(layout, "kubelet")));
    pods::remove_all(layout).await;
    kept.extend(step("containerd", stop(layout, "containerd")));
    kept.extend(step(
        "shims and what is left in our cgroup",
        leftovers(layout),
    ));
    kept.extend(step("mounts", mounts::unmount_below(&layout.folders())));
    if layout.proxy_config().exists() {
        kept.extend(step("rules of services", services::remove()));
    }
    kept.extend(step("the pod network", network::remove(layout, forget)));
    remove_empty_folders();
    kept.extend(step("files", remove_files(layout, purge)));
    if kept.is_empty() {
        println!(
            "nothing of it is left{}",
            if purge { "" } else { ", images and logs aside" }
        );
        if let Some(cluster) = was {
            println!("{}", farewell(&cluster));
        }
        return Ok(());
    }
    Err(format!("could not remove:\n  {}", kept.join("\n  ")))
}

/// What became of the cluster.
fn farewell(cluster: &Cluster) -> String {
    if cluster.has_control_plane() {
        return "the cluster's objects and certificates are gone for good".to_owned();
    }
    // A node may not delete itself: that is for who may delete nodes.
    let Cluster { node, .. } = cluster;
    format!(
        "the cluster at {} still lists this node: `kubectl delete node {node}` there",
        cluster.server()
    )
}

/// Prints how a step went and hands on what it left.
fn step(what: &str, kept: Vec<String>) -> Vec<String> {
    println!(
        "{what}: {}",
        if kept.is_empty() {
            "gone"
        } else {
            "something is left"
        }
    );
    kept
}

fn stop(layout: &Layout, name: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let unit = units::unit_of(name);
    if start::by_systemd(layout) && units::exists(&unit) {
        kept.extend(units::stop(&unit).err().map(|error| error.to_string()));
        kept.extend(units::remove(&unit).err().map(|error| error.to_string()));
    }
    if let Some(running) = daemon::running(&layout.lock_of(name)) {
        kept.extend(
            daemon::stop(running.pid, GRACE)
                .err()
                .map(|error| error.to_string()),
        );
    }
    kept
}

/// Shims outlive containerd by design; with the pods gone, one that is left serves nobody.
fn leftovers(layout: &Layout) -> Vec<String> {
    let shims = processes::shims(&layout.containerd_socket());
    let stopped = shims
        .into_iter()
        .map(|pid| daemon::stop(pid, Duration::from_secs(1)));
    let mut kept: Vec<_> = stopped
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    if start::by_systemd(layout) {
        let stopped = units::stop_slice(&layout.slice());
        kept.extend(stopped.err().map(|error| error.to_string()));
    }
    for name in [&layout.cgroup, &layout.slice()] {
        kept.extend(cgroups::remove(name));
    }
    kept
}

/// The kubelet links the pods' logs where upstream does, beside what others keep there.
fn remove_log_links(layout: &Layout) {
    let links = std::fs::read_dir("/var/log/containers")
        .into_iter()
        .flatten()
        .flatten();
    let ours = links.map(|entry| entry.path()).filter(|link| {
        std::fs::read_link(link).is_ok_and(|target| target.starts_with(layout.pod_logs()))
    });
    for link in ours {
        // A dangling link is no harm; the next kubelet here removes it too.
        let _ = std::fs::remove_file(link);
    }
}

/// Folders that containerd and its shims make beside their own, when nobody else uses them.
fn remove_empty_folders() {
    for path in [
        "/run/containerd/s",
        "/run/containerd/io.containerd.runtime.v2.task",
        "/run/containerd",
    ] {
        // One that is not empty is somebody's.
        let _ = std::fs::remove_dir(path);
    }
}

fn remove_files(layout: &Layout, purge: bool) -> Vec<String> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted = mounts::below(&mountinfo, &layout.folders());
    if !mounted.is_empty() {
        let what = |path: &std::path::PathBuf| format!("{}: still mounted", path.display());
        return mounted.iter().map(what).collect();
    }
    remove_log_links(layout);
    let control_plane = static_pods::PODS.map(|name| format!("{name}.yaml"));
    let demo = demo::manifests(layout).map(|(name, _)| name.to_owned());
    let manifests = control_plane
        .into_iter()
        .chain(demo)
        .map(|name| layout.manifests().join(name));
    let mut gone = vec![
        layout.run.clone(),
        layout.kubelet_root(),
        layout.kubelet_state(),
        layout.demo(),
        layout.cluster(),
        layout.store(),
        layout.kubelet_certificates(),
        layout.stamp_of("containerd"),
        layout.stamp_of("kubelet"),
    ];
    gone.extend(manifests);
    if purge {
        gone.extend([layout.lib.clone(), layout.log.clone()]);
    }
    let forget = |path: &Path| files::forget(path).err().map(|error| error.to_string());
    gone.iter().filter_map(|path| forget(path)).collect()
}
