//! Writes the configuration files, and the demo's manifests.

use super::{Options, Outcome, UpError, start};
use crate::cluster::{Cluster, Range};
use crate::configuration::{self, Network};
use crate::files::{make_folder, put};
use crate::layout::Layout;
use crate::{demo, preflight, units};
use keelson_cri::containerd::config::Config;
use keelson_cri::image::pause;
use std::path::{Path, PathBuf};

/// The default network, without IPv6 where the kernel has none.
#[must_use]
pub fn network_here() -> Network {
    let network = Network::default();
    let ipv6 = Path::new("/proc/net/if_inet6").exists();
    Network {
        subnet6: network.subnet6.filter(|_| ipv6),
        ..network
    }
}

/// The cluster that this machine is part of since an earlier `up` or `join`.
#[must_use]
pub fn kept_cluster(layout: &Layout) -> Option<Cluster> {
    let text = std::fs::read(layout.cluster_facts()).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The usual range of services.
#[must_use]
pub fn usual_services() -> Range {
    Range::v4([10, 96, 0, 0], 12)
}

/// The usual ranges of pods, of the families that the kernel has.
#[must_use]
pub fn usual_pods() -> Vec<Range> {
    let six = network_here().subnet6;
    let six = six.map(|_| Range::v6([0xfd00, 0x10, 0x244, 0, 0, 0, 0, 0], 48));
    std::iter::once(Range::v4([10, 244, 0, 0], 16))
        .chain(six)
        .collect()
}

/// The folder of manifests that the kubelet watches.
pub(super) fn manifests(options: &Options) -> PathBuf {
    options
        .wishes
        .manifests
        .clone()
        .unwrap_or_else(|| options.layout.manifests())
}

/// Writes everything that containerd, the plugins and the kubelet read.
pub(super) fn files(options: &Options) -> Result<Outcome, UpError> {
    let layout = &options.layout;
    let manifests = manifests(options);
    let more = [
        manifests.clone(),
        layout.leases(),
        layout.kubelet_drop_ins(),
    ];
    for folder in layout
        .folders()
        .into_iter()
        .chain(more.iter().map(PathBuf::as_path))
    {
        make_folder(folder)?;
    }
    let mut texts = vec![
        (
            layout.kubelet_config(),
            configuration::kubelet(
                layout,
                &manifests,
                options.cgroup_driver,
                options.cluster.as_ref(),
            ),
        ),
        (layout.containerd_config(), containerd_config(options)),
    ];
    match &options.cluster {
        None => texts.push((
            layout.network_list(),
            configuration::network_list(layout, &options.network),
        )),
        // Its network follows once the cluster has given the node its addresses.
        Some(cluster) => texts.push((
            layout.cluster_facts(),
            serde_json::to_string_pretty(cluster).unwrap_or_default(),
        )),
    }
    if start::by_systemd(layout) {
        let containerd = start::containerd_program(options)?;
        texts.extend(units::files(layout, &containerd, options.cluster.as_ref()));
    }
    let mut changed = false;
    for (path, text) in texts {
        changed |= put(&path, text.as_bytes(), 0o644)?;
    }
    Ok(Outcome::changed(changed))
}

fn containerd_config(options: &Options) -> String {
    let layout = &options.layout;
    let facts = preflight::observe(&layout.lib, &[]);
    let config = Config {
        root: layout.containerd_root(),
        state: layout.containerd_state(),
        socket: layout.containerd_socket(),
        sandbox_image: pause::NAME.to_owned(),
        cni_bin_dirs: vec![layout.cni_bin()],
        cni_conf_dir: layout.cni_config(),
        cgroup_driver: options.cgroup_driver,
        restrict_oom_score_adj: !preflight::may_lower_oom_score(&facts),
        runtime_binary: facts
            .oci_runtime
            .unwrap_or_else(|| "runc".to_owned())
            .into(),
        max_concurrent_downloads: 3,
        registry_config: None,
    };
    config.to_toml()
}

/// Puts the demo's manifests into the folder.
pub(super) fn demo(options: &Options) -> Result<Outcome, UpError> {
    let folder = manifests(options);
    make_folder(&options.layout.demo().join("shared"))?;
    let mut changed = false;
    for (name, text) in demo::manifests(&options.layout) {
        changed |= put(&folder.join(name), text.as_bytes(), 0o644)?;
    }
    Ok(Outcome::changed(changed))
}
