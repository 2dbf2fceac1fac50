//! The rotator over real files and a runtime that is a few lines long.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

/// Opens files anew as a runtime does, and tells what it did.
struct Runtime {
    path: PathBuf,
    writer: Arc<Mutex<File>>,
    refuse: Arc<Mutex<u32>>,
    reopened: mpsc::Sender<bool>,
}

impl Reopen for Runtime {
    fn reopen(&self, container_id: String) -> BoxFuture<'static, Result<(), String>> {
        let refused = {
            let mut left = self.refuse.lock();
            let refused = *left > 0;
            *left = left.saturating_sub(1);
            refused
        };
        if !refused {
            *self.writer.lock() = append(&self.path);
        }
        let reopened = self.reopened.clone();
        Box::pin(async move {
            assert_eq!(container_id, "c1");
            reopened.send(!refused).await.unwrap();
            if refused {
                Err("no".to_owned())
            } else {
                Ok(())
            }
        })
    }
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.append(true).create(true).open(path).unwrap()
}

struct Node {
    directory: TempDir,
    writer: Arc<Mutex<File>>,
    refuse: Arc<Mutex<u32>>,
    reopened: mpsc::Receiver<bool>,
    logs: watch::Sender<Arc<Vec<RunningLog>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

const POLICY: RotationPolicy = RotationPolicy {
    max_size: 1000,
    max_files: 3,
};

impl Node {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let writer = Arc::new(Mutex::new(append(&path)));
        let refuse = Arc::new(Mutex::new(0));
        let (sender, reopened) = mpsc::channel(8);
        let log = RunningLog {
            container_id: "c1".into(),
            path: path.clone(),
        };
        let (logs, running) = watch::channel(Arc::new(vec![log]));
        let runtime = Runtime {
            path,
            writer: Arc::clone(&writer),
            refuse: Arc::clone(&refuse),
            reopened: sender,
        };
        let shutdown = CancellationToken::new();
        let task = run(POLICY, 1, Arc::new(runtime), running, shutdown.clone());
        Self {
            directory,
            writer,
            refuse,
            reopened,
            logs,
            shutdown,
            task: tokio::spawn(task),
        }
    }

    fn write(&self, bytes: usize) {
        self.writer.lock().write_all(&vec![b'x'; bytes]).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_log_is_rotated_and_an_old_one_compressed_then_removed() {
    let mut node = Node::start();
    for round in 0..4 {
        node.write(1500);
        assert_eq!(node.reopened.recv().await, Some(true), "round {round}");
    }
    node.write(10);
    let names = node.names();
    assert_eq!(names[0], "0.log");
    assert!(names.len() >= 3, "{names:?}");
    let rotated = names
        .iter()
        .filter(|name| !name.ends_with(".gz") && !name.ends_with(".tmp") && *name != "0.log");
    assert!(rotated.count() >= 1);
    assert_eq!(
        fs::metadata(node.directory.path().join("0.log"))
            .unwrap()
            .len(),
        10
    );
    node.stop().await;
}

#[tokio::test]
async fn a_log_below_its_limit_is_left_alone_until_it_grows() {
    let mut node = Node::start();
    node.write(999);
    tokio::task::yield_now().await;
    assert_eq!(node.names(), ["0.log"]);
    node.write(1);
    assert_eq!(node.reopened.recv().await, Some(true));
    node.stop().await;
}

#[tokio::test]
async fn a_runtime_that_refuses_leaves_the_log_in_place() {
    let mut node = Node::start();
    *node.refuse.lock() = 1;
    node.write(2000);
    assert_eq!(node.reopened.recv().await, Some(false));
    // The rename back follows the refusal; the directory ends with one file again.
    while node.names() != ["0.log"] {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        fs::metadata(node.directory.path().join("0.log"))
            .unwrap()
            .len(),
        2000
    );
    node.stop().await;
}

#[tokio::test]
async fn a_missing_log_is_opened_anew() {
    let mut node = Node::start();
    fs::remove_file(node.directory.path().join("0.log")).unwrap();
    let again = Arc::new(Vec::clone(&node.logs.borrow()));
    node.logs.send_replace(Arc::new(Vec::new()));
    tokio::task::yield_now().await;
    node.logs.send_replace(again);
    assert_eq!(node.reopened.recv().await, Some(true));
    assert_eq!(node.names(), ["0.log"]);
    node.stop().await;
}

#[tokio::test]
async fn a_container_that_stopped_is_not_rotated() {
    let mut node = Node::start();
    node.logs.send_replace(Arc::new(Vec::new()));
    tokio::task::yield_now().await;
    node.write(5000);
    node.stop_and_drain().await;
}

impl Node {
    async fn stop_and_drain(&mut self) {
        self.shutdown.cancel();
        assert_eq!(self.reopened.recv().await, None);
        assert_eq!(self.names(), ["0.log"]);
    }
}
