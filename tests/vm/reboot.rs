//! A reboot of the machine: the units start, and the pods come back by themselves; at last `down`
//! leaves nothing. One half of the case runs before, the other after.

use keelson_tests::kubelet::{container_status, ip};
use keelson_tests::scenario::{pod, serve, set};
use keelson_tests::vm::{Driver, Machine};
use serde_json::json;
use std::fs;

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
    // A container that does not end when it is told to holds a reboot up for a minute and a half.
    let script = serve("again").replace("exec httpd", "httpd");
    let script = format!("trap 'exit 0' TERM; {script} & wait $!");
    let ports = json!([{ "containerPort": 80, "hostPort": 8066 }]);
    let web = set(pod("web", &script), "/spec/containers/0/ports", &ports);
    let volume = json!([{ "name": "memory", "emptyDir": { "medium": "Memory" } }]);
    machine.apply("web", &set(web, "/spec/volumes", &volume));
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
    assert_eq!(
        machine.answer_of(&format!("http://{}/", ip(&ready))),
        "again"
    );
    let said = machine.keelson_up();
    assert!(said.contains("was there"), "{said}");
    assert!(
        !machine.leftovers().is_empty(),
        "the comparison sees a running node"
    );
    machine.down();
    let left = machine.leftovers();
    assert!(left.is_empty(), "{left:#?}");
}
