//! Where everything of one private set-up is. The only place which knows a path; nothing outside
//! of these folders is written, so that taking it down can be complete.

use std::path::{Path, PathBuf};

/// The folders and names of one node. Two nodes with different roots do not meet on disk; in one
/// network namespace they would still share ports and the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What survives a reboot: binary, configuration, images, pods' volumes.
    pub lib: PathBuf,
    /// What ends with the boot: sockets, locks, address leases.
    pub run: PathBuf,
    /// Logs of containerd, the kubelet and the pods.
    pub log: PathBuf,
    /// The name of the bridge that the pods are plugged into.
    pub bridge: String,
    /// The cgroup below which all pods are, in every hierarchy.
    pub cgroup: String,
}

impl Layout {
    /// The layout of the machine's own node (`/`), or of one that keeps to `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let own = |top: &str| root.join(top).join("keelson");
        Self {
            lib: own("var/lib"),
            run: own("run"),
            log: own("var/log"),
            bridge: "keelson0".to_owned(),
            cgroup: if root == Path::new("/") {
                "/keelson".to_owned()
            } else {
                nested(root)
            },
        }
    }

    /// The three folders, which are all there is on disk.
    #[must_use]
    pub fn folders(&self) -> [&Path; 3] {
        [&self.lib, &self.run, &self.log]
    }

    /// The binary which the daemons run: a copy, so that a new build does not change them unasked.
    #[must_use]
    pub fn binary(&self) -> PathBuf {
        self.cni_bin().join("keelson")
    }

    /// The folder of the CNI plugins: links to the binary beside them.
    #[must_use]
    pub fn cni_bin(&self) -> PathBuf {
        self.lib.join("bin")
    }

    /// The folder of CNI network configurations.
    #[must_use]
    pub fn cni_config(&self) -> PathBuf {
        self.lib.join("config/net.d")
    }

    /// The configuration of the pods' network.
    #[must_use]
    pub fn network_list(&self) -> PathBuf {
        self.cni_config().join("10-keelson.conflist")
    }

    /// Where `host-local` keeps its leases: they are void after a reboot.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.run.join("networks")
    }

    /// containerd's configuration file.
    #[must_use]
    pub fn containerd_config(&self) -> PathBuf {
        self.lib.join("config/containerd.toml")
    }

    /// containerd's images and snapshots.
    #[must_use]
    pub fn containerd_root(&self) -> PathBuf {
        self.lib.join("containerd")
    }

    /// containerd's running state: bundles, network namespaces.
    #[must_use]
    pub fn containerd_state(&self) -> PathBuf {
        self.run.join("containerd")
    }

    /// containerd's socket, CRI included.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.containerd_state().join("containerd.sock")
    }

    /// The kubelet's `KubeletConfiguration`.
    #[must_use]
    pub fn kubelet_config(&self) -> PathBuf {
        self.lib.join("config/kubelet.yaml")
    }

    /// The kubelet's `--root-dir`.
    #[must_use]
    pub fn kubelet_root(&self) -> PathBuf {
        self.lib.join("kubelet")
    }

    /// The kubelet's `--state-dir`: what it knows of pods across restarts.
    #[must_use]
    pub fn kubelet_state(&self) -> PathBuf {
        self.lib.join("kubelet-state")
    }

    /// The kubelet's `--config-dir`: fields of your own, merged over those which `up` writes.
    #[must_use]
    pub fn kubelet_drop_ins(&self) -> PathBuf {
        self.lib.join("config/kubelet.conf.d")
    }

    /// The kubelet's `--cert-dir`.
    #[must_use]
    pub fn kubelet_certificates(&self) -> PathBuf {
        self.lib.join("pki")
    }

    /// The kubelet's unix socket, which `status` and `why` read.
    #[must_use]
    pub fn kubelet_socket(&self) -> PathBuf {
        self.run.join("kubelet.sock")
    }

    /// Certificates and kubeconfigs of a cluster, laid out as kubeadm lays out `/etc/kubernetes`.
    #[must_use]
    pub fn cluster(&self) -> PathBuf {
        self.lib.join("kubernetes")
    }

    /// The cluster's certificates and keys.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.cluster().join("pki")
    }

    /// What was issued, for whom, and until when.
    #[must_use]
    pub fn issued(&self) -> PathBuf {
        self.pki().join("issued.json")
    }

    /// The kubeconfig of `user`: `admin`, `kubelet`, `scheduler`.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.cluster().join(format!("{user}.conf"))
    }

    /// How a machine that joins gets its first certificate: it holds the token.
    #[must_use]
    pub fn bootstrap_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("bootstrap-kubelet")
    }

    /// What this machine's cluster is called and where it is.
    #[must_use]
    pub fn cluster_facts(&self) -> PathBuf {
        self.cluster().join("cluster.json")
    }

    /// kube-proxy's configuration.
    #[must_use]
    pub fn proxy_config(&self) -> PathBuf {
        self.cluster().join("kube-proxy.yaml")
    }

    /// Certificate and key that the kubelet shows to the API server, which it renews by itself.
    #[must_use]
    pub fn kubelet_client(&self) -> PathBuf {
        self.kubelet_certificates()
            .join("kubelet-client-current.pem")
    }

    /// Where the API server keeps its objects.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.lib.join("apiserver")
    }

    /// Manifests that run where no other folder was asked for.
    #[must_use]
    pub fn manifests(&self) -> PathBuf {
        self.lib.join("manifests")
    }

    /// What the demo's images are built from and what its pods share.
    #[must_use]
    pub fn demo(&self) -> PathBuf {
        self.lib.join("demo")
    }

    /// The pods' log folders, in upstream's layout.
    #[must_use]
    pub fn pod_logs(&self) -> PathBuf {
        self.log.join("pods")
    }

    /// A daemon's log file.
    #[must_use]
    pub fn log_of(&self, daemon: &str) -> PathBuf {
        self.log.join(format!("{daemon}.log"))
    }

    /// What a unit's daemon was last started with.
    #[must_use]
    pub fn stamp_of(&self, daemon: &str) -> PathBuf {
        self.lib.join(format!("config/{daemon}.stamp"))
    }

    /// The slice below which all pods are, where systemd makes the cgroups.
    #[must_use]
    pub fn slice(&self) -> String {
        let word = self.cgroup.trim_start_matches('/').replace('-', "_");
        format!("{word}.slice")
    }

    /// The file that a running daemon holds a lock on.
    #[must_use]
    pub fn lock_of(&self, daemon: &str) -> PathBuf {
        self.run.join(format!("{daemon}.lock"))
    }
}

/// A cgroup name of its own for a node that is not the machine's: its root, made a single word.
fn nested(root: &Path) -> String {
    let word: String = root
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("/keelson-{}", word.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_do_not_overlap() {
        let own = Layout::new(Path::new("/"));
        let other = Layout::new(Path::new("/var/tmp/a b"));
        assert_eq!(own.run, Path::new("/run/keelson"));
        assert_eq!(own.cgroup, "/keelson");
        assert_eq!(own.slice(), "keelson.slice");
        assert_eq!(other.lib, Path::new("/var/tmp/a b/var/lib/keelson"));
        assert_eq!(other.cgroup, "/keelson-var-tmp-a-b");
        assert_eq!(other.slice(), "keelson_var_tmp_a_b.slice");
    }

    #[test]
    fn everything_is_below_the_three_folders() {
        let layout = Layout::new(Path::new("/"));
        for path in [
            layout.binary(),
            layout.leases(),
            layout.kubelet_socket(),
            layout.containerd_socket(),
            layout.pod_logs(),
            layout.lock_of("kubelet"),
        ] {
            assert!(
                layout
                    .folders()
                    .iter()
                    .any(|folder| path.starts_with(folder)),
                "{path:?}"
            );
        }
    }
}
