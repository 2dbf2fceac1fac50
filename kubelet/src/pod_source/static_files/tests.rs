//! A real folder and real inotify: edits, backups, renames, broken files, folders that come late.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{StaticFiles, is_ignored};
use crate::pod_source::SourceSnapshot;

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: c\n    image: {image}\n"
    )
}

struct Bench {
    folder: PathBuf,
    snapshots: watch::Receiver<Arc<SourceSnapshot>>,
    _temp: TempDir,
    _stop: DropGuard,
}

impl Bench {
    /// A source on `path` in a new folder, prepared by `prepare`.
    fn start(path: &str, audit: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        prepare(temp.path());
        let (sender, snapshots) = watch::channel(Arc::new(SourceSnapshot::default()));
        let cancelled = CancellationToken::new();
        let path = temp.path().join(path);
        let source = StaticFiles::new(path, "n".to_owned(), audit);
        tokio::spawn(source.run(sender, cancelled.clone()));
        Self {
            folder: temp.path().to_owned(),
            snapshots,
            _temp: temp,
            _stop: cancelled.drop_guard(),
        }
    }

    fn folder() -> Self {
        Self::start("", Duration::from_secs(3600), |_| {})
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    async fn until(
        &mut self,
        what: &str,
        right: impl Fn(&SourceSnapshot) -> bool,
    ) -> Arc<SourceSnapshot> {
        let found = timeout(
            Duration::from_secs(10),
            self.snapshots.wait_for(|s| right(s)),
        )
        .await;
        found
            .unwrap_or_else(|_| panic!("never saw {what}"))
            .unwrap()
            .clone()
    }

    async fn ready(&mut self) {
        self.until("the first snapshot", |s| s.ready).await;
    }

    async fn names(&mut self, names: &[&str]) -> Arc<SourceSnapshot> {
        let wanted: Vec<_> = names.iter().map(|n| format!("{n}-n")).collect();
        self.until(&format!("pods {names:?}"), |s| {
            let got: Vec<_> = s
                .pods
                .iter()
                .filter_map(|p| p.pod.metadata.name.clone())
                .collect();
            s.ready && got == wanted
        })
        .await
    }
}

#[tokio::test]
async fn follows_files_as_they_come_change_and_go() {
    let mut bench = Bench::folder();
    bench.ready().await;
    bench.write("a.yaml", &pod("a", "x"));
    let first = bench.names(&["a"]).await;
    bench.write(
        "b.json",
        &serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        })
        .to_string(),
    );
    bench.names(&["a", "b"]).await;
    bench.write("a.yaml", &pod("a", "other"));
    let uid = first.pods[0].uid.clone();
    bench.until("another uid", |s| s.pods[0].uid != uid).await;
    fs::remove_file(bench.folder.join("a.yaml")).unwrap();
    bench.names(&["b"]).await;
}

#[tokio::test]
async fn reads_what_is_there_at_the_start() {
    let mut bench = Bench::start("", Duration::from_secs(3600), |folder| {
        fs::write(folder.join("a.yaml"), pod("a", "x")).unwrap();
        fs::create_dir(folder.join("sub")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    let snapshot = bench.names(&["a"]).await;
    assert_eq!(snapshot.problems, []);
}

#[tokio::test]
async fn a_file_renamed_into_place_counts_at_once() {
    let mut bench = Bench::folder();
    bench.ready().await;
    bench.write(".a.yaml.new", &pod("a", "x"));
    let start = Instant::now();
    fs::rename(
        bench.folder.join(".a.yaml.new"),
        bench.folder.join("a.yaml"),
    )
    .unwrap();
    bench.names(&["a"]).await;
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_editor_that_moves_the_file_aside_never_takes_the_pod_away() {
    let mut bench = Bench::folder();
    bench.ready().await;
    bench.write("a.yaml", &pod("a", "x"));
    bench.names(&["a"]).await;
    bench.write("4913", "");
    fs::rename(bench.folder.join("a.yaml"), bench.folder.join("a.yaml~")).unwrap();
    bench.write("a.yaml", &pod("a", "other"));
    let snapshot = bench
        .until("the new image", |s| {
            assert_eq!(s.pods.len(), 1, "the pod was gone for a moment");
            let spec = s.pods[0].pod.spec.as_ref().unwrap();
            spec.containers[0].image.as_deref() == Some("other")
        })
        .await;
    assert_eq!(snapshot.problems, []);
}

#[tokio::test]
async fn a_broken_file_is_reported_and_leaves_its_pod_alone() {
    let mut bench = Bench::folder();
    bench.ready().await;
    bench.write("a.yaml", &pod("a", "x"));
    let before = bench.names(&["a"]).await;
    bench.write("a.yaml", &pod("a", "x").replace("image:", "imagee:"));
    let after = bench.until("a problem", |s| !s.problems.is_empty()).await;
    assert_eq!(after.pods[0].uid, before.pods[0].uid);
    assert_eq!(
        (after.problems[0].line, after.problems[0].field.as_str()),
        (8, "spec.containers[0].imagee")
    );
    bench.write("a.yaml", &pod("a", "z"));
    let healed = bench.until("no problem", |s| s.problems.is_empty()).await;
    assert_ne!(healed.pods[0].uid, before.pods[0].uid);
}

#[tokio::test]
async fn a_folder_may_come_late_and_go() {
    let mut bench = Bench::start("etc/manifests", Duration::from_secs(3600), |_| {});
    bench.ready().await;
    let folder = bench.folder.join("etc/manifests");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.yaml"), pod("a", "x")).unwrap();
    bench.names(&["a"]).await;
    fs::remove_dir_all(&folder).unwrap();
    bench.names(&[]).await;
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("b.yaml"), pod("b", "x")).unwrap();
    bench.names(&["b"]).await;
}

#[tokio::test]
async fn one_file_can_be_the_source() {
    let mut bench = Bench::start("a.yaml", Duration::from_secs(3600), |folder| {
        fs::write(folder.join("a.yaml"), pod("a", "x")).unwrap();
        fs::write(folder.join("b.yaml"), pod("b", "x")).unwrap();
    });
    bench.names(&["a"]).await;
    bench.write("b.yaml", &pod("b", "other"));
    bench.write("a.yaml", &pod("a2", "x"));
    bench.names(&["a2"]).await;
}

#[tokio::test]
async fn the_audit_sees_what_inotify_does_not_tell() {
    let mut bench = Bench::start("", Duration::from_millis(20), |folder| {
        fs::create_dir(folder.join(".real")).unwrap();
        fs::write(folder.join(".real/a"), pod("a", "x")).unwrap();
        std::os::unix::fs::symlink(".real/a", folder.join("a.yaml")).unwrap();
    });
    bench.names(&["a"]).await;
    // The link stays as it is; only what it leads to changes.
    bench.write(".real/a", &pod("b", "x"));
    bench.names(&["b"]).await;
}

#[test]
fn ignores_what_editors_leave() {
    for name in [
        ".a.yaml.swp",
        "a.yaml~",
        "#a.yaml#",
        "4913",
        "a.swp",
        ".hidden",
        "a.tmp",
        "a.yaml.dpkg-new",
    ] {
        assert!(is_ignored(OsStr::new(name)), "{name}");
    }
    for name in ["a.yaml", "a.json", "a", "#a", "49130"] {
        assert!(!is_ignored(OsStr::new(name)), "{name}");
    }
}
