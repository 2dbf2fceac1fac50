//! A reboot of the machine: the units start, and the pods come back by themselves. One half of the
//! case runs before, the other after.

use keelson_tests::kubelet::{container_status, ip};
use keelson_tests::scenario::{pod, serve};
use keelson_tests::vm::{Driver, Machine, run};
use std::fs;
use std::process::Command;

/// The boot and the container which ran before the reboot, a line each.
const BEFORE: &str = "/var/lib/keelson-vm.before";

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    id.trim().to_owned()
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn first_a_pod_runs() {
    let machine = Machine::up(Driver::Systemd);
    machine.apply("web", &pod("web", &serve("again")));
    let ready = machine.wait_ready("web");
    let id = container_status(&ready, "main")["containerID"]
        .as_str()
        .expect("a container");
    fs::write(BEFORE, format!("{}\n{id}", boot())).expect("a note for after the reboot");
    machine.wait_saved();
    machine.keep_pods();
}

#[test]
#[ignore = "needs a machine of its own: make test-vm"]
fn then_it_is_back_without_a_hand() {
    let note = fs::read_to_string(BEFORE).expect("the machine was booted before");
    let (boot_before, before) = note.split_once('\n').expect("two lines");
    assert_ne!(boot(), boot_before, "the machine was booted anew");
    let machine = Machine::as_it_is(Driver::Systemd);
    let ready = machine.wait("web", 60, |pod| {
        let id = &container_status(pod, "main")["containerID"];
        id.as_str().is_some_and(|id| id != before) && keelson_tests::kubelet::is_ready(pod)
    });
    let address = format!("http://{}/", ip(&ready));
    let answer = run(Command::new("busybox").args(["wget", "-q", "-O", "-", &address]));
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "again");
    let said = machine.keelson_up();
    assert!(said.contains("was there"), "{said}");
    machine.down();
    let left = machine.leftovers();
    assert!(left.is_empty(), "{left:#?}");
}
