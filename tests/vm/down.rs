//! `keelson down` leaves nothing on the machine, whoever made the cgroups.

use keelson_tests::scenario::{LAST, pod, serve, set};
use keelson_tests::vm::{Driver, Machine};
use serde_json::json;

fn nothing_is_left(driver: Driver) {
    let machine = Machine::up(driver);
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
fn nothing_is_left_of_cgroupfs() {
    nothing_is_left(Driver::Cgroupfs);
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn nothing_is_left_of_systemd() {
    nothing_is_left(Driver::Systemd);
}
