//! `hostUsers: false` on a runc that can map the ids of mounts: root inside is nobody outside, and
//! files look as if there were no mapping.

use keelson_tests::assert_eventually;
use keelson_tests::kubelet::container_status;
use keelson_tests::scenario::{LAST, pod, set};
use keelson_tests::vm::{Driver, Machine};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;

const LOOK: &str = "echo hi >/disk/f && stat -c %u:%g /disk/f /etc/hosts && id -u && echo done && ";

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn root_of_a_pod_is_nobody_of_the_machine() {
    let machine = Machine::up(Driver::Systemd);
    let mut own = set(
        pod("own", &format!("{LOOK}{LAST}")),
        "/spec/hostUsers",
        &json!(false),
    );
    let volume = json!([{ "name": "disk", "emptyDir": {} }]);
    own = set(own, "/spec/volumes", &volume);
    let mount = json!([{ "name": "disk", "mountPath": "/disk" }]);
    own = set(own, "/spec/containers/0/volumeMounts", &mount);
    machine.apply("own", &own);
    let ready = machine.wait_ready("own");
    assert_eventually!(
        60,
        machine.log(&ready, "main").contains("done"),
        "{}{}",
        machine.log(&ready, "main"),
        machine.logs()
    );
    let log = machine.log(&ready, "main");
    let said: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once(" F "))
        .map(|(_, word)| word)
        .collect();
    assert_eq!(said, ["0:0", "0:0", "0", "done"], "{log}");

    let id = container_status(&ready, "main")["containerID"]
        .as_str()
        .expect("a container");
    let cgroup = machine.container_cgroup(id.rsplit('/').next().expect("its name"));
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).expect("its processes");
    let pid = members.lines().next().expect("a process");
    let process = fs::metadata(format!("/proc/{pid}")).expect("the process");
    assert!(process.uid() >= 65_536, "it runs as {}", process.uid());

    let uid = ready["metadata"]["uid"].as_str().expect("a uid");
    let volume = machine.layout.kubelet_root().join("pods").join(uid);
    let file = volume.join("volumes/kubernetes.io~empty-dir/disk/f");
    let written = fs::metadata(file).expect("the file it wrote");
    assert_eq!(written.uid(), 0, "volumes keep their owners on disk");
}
