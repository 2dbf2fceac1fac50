//! A kubelet as a test sees it: by its folder of manifests, its unix socket and its logs. How it was
//! started, and where, is another's business.

use crate::eventually::{LEAST, STEP};
use crate::requires;
use keelson_bootstrap::daemon;
use keelson_bootstrap::layout::Layout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The image that test pods run: busybox under all its names.
pub const IMAGE: &str = keelson_bootstrap::demo::IMAGE;

/// A kubelet, whether it runs or not.
#[derive(Debug)]
pub struct Kubelet {
    /// Where everything of it is.
    pub layout: Layout,
    /// How many times longer than usual anything may take: an emulated machine is slow.
    pub patience: u64,
}

impl Kubelet {
    /// Adds fields to the kubelet's configuration, for its next start.
    ///
    /// # Panics
    /// When the drop-in file cannot be written.
    pub fn configure(&self, fields: &Value) {
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": { "anonymous": { "enabled": true } },
            // How full the disk of the machine is that runs the tests must not matter.
            "evictionHard": { "memory.available": "100Mi" },
        });
        let extra = fields.as_object().expect("an object of fields").clone();
        config.as_object_mut().expect("an object").extend(extra);
        let folder = self.layout.kubelet_drop_ins();
        fs::create_dir_all(&folder).expect("the folder of drop-ins");
        fs::write(folder.join("10-test.conf"), config.to_string()).expect("a drop-in");
    }

    /// Has the image of the test pods; `work` is a folder for its files.
    ///
    /// # Panics
    /// When it cannot be built or containerd does not take it.
    pub fn import_test_image(&self, work: &Path) {
        let rootfs = work.join("rootfs");
        keelson_bootstrap::demo::lay_out(&rootfs, &requires::busybox()).expect("the image's files");
        let archive = work.join("image.tar");
        let run = |command: &mut Command| {
            let output = command.output().expect("keelson runs");
            assert!(
                output.status.success(),
                "{command:?}: {}",
                text(&output.stderr)
            );
        };
        let keelson = || Command::new(requires::keelson());
        run(keelson()
            .args(["image", "build", "--tag", IMAGE])
            .args([&rootfs, &archive]));
        let socket = self.layout.containerd_socket();
        run(keelson()
            .args(["image", "import", "--tag", IMAGE, "--socket"])
            .args([&socket, &archive]));
        fs::remove_dir_all(&rootfs).expect("the image's files go");
    }

    /// Puts a manifest into the folder, in one step.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn apply(&self, name: &str, manifest: &Value) {
        self.write_manifest(&format!("{name}.yaml"), &manifest.to_string());
    }

    /// Puts a file with any text into the folder of manifests, in one step.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_manifest(&self, file: &str, text: &str) {
        let folder = self.layout.manifests();
        let hidden = folder.join(format!(".{file}"));
        fs::write(&hidden, text).expect("a manifest");
        fs::rename(&hidden, folder.join(file)).expect("the manifest's name");
    }

    /// Takes a manifest away.
    ///
    /// # Panics
    /// When there is none.
    pub fn delete(&self, name: &str) {
        fs::remove_file(self.layout.manifests().join(format!("{name}.yaml"))).expect("a manifest");
    }

    /// The pods that the kubelet tells of, or none while it does not answer.
    #[must_use]
    pub fn pods(&self) -> Vec<Value> {
        let list = self
            .get("/pods")
            .and_then(|body| serde_json::from_slice(&body).ok());
        let list: Value = list.unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// A pod by the name in its manifest. (The kubelet adds the node's name to a static pod's.)
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<Value> {
        let with_node = format!("{name}-");
        self.pods().into_iter().find(|pod| {
            let told = pod["metadata"]["name"].as_str().unwrap_or_default();
            told == name || told.starts_with(&with_node)
        })
    }

    /// Waits until a pod satisfies `condition` and returns it.
    ///
    /// # Panics
    /// When it does not within `seconds` times our patience, and a minute at least; the message shows its last state.
    pub fn wait(&self, name: &str, seconds: u64, condition: impl Fn(&Value) -> bool) -> Value {
        let patience = Duration::from_secs(seconds * self.patience).max(LEAST);
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let pod = self.pod(name);
            if let Some(pod) = pod.as_ref().filter(|pod| condition(pod)) {
                return pod.clone();
            }
            if tokio::time::Instant::now() >= deadline {
                let status = pod.map(|pod| pod["status"].clone());
                panic!(
                    "pod {name} not as expected within {patience:?}: {status:#?}{}",
                    self.logs()
                );
            }
            std::thread::sleep(STEP);
        }
    }

    /// Waits until a pod is ready and returns it.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn wait_ready(&self, name: &str) -> Value {
        self.wait(name, 60, is_ready)
    }

    /// Waits until the kubelet knows no such pod.
    ///
    /// # Panics
    /// When it still does after a minute.
    pub fn wait_gone(&self, name: &str) {
        crate::assert_eventually!(
            60,
            self.pod(name).is_none(),
            "pod {name} is gone{}",
            self.logs()
        );
    }

    /// The answer to a GET at the kubelet's unix socket, when it is a success.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let mut stream = UnixStream::connect(self.layout.kubelet_socket()).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..split]);
        let success = head
            .split_whitespace()
            .nth(1)
            .is_some_and(|code| code.starts_with('2'));
        success.then(|| answer[split + 4..].to_vec())
    }

    /// The process of a daemon, `containerd` or `kubelet`.
    #[must_use]
    pub fn pid_of(&self, daemon: &str) -> Option<i32> {
        daemon::running(&self.layout.lock_of(daemon)).map(|running| running.pid)
    }

    /// Kills a daemon without warning and waits until it is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self, daemon: &str) {
        let pid = self
            .pid_of(daemon)
            .unwrap_or_else(|| panic!("{daemon} runs"));
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the daemon is ours");
        crate::assert_eventually!(5, self.pid_of(daemon).is_none(), "{daemon} is gone");
    }

    /// Waits until what the kubelet tells of its pods is on disk, so that the next one tells the
    /// same even after a reboot.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn wait_saved(&self) {
        let state = self.layout.kubelet_state().join("pods");
        let saved = |pod: &Value| {
            let uid = pod["metadata"]["uid"].as_str().expect("a uid");
            let text = fs::read(state.join(format!("{uid}.json"))).unwrap_or_default();
            let record: Value = serde_json::from_slice(&text).unwrap_or_default();
            is_in_record(pod, &record)
        };
        crate::assert_eventually!(
            60,
            self.pods().iter().all(saved),
            "{} holds what is told{}",
            state.display(),
            self.logs()
        );
    }

    /// The text of a container's current log.
    #[must_use]
    pub fn log(&self, pod: &Value, container: &str) -> String {
        let meta = &pod["metadata"];
        let field = |name: &str| meta[name].as_str().unwrap_or_default().to_owned();
        let folder = format!("{}_{}_{}", field("namespace"), field("name"), field("uid"));
        let folder = self.layout.pod_logs().join(folder).join(container);
        let restarts = container_status(pod, container)["restartCount"]
            .as_u64()
            .unwrap_or(0);
        fs::read_to_string(folder.join(format!("{restarts}.log"))).unwrap_or_default()
    }

    /// The ends of the daemons' logs, for messages.
    #[must_use]
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let log = fs::read(self.layout.log_of(name)).unwrap_or_else(|_| journal(name));
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<_> = log.lines().collect();
            format!(
                "\n--- {name} ---\n{}",
                lines[lines.len().saturating_sub(20)..].join("\n")
            )
        };
        tail("kubelet") + &tail("containerd")
    }
}

/// The end of what a unit's daemon wrote, where systemd runs it.
fn journal(daemon: &str) -> Vec<u8> {
    let unit = keelson_bootstrap::units::unit_of(daemon);
    let output = Command::new("journalctl")
        .args(["--no-pager", "--output=cat", "--lines=40", "--unit", &unit])
        .output();
    output.map(|output| output.stdout).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a pod's record on disk holds what is told of it: each condition that the record knows,
/// with the second in which it changed.
fn is_in_record(pod: &Value, record: &Value) -> bool {
    let Some(recorded) = record["memory"]["conditions"].as_object() else {
        return false;
    };
    let second = |time: &Value| {
        time.as_str()
            .and_then(|text| text.get(..19))
            .map(str::to_owned)
    };
    recorded.iter().all(|(kind, held_since)| {
        condition(pod, kind).is_some_and(|told| {
            (told["status"] == "True") == (held_since[0] == true)
                && second(&told["lastTransitionTime"]) == second(&held_since[1])
        })
    })
}

/// Whether a pod's `Ready` condition holds.
#[must_use]
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|one| one["status"] == "True")
}

/// A pod's condition by its type.
#[must_use]
pub fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|one| one["type"] == kind)
}

/// A container's status by its name, init containers included; null when there is none.
#[must_use]
pub fn container_status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let all = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    all.into_iter()
        .find(|one| one["name"] == name)
        .unwrap_or(&Value::Null)
}

/// A pod's first address.
#[must_use]
pub fn ip(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap_or_default()
}
