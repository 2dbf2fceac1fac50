//! How programs in the fake runtime live and end, and what the runtime refuses.

use super::*;
use keelson_cri::config::{
    ContainerConfig, ContainerFilter, ContainerMetadata, ImageSpec, PodSandboxMetadata,
};
use keelson_cri::values::ContainerState;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn pod(name: &str, attempt: u32) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.into(),
            uid: "u".into(),
            namespace: "default".into(),
            attempt,
        }),
        log_directory: "/logs".into(),
        ..Default::default()
    }
}

fn container(name: &str, attempt: u32) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: name.into(),
            attempt,
        }),
        image: Some(ImageSpec {
            image: "r/a:1".into(),
            ..Default::default()
        }),
        log_path: format!("{name}/{attempt}.log"),
        ..Default::default()
    }
}

/// A runtime with an image, a sandbox and a started container whose program is given.
fn started(program: Program) -> (Runtime, String, String) {
    let mut runtime = Runtime::new();
    runtime.images.add("r/a:1");
    runtime.set_programs("main", vec![program]);
    let sandbox = runtime.run_sandbox(at(0), &pod("web", 0), "").unwrap();
    let id = runtime
        .create_container(at(0), &sandbox, &container("main", 0))
        .unwrap();
    runtime.start_container(at(0), &id).unwrap();
    (runtime, sandbox, id)
}

fn check_end(runtime: &Runtime, id: &str, seconds: i64, code: i32, reason: &str) {
    let status = runtime.container_status(id).unwrap();
    assert_eq!(status.state, ContainerState::Exited);
    assert_eq!(status.finished_at, Some(at(seconds)));
    assert_eq!((status.exit_code, status.reason.as_str()), (code, reason));
}

#[test]
fn programs_end_when_they_should() {
    let (mut runtime, _, id) = started(Program::exits(Duration::from_secs(5), 3));
    assert_eq!(runtime.next_due(), Some(at(5)));
    runtime.tick(at(4));
    assert_eq!(
        runtime.container_status(&id).unwrap().state,
        ContainerState::Running
    );
    runtime.tick(at(9));
    check_end(&runtime, &id, 5, 3, "Error");
    assert_eq!(runtime.next_due(), None);
}

#[test]
fn stops_honour_the_grace() {
    let slow = Program {
        on_term: OnTerm::Ends {
            after: Duration::from_secs(3),
            code: 0,
        },
        ..Program::default()
    };
    for (program, grace, ends, code) in [
        (slow.clone(), 30, 3, 0),
        (slow, 2, 2, 137),
        (Program::ignores_term(), 30, 30, 137),
        (Program::default(), 30, 0, 143),
        (Program::default(), 0, 0, 137),
        (Program::exits(Duration::from_secs(1), 7), 0, 0, 137),
    ] {
        let (mut runtime, _, id) = started(program.clone());
        let due = runtime.stop_container(at(0), &id, Duration::from_secs(grace));
        assert_eq!(due, Some(at(ends)), "{program:?}");
        runtime.tick(at(ends));
        let reason = if code == 0 { "Completed" } else { "Error" };
        check_end(&runtime, &id, ends, code, reason);
        assert_eq!(runtime.stop_container(at(99), &id, Duration::ZERO), None);
    }
}

#[test]
fn a_shorter_grace_counts_and_a_longer_one_does_not() {
    let (mut runtime, _, id) = started(Program::ignores_term());
    let mut stop = |now, grace| runtime.stop_container(at(now), &id, Duration::from_secs(grace));
    assert_eq!(stop(0, 30), Some(at(30)));
    assert_eq!(stop(1, 60), Some(at(30)));
    assert_eq!(stop(2, 5), Some(at(7)));
}

#[test]
fn names_are_unique_and_their_holder_is_told() {
    let (mut runtime, sandbox, id) = started(Program::default());
    let twin = runtime
        .run_sandbox(at(1), &pod("web", 0), "")
        .unwrap_err()
        .to_string();
    assert!(
        twin.ends_with(&format!("is reserved for \"{sandbox}\"")),
        "{twin}"
    );
    let twin = runtime
        .create_container(at(1), &sandbox, &container("main", 0))
        .unwrap_err();
    assert!(twin.to_string().contains(&id), "{twin}");
    runtime.run_sandbox(at(1), &pod("web", 1), "").unwrap();
    runtime
        .create_container(at(1), &sandbox, &container("main", 1))
        .unwrap();
}

#[test]
fn what_cannot_be_is_refused() {
    let (mut runtime, sandbox, id) = started(Program::default());
    assert!(
        runtime.start_container(at(1), &id).is_err(),
        "started twice"
    );
    let mut imageless = container("other", 0);
    imageless.image.as_mut().unwrap().image = "r/none:1".into();
    let refused = runtime
        .create_container(at(1), &sandbox, &imageless)
        .unwrap_err();
    assert_eq!(refused.to_string(), "image \"r/none:1\": not found");
    runtime.stop_sandbox(at(2), &sandbox);
    check_end(&runtime, &id, 2, 137, "Error");
    let refused = runtime.create_container(at(3), &sandbox, &container("other", 0));
    assert!(
        matches!(refused, Err(RuntimeError::WrongState(_))),
        "{refused:?}"
    );
    assert!(
        runtime
            .run_sandbox(at(1), &PodSandboxConfig::default(), "")
            .is_err()
    );
}

#[test]
fn a_program_that_cannot_start_leaves_an_exited_container() {
    let mut runtime = Runtime::new();
    runtime.images.add("r/a:1");
    let broken = Program {
        start_fails: Some("exec: no such file".into()),
        ..Program::default()
    };
    runtime.set_programs("main", vec![broken, Program::default()]);
    let sandbox = runtime.run_sandbox(at(0), &pod("web", 0), "").unwrap();
    let first = runtime
        .create_container(at(0), &sandbox, &container("main", 0))
        .unwrap();
    assert!(runtime.start_container(at(0), &first).is_err());
    check_end(&runtime, &first, 0, 128, "StartError");
    let second = runtime
        .create_container(at(1), &sandbox, &container("main", 1))
        .unwrap();
    runtime.start_container(at(1), &second).unwrap();
}

#[test]
fn events_tell_the_whole_life_with_the_state_of_their_time() {
    let (mut runtime, sandbox, id) = started(Program::default());
    runtime.remove_sandbox(at(5), &sandbox);
    runtime.remove_sandbox(at(6), &sandbox);
    let events = runtime.take_events();
    let seen: Vec<(EventKind, bool, usize)> = events
        .iter()
        .map(|e| (e.kind, e.container_id == id, e.containers.len()))
        .collect();
    use EventKind::{Created, Deleted, Started, Stopped};
    assert_eq!(
        seen,
        [
            (Created, false, 0),
            (Started, false, 0),
            (Created, true, 1),
            (Started, true, 1),
            (Stopped, true, 1),
            (Stopped, false, 1),
            (Deleted, true, 0),
            (Deleted, false, 0),
        ]
    );
    assert_eq!(events[3].containers[0].state, ContainerState::Running);
    assert_eq!(events[7].sandbox, None);
    assert!(runtime.take_events().is_empty());
    assert!(
        runtime
            .list_containers(&ContainerFilter::default())
            .is_empty()
    );
    assert!(
        runtime
            .list_sandboxes(&PodSandboxFilter::default())
            .is_empty()
    );
}

#[test]
fn commands_give_what_was_set_up() {
    let (mut runtime, _, id) = started(Program::default());
    let output = ExecOutput {
        stdout: b"ok".to_vec(),
        stderr: Vec::new(),
        exit_code: 1,
    };
    runtime.set_exec("main", &["check"], output.clone(), Duration::from_secs(3));
    let run = |command: &str, timeout| {
        runtime.exec(&id, &[command.to_owned()], Duration::from_secs(timeout))
    };
    assert_eq!(
        run("check", 0).unwrap(),
        (Duration::from_secs(3), Ok(output))
    );
    let (takes, ended) = run("check", 1).unwrap();
    assert_eq!(takes, Duration::from_secs(1));
    assert!(matches!(ended, Err(RuntimeError::ExecTimeout(_))));
    assert_eq!(run("other", 1).unwrap().1.unwrap().exit_code, 0);
    runtime.exit_container(at(1), &id, 0);
    assert!(runtime.exec(&id, &[], Duration::ZERO).is_err());
}

#[test]
fn a_reboot_ends_everything_and_keeps_the_records() {
    let (mut runtime, sandbox, id) = started(Program::default());
    runtime.reboot(at(9));
    check_end(&runtime, &id, 9, 137, "Error");
    let status = runtime.sandbox_status(at(9), &sandbox).unwrap();
    assert_eq!(status.sandbox.sandbox.state, SandboxState::NotReady);
    assert!(status.sandbox.ips.is_empty());
    assert!(runtime.take_events().is_empty());
}
