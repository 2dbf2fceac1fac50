//! The texts of the configuration files: CNI network list and `KubeletConfiguration`.
//! (containerd's own comes from `keelson_cri`, which knows what containerd needs.)

use crate::cluster::{Cluster, DOMAIN};
use crate::layout::Layout;
use keelson_cri::values::CgroupDriver;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// The name of the pods' network.
pub const NETWORK: &str = "keelson";

/// The pods' addresses. Private ranges of our own choice: one node, no routing between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The IPv4 range.
    pub subnet: String,
    /// The IPv6 range, where the machine has IPv6.
    pub subnet6: Option<String>,
    /// Whether whatever leaves the node takes the node's address. In a cluster the proxy sees to
    /// it, which knows the pods of other nodes.
    pub masquerade: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            subnet: "10.244.0.0/24".to_owned(),
            subnet6: Some("fd00:10:244::/64".to_owned()),
            masquerade: true,
        }
    }
}

/// The network list that containerd runs for each pod.
#[must_use]
pub fn network_list(layout: &Layout, network: &Network) -> String {
    let mut bridge = bridge_plugin(layout, network);
    strip(&mut bridge, &["cniVersion", "name"]);
    let list = json!({
        "cniVersion": "1.1.0",
        "name": NETWORK,
        "plugins": [
            bridge,
            { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
        ],
    });
    pretty(&list)
}

/// The bridge plugin's part alone, for a trial.
#[must_use]
pub fn trial_network(layout: &Layout, network: &Network, leases: &Path) -> String {
    let mut bridge = bridge_plugin(layout, network);
    bridge["ipam"]["dataDir"] = json!(leases);
    pretty(&bridge)
}

fn bridge_plugin(layout: &Layout, network: &Network) -> Value {
    let ranges: Vec<_> = [Some(&network.subnet), network.subnet6.as_ref()]
        .into_iter()
        .flatten()
        .map(|subnet| json!([{ "subnet": subnet }]))
        .collect();
    let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
    if network.subnet6.is_some() {
        routes.push(json!({ "dst": "::/0" }));
    }
    json!({
        "cniVersion": "1.1.0",
        "name": NETWORK,
        "type": "bridge",
        "bridge": layout.bridge,
        "isGateway": true,
        "ipMasq": network.masquerade,
        "ipMasqBackend": "nftables",
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "dataDir": layout.leases(),
            "ranges": ranges,
            "routes": routes,
        },
    })
}

fn strip(object: &mut Value, keys: &[&str]) {
    if let Some(map) = object.as_object_mut() {
        for key in keys {
            map.remove(*key);
        }
    }
}

/// The kubelet's configuration: JSON, which is YAML too.
#[must_use]
pub fn kubelet(
    layout: &Layout,
    manifests: &Path,
    driver: CgroupDriver,
    cluster: Option<&Cluster>,
) -> String {
    let mut config = alone(layout, manifests, driver);
    if let Some(cluster) = cluster {
        config["clusterDNS"] = json!([cluster.dns()]);
        config["authentication"] = json!({
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": layout.pki().join("ca.crt") },
        });
        config["authorization"] = json!({ "mode": "Webhook" });
        config["clusterDomain"] = json!(DOMAIN);
        config["rotateCertificates"] = json!(true);
    }
    pretty(&config)
}

/// The configuration of a node without a cluster.
fn alone(layout: &Layout, manifests: &Path, driver: CgroupDriver) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "staticPodPath": manifests,
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "cgroupRoot": layout.cgroup,
        // It asks the runtime; written down so that another driver is another configuration.
        "cgroupDriver": match driver {
            CgroupDriver::Systemd => "systemd",
            CgroupDriver::Cgroupfs => "cgroupfs",
        },
        "podLogsDir": layout.pod_logs(),
        "failSwapOn": false,
        "failCgroupV1": false,
        // There is no apiserver to ask: who has a client certificate of this node's CA may call.
        "authentication": { "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
    })
}

/// The kubelet's command line.
#[must_use]
pub fn kubelet_args(layout: &Layout, cluster: Option<&Cluster>) -> Vec<OsString> {
    let files = [
        ("--config", layout.kubelet_config()),
        ("--config-dir", layout.kubelet_drop_ins()),
        ("--root-dir", layout.kubelet_root()),
        ("--state-dir", layout.kubelet_state()),
        ("--cert-dir", layout.kubelet_certificates()),
        ("--status-socket", layout.kubelet_socket()),
    ];
    let files = files
        .into_iter()
        .flat_map(|(flag, path)| [flag.into(), path.into()]);
    let joining = cluster.into_iter().flat_map(|cluster| {
        [
            "--kubeconfig".into(),
            layout.kubeconfig("kubelet").into(),
            "--hostname-override".into(),
            cluster.node.clone().into(),
            "--node-ip".into(),
            cluster.address.to_string().into(),
        ]
    });
    // Read while there is no certificate yet, or none that is good.
    let enrolling = cluster.filter(|cluster| !cluster.has_control_plane());
    let enrolling = enrolling.into_iter().flat_map(|_| {
        [
            "--bootstrap-kubeconfig".into(),
            layout.bootstrap_kubeconfig().into(),
        ]
    });
    std::iter::once("kubelet".into())
        .chain(files)
        .chain(joining)
        .chain(enrolling)
        .collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_both_families_where_there_are_two() {
        let layout = Layout::new(Path::new("/"));
        let list: Value =
            serde_json::from_str(&network_list(&layout, &Network::default())).unwrap();
        let bridge = &list["plugins"][0];
        assert_eq!(bridge["type"], "bridge");
        assert_eq!(
            bridge["cniVersion"],
            Value::Null,
            "the list's version counts"
        );
        assert_eq!(bridge["ipam"]["ranges"].as_array().unwrap().len(), 2);
        assert_eq!(bridge["ipam"]["routes"][1]["dst"], "::/0");

        let single = Network {
            subnet6: None,
            ..Network::default()
        };
        let list: Value = serde_json::from_str(&network_list(&layout, &single)).unwrap();
        assert_eq!(
            list["plugins"][0]["ipam"]["ranges"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn the_kubelet_stays_in_our_folders() {
        let layout = Layout::new(Path::new("/r"));
        let text = kubelet(&layout, Path::new("/m"), CgroupDriver::Systemd, None);
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            config["containerRuntimeEndpoint"],
            "unix:///r/run/keelson/containerd/containerd.sock"
        );
        assert_eq!(config["staticPodPath"], "/m");
        assert_eq!(config["cgroupRoot"], "/keelson-r");
        assert_eq!(config["cgroupDriver"], "systemd");
    }

    #[test]
    fn in_a_cluster_the_kubelet_registers_by_name() {
        let layout = Layout::new(Path::new("/r"));
        let cluster = crate::cluster::example();
        let has = |cluster, word: &str| {
            let args = kubelet_args(&layout, cluster);
            args.iter().any(|one| one == word)
        };
        assert!(!has(None, "--kubeconfig"));
        assert!(has(Some(&cluster), "--kubeconfig") && has(Some(&cluster), "one"));
        let text = kubelet(
            &layout,
            Path::new("/m"),
            CgroupDriver::Cgroupfs,
            Some(&cluster),
        );
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            config["authentication"]["x509"]["clientCAFile"],
            "/r/var/lib/keelson/kubernetes/pki/ca.crt"
        );
    }
}
