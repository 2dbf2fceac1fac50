//! A whole node in a network and mount namespace of its own: started by `keelson up`, with a real
//! containerd, taken down at the end with proof that nothing of it is left.

use crate::eventually::succeeds;
use crate::kubelet::Kubelet;
use crate::leftovers;
use crate::namespace::Namespace;
use crate::requires;
use keelson_bootstrap::layout::Layout;
use serde_json::{Value, json};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub use crate::kubelet::{IMAGE, condition, container_status, ip, is_ready};

/// A node. Dropping it takes it down.
pub struct Node {
    namespace: Namespace,
    folder: TempDir,
    kubelet: Kubelet,
    /// What `keelson up` is told besides.
    wishes: Vec<String>,
}

/// A node is its kubelet, and the namespaces around.
impl Deref for Node {
    type Target = Kubelet;

    fn deref(&self) -> &Kubelet {
        &self.kubelet
    }
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
        node.start_prepared();
        node
    }

    /// Starts a node that was prepared, and gives it the image that test pods run.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it printed.
    pub fn start_prepared(&self) {
        if !self.layout.kubelet_drop_ins().exists() {
            self.configure(&json!({}));
        }
        self.up();
        self.have_test_image();
    }

    /// Joins the cluster that `invitation` is of, which is what follows `keelson` in the command;
    /// whatever comes of it.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn join(&self, invitation: &[String]) -> Output {
        let bin = requires::containerd();
        let more = ["--containerd", bin.to_str().expect("a plain path")];
        let words = invitation.iter().chain(&self.wishes).map(String::as_str);
        self.keelson(&words.chain(more).collect::<Vec<_>>())
    }

    /// Has the image that test pods run.
    ///
    /// # Panics
    /// When containerd does not take it.
    pub fn have_test_image(&self) {
        self.import_test_image(self.folder.path());
    }

    /// The namespace and folders of a node, with nothing running yet.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn prepare() -> Self {
        Self::prepare_for(&["--standalone"])
    }

    /// The same, for a node that `keelson up` gets other wishes for.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn prepare_for(wishes: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("kn")
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let kubelet = Kubelet {
            layout: Layout::new(folder.path()),
            patience: 1,
        };
        Self {
            namespace: Namespace::new(),
            folder,
            kubelet,
            wishes: wishes.iter().map(|&wish| wish.to_owned()).collect(),
        }
    }

    /// The node's own namespaces.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
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
        let output = self.try_up();
        let said = text(&output.stdout);
        assert!(
            output.status.success(),
            "keelson up:\n{said}{}{}",
            text(&output.stderr),
            self.logs()
        );
        said
    }

    /// `keelson up`, whatever comes of it.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn try_up(&self) -> Output {
        let bin = requires::containerd();
        let bin = bin.to_str().expect("a plain path");
        let wishes = self.wishes.iter().map(String::as_str);
        let words: Vec<_> = ["up", "--containerd", bin]
            .into_iter()
            .chain(wishes)
            .collect();
        self.keelson(&words)
    }

    /// A path as the node sees it: its mounts are its own.
    ///
    /// # Panics
    /// When the kubelet does not run.
    #[must_use]
    pub fn seen(&self, path: &Path) -> PathBuf {
        let pid = self.pid_of("kubelet").expect("the kubelet runs");
        let below = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc")
            .join(pid.to_string())
            .join("root")
            .join(below)
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

    /// What a web server inside the node answers, once it does: a container runs before the
    /// program in it listens.
    ///
    /// # Panics
    /// When none answers.
    #[must_use]
    pub fn answer_of(&self, url: &str) -> String {
        let answer = succeeds(|| self.curl(&[url]));
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}{}", self.logs()));
        answer.trim().to_owned()
    }

    /// What is left of the node on the machine: processes, cgroups, mounts, links.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = leftovers::processes_naming(self.folder.path());
        left.extend(leftovers::cgroups(&self.layout.cgroup));
        let root = self.folder.path().to_owned();
        let bridge = self.layout.bridge.clone();
        left.extend(self.namespace.run(move || {
            let mut left = leftovers::mounts(&root);
            left.extend(leftovers::network(&bridge));
            left
        }));
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
