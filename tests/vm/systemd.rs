//! The node as systemd's units: installed, started, watched and restarted.

use keelson_tests::assert_eventually;
use keelson_tests::kubelet::container_status;
use keelson_tests::scenario::{LAST, pod, serve, set};
use keelson_tests::vm::{Driver, Machine, run};
use serde_json::{Value, json};
use std::process::Command;

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn up_installs_units_that_say_when_they_serve() {
    let machine = Machine::up(Driver::Systemd);
    for daemon in ["containerd", "kubelet"] {
        let check = |property: &str, expected: &str| {
            let told = machine.unit_property(daemon, property);
            assert_eq!(told, expected, "{daemon}: {property}");
        };
        check("Type", "notify");
        check("ActiveState", "active");
        check("SubState", "running");
        check("UnitFileState", "enabled");
        check("NeedDaemonReload", "no");
    }
    let pid = || machine.unit_property("kubelet", "MainPID");
    let before = pid();
    let said = machine.keelson_up();
    assert_eq!(pid(), before, "the kubelet was left alone:\n{said}");
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn a_pod_serves_and_status_tells_of_it() {
    let machine = Machine::up(Driver::Systemd);
    let ports = json!([{ "containerPort": 80, "hostPort": 8088 }]);
    let web = set(
        pod("web", &serve("from a unit")),
        "/spec/containers/0/ports",
        &ports,
    );
    machine.apply("web", &web);
    machine.wait_ready("web");
    assert_eq!(machine.answer_of("http://127.0.0.1:8088/"), "from a unit");
    let status = machine.keelson(&["status"]);
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("web"),
        "{status:?}"
    );
}

/// Who a pod's container is: another container or another start of it is someone else.
fn identity(pod: &Value) -> (Value, Value, Value) {
    let status = container_status(pod, "main");
    (
        status["containerID"].clone(),
        status["restartCount"].clone(),
        status["state"]["running"]["startedAt"].clone(),
    )
}

fn killed_and_adopted(daemon: &str) {
    let machine = Machine::up(Driver::Systemd);
    machine.apply("lasting", &pod("lasting", LAST));
    let before = machine.wait_ready("lasting");
    machine.wait_saved();
    let restarts = || {
        machine
            .unit_property(daemon, "NRestarts")
            .parse::<u32>()
            .unwrap_or_default()
    };
    let times = restarts();
    let unit = keelson_bootstrap::units::unit_of(daemon);
    let killed =
        run(Command::new("systemctl").args(["kill", "--kill-whom=main", "-s", "KILL", &unit]));
    assert!(killed.status.success(), "{killed:?}");
    assert_eventually!(
        60,
        restarts() > times && machine.unit_property(daemon, "ActiveState") == "active",
        "systemd starts {daemon} again"
    );
    let after = machine.wait_ready("lasting");
    assert_eq!(identity(&after), identity(&before));
    // The one that came back does its work: a new pod runs, the old one can go.
    machine.apply("later", &pod("later", LAST));
    machine.wait_ready("later");
    assert_eq!(identity(&machine.wait_ready("lasting")), identity(&before));
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn a_killed_kubelet_comes_back_and_adopts_its_pods() {
    killed_and_adopted("kubelet");
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn a_killed_containerd_comes_back_and_the_pods_lived_on() {
    killed_and_adopted("containerd");
}
