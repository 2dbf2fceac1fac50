//! A whole node in a network and mount namespace of its own: started by `keelson up`, with a real
//! containerd, taken down at the end with proof that nothing of it is left.

use crate::namespace::Namespace;
use crate::requires;
use keelson_bootstrap::daemon;
use keelson_bootstrap::layout::Layout;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

/// The image that test pods run: busybox under all its names.
pub const IMAGE: &str = keelson_bootstrap::demo::IMAGE;

/// A node. Dropping it takes it down.
pub struct Node {
    namespace: Namespace,
    folder: TempDir,
    /// Where everything of it is.
    pub layout: Layout,
}

impl Node {
    /// A node with the configuration that `keelson up` writes.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it printed.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&json!({}))
    }

    /// A node whose `KubeletConfiguration` has these fields besides.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it printed.
    #[must_use]
    pub fn with(config: &Value) -> Self {
        let node = Self::prepare();
        node.configure(config);
        node.up();
        node.import_test_image();
        node
    }

    /// The namespace and folders of a node, with nothing running yet.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn prepare() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("kn")
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let layout = Layout::new(folder.path());
        Self {
            namespace: Namespace::new(),
            folder,
            layout,
        }
    }

    /// Adds fields to the kubelet's configuration, for its next start.
    ///
    /// # Panics
    /// When the drop-in file cannot be written.
    pub fn configure(&self, fields: &Value) {
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": { "anonymous": { "enabled": true } },
        });
        let extra = fields.as_object().expect("an object of fields").clone();
        config.as_object_mut().expect("an object").extend(extra);
        let folder = self.layout.kubelet_drop_ins();
        fs::create_dir_all(&folder).expect("the folder of drop-ins");
        fs::write(folder.join("10-test.conf"), config.to_string()).expect("a drop-in");
    }

    /// Runs `keelson` with arguments inside the node's namespaces.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn keelson(&self, args: &[&str]) -> Output {
        let mut command = Command::new(requires::keelson());
        command.args(args).arg("--root").arg(self.folder.path());
        self.within(command)
    }

    /// Runs a command inside the node's namespaces.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn within(&self, mut command: Command) -> Output {
        self.namespace
            .run(move || command.output().expect("the command runs"))
    }

    /// `keelson up`; what runs already stays.
    ///
    /// # Panics
    /// When it fails.
    pub fn up(&self) -> String {
        let bin = requires::containerd();
        let bin = bin.to_str().expect("a plain path");
        let output = self.keelson(&["up", "--containerd", bin]);
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
    pub fn down(&self) -> String {
        let output = self.keelson(&["down", "--purge"]);
        let said = text(&output.stdout);
        assert!(
            output.status.success(),
            "keelson down:\n{said}{}",
            text(&output.stderr)
        );
        said
    }

    fn import_test_image(&self) {
        let rootfs = self.folder.path().join("rootfs");
        keelson_bootstrap::demo::lay_out(&rootfs, &requires::busybox()).expect("the image's files");
        let archive = self.folder.path().join("image.tar");
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
    /// When it does not within `seconds`; the message shows its last state.
    pub fn wait(&self, name: &str, seconds: u64, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
        loop {
            let pod = self.pod(name);
            if let Some(pod) = pod.as_ref().filter(|pod| condition(pod)) {
                return pod.clone();
            }
            if tokio::time::Instant::now() >= deadline {
                let status = pod.map(|pod| pod["status"].clone());
                panic!(
                    "pod {name} not as expected within {seconds} s: {status:#?}{}",
                    self.logs()
                );
            }
            std::thread::sleep(crate::eventually::STEP);
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

    /// What curl gets inside the node: an address of a pod, or `https://localhost:10250/...`.
    ///
    /// # Errors
    /// What curl said.
    pub fn curl(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--insecure",
            "--max-time",
            "10",
        ]);
        command.args(args);
        let output = self.within(command);
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
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

    /// Waits until what the kubelet knows is on disk: nothing was written for a while. What it
    /// learned in the last tenth of a second may be learned anew after a kill.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub fn wait_saved(&self) {
        let state = self.layout.kubelet_state().join("pods");
        let quiet = || {
            let files = fs::read_dir(&state).into_iter().flatten().flatten();
            let written = files.filter_map(|file| file.metadata().ok()?.modified().ok());
            let ages = written.map(|time| time.elapsed().unwrap_or_default());
            ages.min()
                .is_none_or(|age| age > Duration::from_millis(500))
        };
        crate::assert_eventually!(30, quiet(), "{} comes to rest", state.display());
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
            let log = fs::read(self.layout.log_of(name)).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<_> = log.lines().collect();
            format!(
                "\n--- {name} ---\n{}",
                lines[lines.len().saturating_sub(20)..].join("\n")
            )
        };
        tail("kubelet") + &tail("containerd")
    }

    /// What is left of the node on the machine: processes, cgroups, mounts, links.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = processes_naming(self.folder.path());
        left.extend(cgroups(&self.layout.cgroup));
        let root = self.folder.path().to_owned();
        let bridge = self.layout.bridge.clone();
        left.extend(self.namespace.run(move || mounts_and_links(&root, &bridge)));
        left
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let output = self.keelson(&["down", "--purge"]);
        if std::thread::panicking() {
            return;
        }
        assert!(
            output.status.success(),
            "keelson down: {}",
            text(&output.stderr)
        );
        let left = self.leftovers();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn processes_naming(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).ok();
    pids.filter(|pid| Some(*pid) != own)
        .filter_map(|pid| {
            let line = text(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
            line.contains(folder.to_str()?)
                .then(|| format!("process {pid}: {line}"))
        })
        .collect()
}

fn cgroups(name: &str) -> Vec<String> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    let entries = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    roots.extend(entries.map(|entry| entry.path()));
    let ours = roots
        .into_iter()
        .map(|root| root.join(name.trim_start_matches('/')));
    ours.filter(|path| path.exists())
        .map(|path| format!("cgroup {}", path.display()))
        .collect()
}

fn mounts_and_links(root: &Path, bridge: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("mountinfo");
    let root = root.to_str().expect("a plain path");
    let mut left: Vec<_> = mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(4)
                .is_some_and(|point| point.starts_with(root))
        })
        .map(|line| format!("mount {line}"))
        .collect();
    let links = fs::read_to_string("/proc/thread-self/net/dev").expect("net/dev");
    let names = links
        .lines()
        .skip(2)
        .filter_map(|line| line.split(':').next())
        .map(str::trim);
    left.extend(
        names
            .filter(|name| *name == bridge || name.starts_with("veth"))
            .map(|n| format!("link {n}")),
    );
    let rules = Command::new("nft").args(["list", "tables"]).output();
    let rules = rules.map(|output| text(&output.stdout)).unwrap_or_default();
    left.extend(rules.lines().map(|line| format!("nft {line}")));
    left
}
