//! The node of a whole machine: `keelson up` as its administrator runs it, with systemd as process 1
//! and the machine's own folders. For cases that run inside the machine which `tests/vm` boots,
//! where nothing else is and whatever they break is thrown away.

use crate::eventually::succeeds;
use crate::kubelet::Kubelet;
use crate::{leftovers, requires};
use keelson_bootstrap::layout::Layout;
use serde_json::{Value, json};
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// How much slower than a machine a machine in QEMU may be.
const PATIENCE: u64 = 6;

/// What the kernel has as cgroup v2.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The kubelet and runc, by hand.
    Cgroupfs,
    /// systemd, asked by them.
    Systemd,
}

impl Driver {
    const fn word(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
        }
    }
}

/// The machine's own node. A case which fails takes it down, so that the next begins anew; one
/// which succeeds leaves it to the next, without pods.
pub struct Machine {
    kubelet: Kubelet,
    /// Who makes its cgroups.
    pub driver: Driver,
    keeps_pods: bool,
}

/// A machine is its kubelet, and the system around.
impl Deref for Machine {
    type Target = Kubelet;

    fn deref(&self) -> &Kubelet {
        &self.kubelet
    }
}

impl Machine {
    /// The machine as it is, node or not.
    #[must_use]
    pub fn as_it_is(driver: Driver) -> Self {
        let kubelet = Kubelet {
            layout: Layout::new(Path::new("/")),
            patience: PATIENCE,
        };
        Self {
            kubelet,
            driver,
            keeps_pods: false,
        }
    }

    /// The machine with its node up: what is up already with this driver stays.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it printed.
    #[must_use]
    pub fn up(driver: Driver) -> Self {
        let machine = Self::as_it_is(driver);
        let config = fs::read_to_string(machine.layout.kubelet_config()).unwrap_or_default();
        let there = |driver: Driver| config.contains(&format!("\"{}\"", driver.word()));
        if !config.is_empty() && !there(driver) {
            machine.down();
        }
        if machine.layout.manifests().exists() {
            machine.keelson_up();
        } else {
            machine.configure(&json!({ "podPidsLimit": 200 }));
            machine.keelson_up();
            machine.import_test_image(Path::new("/var/tmp"));
        }
        machine
    }

    /// `keelson up` with the driver named; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn keelson_up(&self) -> String {
        let output = self.keelson(&["up", "--standalone", "--cgroup-driver", self.driver.word()]);
        let said = text(&output.stdout);
        assert!(
            output.status.success(),
            "keelson up:\n{said}{}{}",
            text(&output.stderr),
            self.logs()
        );
        said
    }

    /// `keelson down --purge`, checked for success.
    ///
    /// # Panics
    /// When it fails.
    pub fn down(&self) {
        let output = self.keelson(&["down", "--purge"]);
        assert!(
            output.status.success(),
            "keelson down:\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }

    /// Runs `keelson`.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn keelson(&self, args: &[&str]) -> Output {
        run(Command::new(requires::keelson()).args(args))
    }

    /// What a web server on this machine answers, once it does.
    ///
    /// # Panics
    /// When none answers.
    #[must_use]
    pub fn answer_of(&self, url: &str) -> String {
        let answer = succeeds(|| {
            let output = run(Command::new("busybox").args(["wget", "-q", "-O", "-", url]));
            match output.status.success() {
                true => Ok(text(&output.stdout)),
                false => Err(text(&output.stderr)),
            }
        });
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}{}", self.logs()));
        answer.trim().to_owned()
    }

    /// Leaves the pods to whoever comes after.
    pub fn keep_pods(mut self) {
        self.keeps_pods = true;
    }

    /// A property of a unit of ours (`containerd`, `kubelet`), as `systemctl show` tells it.
    #[must_use]
    pub fn unit_property(&self, daemon: &str, property: &str) -> String {
        let unit = keelson_bootstrap::units::unit_of(daemon);
        let output =
            run(Command::new("systemctl").args(["show", "--value", "-p", property, &unit]));
        text(&output.stdout).trim().to_owned()
    }

    /// The folder of the cgroup of a pod that is running.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn pod_cgroup(&self, pod: &Value) -> PathBuf {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
        let id = id
            .and_then(|id| id.rsplit('/').next())
            .expect("a container");
        let found =
            find_cgroup(Path::new(CGROUPS), id).expect("a cgroup named after the container");
        found.parent().expect("the pod's cgroup").to_owned()
    }

    /// The folder of the cgroup of a container that is running.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn container_cgroup(&self, id: &str) -> PathBuf {
        find_cgroup(Path::new(CGROUPS), id).expect("a cgroup named after the container")
    }

    /// What is left of a node that was taken down.
    ///
    /// # Panics
    /// When the machine cannot be looked at.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let layout = &self.layout;
        let mut left = Vec::new();
        for folder in layout.folders() {
            left.extend(leftovers::processes_naming(folder));
            left.extend(leftovers::mounts(folder));
            if folder.exists() {
                left.push(format!("folder {}", folder.display()));
            }
        }
        left.extend(leftovers::cgroups(&layout.cgroup));
        left.extend(leftovers::cgroups(&layout.slice()));
        left.extend(leftovers::network(&layout.bridge));
        left.extend(
            units_named("*keelson*")
                .into_iter()
                .filter(|unit| !unit.contains("keelson-vm")),
        );
        left.extend(units_named("cri-containerd-*"));
        left
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.keelson(&["down", "--purge"]);
        } else if !self.keeps_pods {
            for entry in fs::read_dir(self.layout.manifests())
                .into_iter()
                .flatten()
                .flatten()
            {
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(name) = name.strip_suffix(".yaml") {
                    self.delete(name);
                    self.wait_gone(name);
                }
            }
        }
    }
}

/// Units and units' files that systemd knows by this pattern, in whatever state.
fn units_named(pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    for list in ["list-units", "list-unit-files"] {
        let output =
            run(Command::new("systemctl").args([list, "--all", "--plain", "--no-legend", pattern]));
        found.extend(
            text(&output.stdout)
                .lines()
                .map(|line| format!("{list}: {line}")),
        );
    }
    found
}

fn find_cgroup(folder: &Path, id: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.contains(id) {
            Some(path)
        } else {
            find_cgroup(&path, id)
        }
    })
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be run.
pub fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
