//! What reaches the kernel on cgroup v2: limits of pods and containers, the tree of QoS classes, the
//! OOM killer, with either driver; and that it is gone afterwards. Cases run in the order of their
//! names: all of one driver, then all of the other, since changing it takes the node down.

use keelson_tests::kubelet::container_status;
use keelson_tests::scenario::{LAST, pod, serve, set};
use keelson_tests::vm::{Driver, Machine};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn with_resources(name: &str, resources: &Value) -> Value {
    set(pod(name, LAST), "/spec/containers/0/resources", resources)
}

fn container_id(pod: &Value) -> String {
    let id = container_status(pod, "main")["containerID"]
        .as_str()
        .expect("a container");
    id.rsplit('/').next().expect("its name").to_owned()
}

fn check_file(folder: &Path, file: &str, expected: &str) {
    let path = folder.join(file);
    let told =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(told.trim(), expected, "{}", path.display());
}

/// A pod's cgroup by its class: the way from the root as this driver spells it.
fn check_place(driver: Driver, cgroup: &Path, uid: &str, class: &str) {
    let expected = match (driver, class) {
        (Driver::Cgroupfs, "") => format!("/sys/fs/cgroup/keelson/kubepods/pod{uid}"),
        (Driver::Cgroupfs, class) => format!("/sys/fs/cgroup/keelson/kubepods/{class}/pod{uid}"),
        (Driver::Systemd, class) => {
            let uid = uid.replace('-', "_");
            let (middle, class) = if class.is_empty() {
                (String::new(), String::new())
            } else {
                (
                    format!("keelson-kubepods-{class}.slice/"),
                    format!("{class}-"),
                )
            };
            format!(
                "/sys/fs/cgroup/keelson.slice/keelson-kubepods.slice/{middle}keelson-kubepods-{class}pod{uid}.slice"
            )
        }
    };
    assert_eq!(cgroup, Path::new(&expected));
}

fn limits_reach_the_kernel(driver: Driver) {
    let machine = Machine::up(driver);
    let exact = json!({ "cpu": "500m", "memory": "64Mi" });
    machine.apply(
        "exact",
        &with_resources("exact", &json!({ "limits": exact })),
    );
    let more =
        json!({ "requests": { "cpu": "100m", "memory": "16Mi" }, "limits": { "memory": "96Mi" } });
    machine.apply("more", &with_resources("more", &more));
    machine.apply("none", &pod("none", LAST));

    let ready = machine.wait_ready("exact");
    let cgroup = machine.pod_cgroup(&ready);
    check_place(driver, &cgroup, uid(&ready), "");
    for folder in [&cgroup, &machine.container_cgroup(&container_id(&ready))] {
        check_file(folder, "cpu.max", "50000 100000");
        check_file(folder, "memory.max", "67108864");
    }
    check_file(&cgroup, "pids.max", "200");

    let ready = machine.wait_ready("more");
    let cgroup = machine.pod_cgroup(&ready);
    check_place(driver, &cgroup, uid(&ready), "burstable");
    check_file(&cgroup, "cpu.max", "max 100000");
    check_file(&cgroup, "memory.max", "100663296");
    let container = machine.container_cgroup(&container_id(&ready));
    check_file(&container, "memory.max", "100663296");
    let members = fs::read_to_string(container.join("cgroup.procs")).expect("its processes");
    assert!(
        !members.trim().is_empty(),
        "the container's processes are in its cgroup"
    );

    let ready = machine.wait_ready("none");
    let cgroup = machine.pod_cgroup(&ready);
    check_place(driver, &cgroup, uid(&ready), "besteffort");
    check_file(&cgroup, "memory.max", "max");
    check_file(&cgroup, "cpu.weight", "1");
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().expect("a uid")
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn by_hand_limits_reach_the_kernel() {
    limits_reach_the_kernel(Driver::Cgroupfs);
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn by_hand_nothing_is_left_after_down() {
    let machine = Machine::up(Driver::Cgroupfs);
    let ports = json!([{ "containerPort": 80, "hostPort": 8066 }]);
    machine.apply(
        "web",
        &set(pod("web", &serve("x")), "/spec/containers/0/ports", &ports),
    );
    let volume = json!([{ "name": "m", "emptyDir": { "medium": "Memory" } }]);
    machine.apply("mem", &set(pod("mem", LAST), "/spec/volumes", &volume));
    machine.wait_ready("web");
    machine.wait_ready("mem");
    assert!(
        !machine.leftovers().is_empty(),
        "the comparison sees a running node"
    );
    machine.down();
    let left = machine.leftovers();
    assert!(left.is_empty(), "{left:#?}");
    // Down of what is down is no error.
    machine.down();
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn by_systemd_limits_reach_the_kernel() {
    limits_reach_the_kernel(Driver::Systemd);
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn by_systemd_what_the_oom_killer_ends_is_told_and_started_again() {
    let machine = Machine::up(Driver::Systemd);
    let hog = pod("hog", "sleep 1; busybox tail -c 100000000 /dev/zero");
    let limits = json!({ "limits": { "memory": "24Mi" } });
    machine.apply("hog", &set(hog, "/spec/containers/0/resources", &limits));
    let restarted = machine.wait("hog", 60, |pod| {
        container_status(pod, "main")["restartCount"].as_u64() >= Some(1)
    });
    let ended = &container_status(&restarted, "main")["lastState"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled", "{ended}");
    assert_eq!(ended["exitCode"], 137, "{ended}");
}
