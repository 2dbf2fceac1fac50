//! Whole life of volumes on real mounts, each test in a mount namespace of its own thread.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use serde_json::{Value, json};

use super::*;
use crate::pod_files::Paths;
use crate::volume::mountinfo::mounts_below;
use crate::volume::{Facts, plan, tear_down, tear_down_volumes, usage};

/// A kubelet root in a mount namespace that ends with the test.
struct Node {
    root: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        // Only this thread's view of mounts changes.
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn plan(&self, spec: Value) -> VolumePlan {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"app": "web"}}, "spec": spec,
        }))
        .unwrap();
        plan(&pod, "u1", &Paths::new(self.root.path()), &Facts::default()).unwrap()
    }

    /// Mount points below the pod's directory, with their file systems.
    fn mounted(&self) -> Vec<(String, String)> {
        let table = mount::table().unwrap();
        let pod = self.root.path().join("pods/u1");
        let entries = mounts_below(&table, &pod).into_iter();
        let relative = |path: &Path| path.strip_prefix(&pod).unwrap().display().to_string();
        let mut all: Vec<_> = entries
            .map(|e| (relative(&e.mount_point), e.fs_type.clone()))
            .collect();
        all.sort();
        all
    }
}

fn host(mount: &ReadyMount) -> &Path {
    match &mount.from {
        MountFrom::Host(path) => path,
        MountFrom::Image { .. } => panic!("an image has no path"),
    }
}

const VOLUMES: &str = "volumes/kubernetes.io~";

#[test]
#[ignore = "needs root: make test"]
fn volumes_come_are_adopted_and_go() {
    let node = Node::new();
    let plan = node.plan(json!({
        "securityContext": {"fsGroup": 1234},
        "volumes": [
            {"name": "disk", "emptyDir": {}},
            {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "64Ki"}},
            {"name": "info", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            ]}},
        ],
        "containers": [{"name": "app", "volumeMounts": [
            {"name": "disk", "mountPath": "/disk"},
            {"name": "ram", "mountPath": "/ram"},
            {"name": "info", "mountPath": "/info"},
        ]}],
    }));
    set_up(&plan).unwrap();
    let mounts = prepare_mounts(&plan, "app").unwrap();
    let [disk, ram, info] = [0, 1, 2].map(|at| host(&mounts[at]));
    fs::write(disk.join("kept"), "x").unwrap();
    fs::write(ram.join("kept"), vec![1; 4096]).unwrap();
    let full = fs::write(ram.join("big"), vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    for dir in [disk, ram] {
        let meta = fs::metadata(dir).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.gid()),
            (0o2777, 1234),
            "{}",
            dir.display()
        );
    }
    assert_eq!(
        fs::read_to_string(info.join("labels")).unwrap(),
        "app=\"web\""
    );
    assert_eq!(fs::metadata(info.join("labels")).unwrap().gid(), 1234);
    assert!(mounts[2].read_only);
    assert_eq!(usage(ram, 10).unwrap().bytes, 64 << 10);
    let before = node.mounted();
    let names: Vec<_> = before
        .iter()
        .map(|(at, kind)| (at.as_str(), kind.as_str()))
        .collect();
    let ram_at = format!("{VOLUMES}empty-dir/ram");
    let info_at = format!("{VOLUMES}downward-api/info");
    assert_eq!(
        names,
        [(info_at.as_str(), "tmpfs"), (ram_at.as_str(), "tmpfs")]
    );

    set_up(&plan).unwrap();
    assert_eq!(node.mounted(), before);
    assert!(disk.join("kept").exists() && ram.join("kept").exists());
    let own = Permissions::from_mode(0o700);
    fs::set_permissions(disk, own).unwrap();
    set_up(&plan).unwrap();
    assert_eq!(fs::metadata(disk).unwrap().mode() & 0o7777, 0o700);

    tear_down_volumes(&plan.pod_dir).unwrap();
    assert_eq!(node.mounted(), []);
    assert!(plan.pod_dir.exists());
    tear_down(&plan.pod_dir).unwrap();
    tear_down(&plan.pod_dir).unwrap();
    assert!(!plan.pod_dir.exists());
}

#[test]
#[ignore = "needs root: make test"]
fn sub_paths_are_bound_and_rebound() {
    let node = Node::new();
    let plan = node.plan(json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "app", "volumeMounts": [
            {"name": "v", "mountPath": "/d", "subPath": "a/b"},
            {"name": "v", "mountPath": "/f", "subPath": "file"},
        ]}],
    }));
    set_up(&plan).unwrap();
    let volume = plan.pod_dir.join(format!("{VOLUMES}empty-dir/v"));
    fs::write(volume.join("file"), "one").unwrap();
    let mounts = prepare_mounts(&plan, "app").unwrap();
    fs::write(host(&mounts[0]).join("seen"), "x").unwrap();
    assert!(volume.join("a/b/seen").exists());
    assert_eq!(fs::read_to_string(host(&mounts[1])).unwrap(), "one");
    let bound = node.mounted();
    assert_eq!(bound.len(), 2);

    prepare_mounts(&plan, "app").unwrap();
    assert_eq!(node.mounted(), bound);
    fs::remove_file(volume.join("file")).unwrap();
    fs::write(volume.join("file"), "two").unwrap();
    let mounts = prepare_mounts(&plan, "app").unwrap();
    assert_eq!(fs::read_to_string(host(&mounts[1])).unwrap(), "two");
    assert_eq!(node.mounted(), bound);

    tear_down(&plan.pod_dir).unwrap();
    assert_eq!(node.mounted(), []);
}

#[test]
#[ignore = "needs root: make test"]
fn a_sub_path_never_leaves_its_volume() {
    let node = Node::new();
    let plan = node.plan(json!({
        "volumes": [{"name": "v", "emptyDir": {}}],
        "containers": [{"name": "app", "volumeMounts": [
            {"name": "v", "mountPath": "/d", "subPath": "trap/etc"},
        ]}],
    }));
    set_up(&plan).unwrap();
    let volume = plan.pod_dir.join(format!("{VOLUMES}empty-dir/v"));
    symlink("/", volume.join("trap")).unwrap();
    let error = prepare_mounts(&plan, "app").unwrap_err();
    assert!(matches!(error, SetUpError::Escape { .. }), "{error}");
    assert_eq!(node.mounted(), []);
    tear_down(&plan.pod_dir).unwrap();
}

#[test]
#[ignore = "needs root: make test"]
fn teardown_spares_what_a_bind_mount_shows() {
    let node = Node::new();
    let plan = node.plan(json!({
        "volumes": [{"name": "v", "emptyDir": {}}], "containers": [],
    }));
    set_up(&plan).unwrap();
    let precious = node.root.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("data"), "x").unwrap();
    let inside = plan.pod_dir.join(format!("{VOLUMES}empty-dir/v/inside"));
    fs::create_dir(&inside).unwrap();
    let source = super::super::dir::open(&precious).unwrap();
    mount::bind(std::os::fd::AsFd::as_fd(&source), &inside).unwrap();
    // Removal alone, without unmounting, stops at the mount.
    let left = super::super::dir::remove_tree(&plan.pod_dir);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(precious.join("data").exists());
    tear_down(&plan.pod_dir).unwrap();
    assert!(precious.join("data").exists() && !plan.pod_dir.exists());
}

#[test]
#[ignore = "needs root: make test"]
fn a_busy_mount_is_detached() {
    let node = Node::new();
    let plan = node.plan(json!({
        "volumes": [{"name": "ram", "emptyDir": {"medium": "Memory"}}], "containers": [],
    }));
    set_up(&plan).unwrap();
    let ram = plan.pod_dir.join(format!("{VOLUMES}empty-dir/ram"));
    let open = fs::File::create(ram.join("open")).unwrap();
    tear_down(&plan.pod_dir).unwrap();
    assert!(!plan.pod_dir.exists());
    drop(open);
}

#[test]
#[ignore = "needs root: make test"]
fn a_read_only_disk_is_named() {
    let node = Node::new();
    let target = node.root.path().to_owned();
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "ro", "tmpfs"])
        .arg(&target);
    assert!(mount.status().unwrap().success());
    let plan = node.plan(json!({
        "volumes": [{"name": "v", "emptyDir": {}}], "containers": [],
    }));
    let error = set_up(&plan).unwrap_err().to_string();
    assert!(error.contains("volume \"v\": create directory"), "{error}");
    assert!(error.contains("Read-only file system"), "{error}");
}
