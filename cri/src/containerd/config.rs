//! Writes the configuration of a containerd that belongs to this node alone. Pure.
//!
//! Everything it touches lies under its own folders, what a node does not use is switched off, and
//! nothing in it stops a container when containerd itself stops.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::values::CgroupDriver;

/// What differs between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Images and other lasting state.
    pub root: PathBuf,
    /// State until the next boot.
    pub state: PathBuf,
    /// The socket to listen on.
    pub socket: PathBuf,
    /// The pause image. It is never collected.
    pub sandbox_image: String,
    /// Where CNI plugins are, the first hit wins.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// Where the CNI configuration is.
    pub cni_conf_dir: PathBuf,
    /// Who makes cgroups; the kubelet asks the runtime and does the same.
    pub cgroup_driver: CgroupDriver,
    /// Keep `oom_score_adj` at what containerd itself may set. Needed without `CAP_SYS_RESOURCE`.
    pub restrict_oom_score_adj: bool,
    /// The program that makes containers: runc or crun.
    pub runtime_binary: PathBuf,
    /// Layers downloaded at once, per image.
    pub max_concurrent_downloads: u32,
    /// `certs.d` with a folder per registry (mirrors, certificates).
    pub registry_config: Option<PathBuf>,
}

/// What no node of ours uses. Each is memory, a start-up cost or a folder outside of ours.
const DISABLED_PLUGINS: [&str; 12] = [
    "io.containerd.differ.v1.erofs",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.monitor.container.v1.restart",
    "io.containerd.monitor.task.v1.cgroups",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
];

impl Config {
    /// The configuration file, version 3, for containerd 2.x.
    #[must_use]
    pub fn to_toml(&self) -> String {
        [
            self.daemon(),
            self.images(),
            self.runtime(),
            self.services(),
        ]
        .join("\n")
    }

    fn daemon(&self) -> String {
        let mut text = Toml::default();
        text.line("# Written by keelson. Changes are lost at the next start.");
        text.number("version", 3);
        text.path("root", &self.root);
        text.path("state", &self.state);
        text.line("disabled_plugins = [");
        for plugin in DISABLED_PLUGINS {
            text.line(&format!("  {},", quoted(plugin)));
        }
        text.line("]");
        text.line("\n[grpc]");
        text.path("address", &self.socket);
        text.line("\n[ttrpc]");
        text.string("address", &format!("{}.ttrpc", self.socket.display()));
        text.0
    }

    fn images(&self) -> String {
        let mut text = Toml::default();
        text.line("[plugins.'io.containerd.cri.v1.images']");
        text.string("snapshotter", "overlayfs");
        text.line("\n[plugins.'io.containerd.cri.v1.images'.pinned_images]");
        text.string("sandbox", &self.sandbox_image);
        if let Some(folder) = &self.registry_config {
            text.line("\n[plugins.'io.containerd.cri.v1.images'.registry]");
            text.path("config_path", folder);
        }
        text.0
    }

    fn runtime(&self) -> String {
        let mut text = Toml::default();
        text.line("[plugins.'io.containerd.cri.v1.runtime']");
        text.flag("enable_cdi", true);
        text.flag("restrict_oom_score_adj", self.restrict_oom_score_adj);
        text.line("# Network namespaces lie under our own state, not in /var/run/netns.");
        text.flag("netns_mounts_under_state_dir", true);
        text.line(
            "# A command that leaves a child behind must not hold up an exec probe for ever.",
        );
        text.string("drain_exec_sync_io_timeout", "5s");
        text.line("\n[plugins.'io.containerd.cri.v1.runtime'.cni]");
        text.paths("bin_dirs", &self.cni_bin_dirs);
        text.path("conf_dir", &self.cni_conf_dir);
        text.line("\n[plugins.'io.containerd.cri.v1.runtime'.containerd]");
        text.string("default_runtime_name", "runc");
        text.line("\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]");
        text.string("runtime_type", "io.containerd.runc.v2");
        text.line("\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]");
        text.path("BinaryName", &self.runtime_binary);
        text.path("Root", &self.state.join("runc"));
        text.flag("SystemdCgroup", self.cgroup_driver == CgroupDriver::Systemd);
        text.0
    }

    fn services(&self) -> String {
        let mut text = Toml::default();
        text.line("[plugins.'io.containerd.transfer.v1.local']");
        text.number("max_concurrent_downloads", self.max_concurrent_downloads);
        text.line("\n[plugins.'io.containerd.nri.v1.nri']");
        text.flag("disable", true);
        text.0
    }
}

#[derive(Default)]
struct Toml(String);

impl Toml {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn number(&mut self, key: &str, value: u32) {
        self.line(&format!("{key} = {value}"));
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.line(&format!("{key} = {value}"));
    }

    fn string(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {}", quoted(value)));
    }

    fn path(&mut self, key: &str, value: &Path) {
        self.string(key, &value.to_string_lossy());
    }

    fn paths(&mut self, key: &str, values: &[PathBuf]) {
        let quoted: Vec<String> = values
            .iter()
            .map(|p| quoted(&p.to_string_lossy()))
            .collect();
        self.line(&format!("{key} = [{}]", quoted.join(", ")));
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            root: "/var/lib/keelson/containerd".into(),
            state: "/run/keelson/containerd".into(),
            socket: "/run/keelson/containerd.sock".into(),
            sandbox_image: "localhost/keelson/pause:1".into(),
            cni_bin_dirs: vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()],
            cni_conf_dir: "/etc/cni/net.d".into(),
            cgroup_driver: CgroupDriver::Cgroupfs,
            restrict_oom_score_adj: true,
            runtime_binary: "/usr/sbin/runc".into(),
            max_concurrent_downloads: 3,
            registry_config: None,
        }
    }

    #[test]
    fn the_file_says_what_was_asked() {
        assert_eq!(config().to_toml(), include_str!("config.golden.toml"));
    }

    #[test]
    fn choices_show() {
        let text = Config {
            cgroup_driver: CgroupDriver::Systemd,
            restrict_oom_score_adj: false,
            registry_config: Some("/etc/certs.d".into()),
            ..config()
        }
        .to_toml();
        for line in [
            "SystemdCgroup = true\n",
            "restrict_oom_score_adj = false\n",
            "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"/etc/certs.d\"\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }

    #[test]
    fn odd_names_stay_one_string() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\u000Ad""#);
    }
}
