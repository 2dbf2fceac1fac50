//! Disks that are full or read-only: told with the path, harmless for what runs, and over by
//! itself once there is room again.

use keelson_tests::node::{Node, container_status};
use keelson_tests::scenario::{LAST, pod};
use std::path::Path;
use std::process::Command;

/// Runs a program in the node's namespaces.
fn run(node: &Node, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args);
    let output = node.within(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Puts a small file system where a folder is going to be.
fn small_disk(node: &Node, folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let size = "size=512k,mode=755";
    run(
        node,
        "mount",
        &["-t", "tmpfs", "-o", size, "tmpfs", text(folder)],
    );
}

fn filler(folder: &Path) -> String {
    format!("{}/filler", text(folder))
}

/// Writes until nothing goes in any more.
fn fill(node: &Node, folder: &Path) {
    let fill = format!("cat /dev/zero >{} 2>/dev/null; true", filler(folder));
    run(node, "sh", &["-c", &fill]);
}

/// As a disk that found an error in itself does.
fn turn_read_only(node: &Node, folder: &Path) {
    run(node, "mount", &["--bind", text(folder), text(folder)]);
    run(node, "mount", &["-o", "remount,bind,ro", text(folder)]);
}

fn node_on_small(disk: impl Fn(&Node) -> std::path::PathBuf) -> Node {
    let node = Node::prepare();
    small_disk(&node, &disk(&node));
    node.start_prepared();
    node
}

fn kubelet_says(node: &Node, words: &[&str]) -> bool {
    let log = std::fs::read_to_string(node.layout.log_of("kubelet")).unwrap_or_default();
    log.lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
#[ignore = "needs root: make test"]
fn a_full_disk_below_the_pods() {
    let node = node_on_small(|node| node.layout.kubelet_root());
    let disk = node.layout.kubelet_root();
    node.apply("before", &pod("before", LAST));
    node.wait_ready("before");
    fill(&node, &disk);
    node.apply("after", &pod("after", LAST));
    let told = || {
        let why = node.keelson(&["why", "after"]);
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        why.contains(text(&disk)) && why.contains("No space left on device")
    };
    keelson_tests::assert_eventually!(30, told(), "the disk is named{}", node.logs());
    let before = node.wait_ready("before");
    assert_eq!(container_status(&before, "main")["restartCount"], 0);
    run(&node, "rm", &[&filler(&disk)]);
    node.wait_ready("after");
    node.delete("before");
    node.wait_gone("before");
}

#[test]
#[ignore = "needs root: make test"]
fn a_full_disk_below_the_kubelets_own_state() {
    let node = node_on_small(|node| node.layout.kubelet_state());
    let disk = node.layout.kubelet_state();
    fill(&node, &disk);
    node.apply("one", &pod("one", LAST));
    node.wait_ready("one");
    keelson_tests::assert_eventually!(
        30,
        kubelet_says(&node, &["CheckpointFailed", text(&disk), "disk not full"]),
        "the disk is named{}",
        node.logs()
    );
    run(&node, "rm", &[&filler(&disk)]);
    // What could not be written is written again by itself.
    let saved = || {
        let files = std::fs::read_dir(node.seen(&disk.join("pods")));
        let files = files.into_iter().flatten().flatten();
        files
            .filter(|file| file.path().extension().is_some_and(|e| e == "json"))
            .count()
    };
    keelson_tests::assert_eventually!(30, saved() == 1, "it is saved{}", node.logs());
    node.kill("kubelet");
    node.up();
    let after = node.wait_ready("one");
    assert_eq!(container_status(&after, "main")["restartCount"], 0);
}

#[test]
#[ignore = "needs root: make test"]
fn a_state_directory_that_turns_read_only() {
    let node = Node::start();
    let state = node.layout.kubelet_state();
    let pods = state.join("pods");
    turn_read_only(&node, &pods);
    node.apply("one", &pod("one", LAST));
    node.wait_ready("one");
    keelson_tests::assert_eventually!(
        30,
        kubelet_says(
            &node,
            &["CheckpointFailed", text(&pods), "Read-only file system"]
        ),
        "the folder is named{}",
        node.logs()
    );
    node.kill("kubelet");
    run(&node, "umount", &[text(&pods)]);
    turn_read_only(&node, &state);
    let output = node.try_up();
    assert!(!output.status.success(), "it can't keep state");
    assert!(
        kubelet_says(&node, &[text(&state), "is the state directory writable"]),
        "the cure is named{}",
        node.logs()
    );
    run(&node, "umount", &[text(&state)]);
    node.up();
    let after = node.wait_ready("one");
    assert_eq!(container_status(&after, "main")["restartCount"], 0);
}
