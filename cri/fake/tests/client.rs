//! The client of `keelson-cri` on the fake server, faults included.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use keelson_cri::config::{
    AuthConfig, ContainerConfig, ContainerFilter, ContainerMetadata, ExecRequest, ImageSpec,
    PodSandboxConfig, PodSandboxFilter, PodSandboxMetadata,
};
use keelson_cri::error::{PullFailure, Unreachable};
use keelson_cri::events::{Backoff, EventOrRelist, follow_events};
use keelson_cri::values::{CgroupDriver, ContainerState, EventKind, ExecOutput, SandboxState};
use keelson_cri::{Client, CriError, Deadlines, Endpoint};
use keelson_cri_fake::runtime::Stream;
use keelson_cri_fake::{FakeServer, Fault, Program, Pullable, Runtime};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

struct Node {
    server: FakeServer,
    client: Client,
    folder: TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut runtime = Runtime::new();
        runtime.images.add("r/a:1");
        let server = FakeServer::start_with_logs(&folder.path().join("c.sock"), runtime).unwrap();
        let endpoint = Endpoint::from(server.socket().to_owned());
        let client = Client::new(&endpoint, Deadlines::from_request_timeout(10 * SECOND));
        Self {
            server,
            client,
            folder,
        }
    }

    fn pod(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.into(),
                uid: "u".into(),
                namespace: "default".into(),
                attempt: 0,
            }),
            log_directory: self.folder.path().join("logs").display().to_string(),
            ..Default::default()
        }
    }

    /// A sandbox with a created container.
    async fn create(&self, name: &str) -> (String, String) {
        let pod = self.pod(name);
        let sandbox = self.client.run_sandbox(pod.clone(), "").await.unwrap();
        let config = container(name);
        let id = self
            .client
            .create_container(&sandbox, config, pod)
            .await
            .unwrap();
        (sandbox, id)
    }

    async fn start_container(&self, name: &str, program: Program) -> String {
        self.server
            .with(|runtime, _| runtime.set_programs(name, vec![program]));
        let (_, id) = self.create(name).await;
        self.client.start_container(&id).await.unwrap();
        id
    }

    async fn state(&self, id: &str) -> ContainerState {
        self.client.container_status(id).await.unwrap().state
    }
}

fn image(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.into(),
        ..Default::default()
    }
}

fn container(name: &str) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: name.into(),
            attempt: 0,
        }),
        image: Some(image("r/a:1")),
        log_path: format!("{name}.log"),
        ..Default::default()
    }
}

fn slow_image() -> Pullable {
    Pullable {
        takes: 300 * SECOND,
        ..Pullable::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_lives_and_dies() {
    let node = Node::start();
    let client = &node.client;
    assert_eq!(client.version().await.unwrap().api_version, "v1");
    assert!(client.status().await.unwrap().network_ready());
    assert_eq!(
        client.cgroup_driver().await.unwrap(),
        CgroupDriver::Cgroupfs
    );
    let (sandbox, id) = node.create("main").await;
    assert_eq!(node.state(&id).await, ContainerState::Created);
    client.start_container(&id).await.unwrap();
    let pod = client.sandbox_status(&sandbox).await.unwrap();
    assert_eq!(pod.sandbox.sandbox.state, SandboxState::Ready);
    assert_eq!(pod.sandbox.ips.len(), 1);
    assert_eq!(pod.containers[0].state, ContainerState::Running);
    let listed = client
        .list_containers(ContainerFilter::default())
        .await
        .unwrap();
    assert_eq!((listed.len(), &listed[0].sandbox_id), (1, &sandbox));
    client.remove_sandbox(&sandbox).await.unwrap();
    assert!(
        client
            .container_status(&id)
            .await
            .unwrap_err()
            .is_not_found()
    );
    let listed = client
        .list_sandboxes(PodSandboxFilter::default())
        .await
        .unwrap();
    assert!(listed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_the_grace_and_no_more() {
    let node = Node::start();
    let id = node
        .start_container("stubborn", Program::ignores_term())
        .await;
    let begun = Instant::now();
    // Longer than the deadline of a change: the grace comes on top.
    node.client.stop_container(&id, 30 * SECOND).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30);
    let status = node.client.container_status(&id).await.unwrap();
    assert_eq!(
        (status.state, status.exit_code),
        (ContainerState::Exited, 137)
    );
}

#[tokio::test(start_paused = true)]
async fn commands_have_their_own_deadline() {
    let node = Node::start();
    let id = node.start_container("main", Program::default()).await;
    let output = ExecOutput {
        stdout: b"ok\n".to_vec(),
        stderr: Vec::new(),
        exit_code: 3,
    };
    node.server
        .with(|runtime, _| runtime.set_exec("main", &["slow"], output.clone(), 20 * SECOND));
    let exec = |limit| node.client.exec_sync(&id, vec!["slow".into()], limit);
    assert_eq!(exec(Some(30 * SECOND)).await, Ok(output.clone()));
    assert_eq!(exec(None).await, Ok(output));
    let begun = Instant::now();
    let late = exec(Some(5 * SECOND)).await.unwrap_err();
    assert!(matches!(late, CriError::DeadlineExceeded { .. }), "{late}");
    assert_eq!(begun.elapsed().as_secs(), 5);
    // A runtime that does not keep the timeout itself is not waited for either.
    node.server
        .faults(|faults| faults.on_next("ExecSync", Fault::Hang));
    let begun = Instant::now();
    assert!(exec(Some(5 * SECOND)).await.unwrap_err().is_ambiguous());
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_runtime_costs_the_deadline_of_the_call() {
    let node = Node::start();
    let (_, id) = node.create("main").await;
    node.server
        .faults(|faults| faults.always("StartContainer", Fault::Hang));
    node.server
        .faults(|faults| faults.always("RunPodSandbox", Fault::Hang));
    let begun = Instant::now();
    let error = node.client.start_container(&id).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("StartContainer {id}: no answer within 10s")
    );
    assert!(error.is_ambiguous());
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(node.state(&id).await, ContainerState::Created);
    let begun = Instant::now();
    let error = node
        .client
        .run_sandbox(node.pod("b"), "")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "RunPodSandbox default/b: no answer within 20s"
    );
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_ambiguous_and_the_next_attempt_finds_the_holder() {
    let node = Node::start();
    for fault in [Fault::LoseReply, Fault::BreakConnection] {
        node.server
            .faults(|faults| faults.on_next("RunPodSandbox", fault.clone()));
        let name = format!("{fault:?}");
        let error = node
            .client
            .run_sandbox(node.pod(&name), "")
            .await
            .unwrap_err();
        assert!(error.is_ambiguous(), "{fault:?}: {error}");
        let listed = node
            .client
            .list_sandboxes(PodSandboxFilter::default())
            .await
            .unwrap();
        let made = listed.iter().find(|sandbox| sandbox.name == name).unwrap();
        match node
            .client
            .run_sandbox(node.pod(&name), "")
            .await
            .unwrap_err()
        {
            CriError::AlreadyExists { holder, .. } => assert_eq!(holder.as_ref(), Some(&made.id)),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_delays_come_as_set() {
    let node = Node::start();
    let fail = Fault::Fail(tonic::Code::Internal, "disk full".into());
    node.server
        .faults(|faults| faults.on_nth("ListImages", 2, fail));
    node.server
        .faults(|faults| faults.on_nth("ListImages", 3, Fault::Delay(5 * SECOND)));
    assert_eq!(node.client.list_images().await.unwrap().len(), 1);
    let error = node.client.list_images().await.unwrap_err();
    assert_eq!(error.to_string(), "ListImages: disk full (Internal)");
    let begun = Instant::now();
    node.client.list_images().await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(node.server.faults(|faults| faults.count("ListImages")), 3);
}

/// Lets the connection's own task see that it broke; the next call would see it otherwise. Paused
/// time moves only once every task waits.
async fn notice_the_break() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_client_outlives_the_server() {
    let mut node = Node::start();
    let id = node
        .start_container("main", Program::exits(60 * SECOND, 0))
        .await;
    node.server.stop();
    notice_the_break().await;
    match node.client.version().await.unwrap_err() {
        CriError::Unavailable { socket, cause, .. } => {
            assert_eq!(socket, node.server.socket());
            assert_eq!(cause, Unreachable::SocketMissing);
        }
        other => panic!("{other}"),
    }
    node.server.start_again().unwrap();
    assert_eq!(node.state(&id).await, ContainerState::Running);
    node.server.start_again().unwrap();
    notice_the_break().await;
    assert_eq!(node.state(&id).await, ContainerState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_nobody_serves_is_told_apart_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let client = Client::new(&Endpoint::from(path), Deadlines::default());
    let error = client.version().await.unwrap_err();
    assert!(error.to_string().contains("nobody listens"), "{error}");
    assert!(!error.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn unknown_calls_are_unimplemented() {
    let node = Node::start();
    let error = node.client.sandbox_stats("x").await.unwrap_err();
    assert!(error.is_unimplemented(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn streams_have_an_address_once_there_is_a_server() {
    let node = Node::start();
    let id = node.start_container("main", Program::default()).await;
    let request = ExecRequest {
        container_id: id.clone(),
        cmd: vec!["sh".into()],
        stdout: true,
        ..Default::default()
    };
    let error = node.client.exec_url(request.clone()).await.unwrap_err();
    assert!(error.is_unimplemented(), "{error}");
    let base = "http://127.0.0.1:1".to_owned();
    node.server
        .with(|runtime, _| runtime.streaming_url = Some(base));
    let url = node.client.exec_url(request).await.unwrap();
    assert_eq!(url, format!("http://127.0.0.1:1/exec/{id}"));
    let error = node
        .client
        .port_forward_url("none", &[80])
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn images_are_pulled_refused_and_removed() {
    let node = Node::start();
    node.server.with(|runtime, _| {
        let secret = Pullable {
            credentials: Some(("u".into(), "p".into())),
            ..Pullable::default()
        };
        runtime.images.offer("r/slow:1", slow_image());
        runtime.images.offer("r/secret:1", secret);
    });
    let pull = |name: &str, auth| node.client.pull_image(image(name), auth, None);
    // A pull has no deadline.
    let reference = pull("r/slow:1", None).await.unwrap();
    let found = node
        .client
        .image_status(image(&reference))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.repo_tags, ["r/slow:1"]);
    for (name, expected) in [
        ("r/none:1", PullFailure::NotFound),
        ("r/secret:1", PullFailure::Unauthorized),
    ] {
        match pull(name, None).await.unwrap_err() {
            CriError::ImagePull { image, failure, .. } => {
                assert_eq!((image.as_str(), failure), (name, expected));
            }
            other => panic!("{other}"),
        }
    }
    let auth = AuthConfig {
        username: "u".into(),
        password: "p".into(),
        ..Default::default()
    };
    assert!(!format!("{auth:?}").contains("\"p\""));
    pull("r/secret:1", Some(auth)).await.unwrap();
    node.client.remove_image(image("r/slow:1")).await.unwrap();
    node.client.remove_image(image("r/slow:1")).await.unwrap();
    assert_eq!(node.client.image_status(image("r/slow:1")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_pull_does_nothing() {
    let node = Node::start();
    node.server
        .with(|runtime, _| runtime.images.offer("r/slow:1", slow_image()));
    let pull = node.client.pull_image(image("r/slow:1"), None, None);
    assert!(timeout(SECOND, pull).await.is_err());
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(node.client.image_status(image("r/slow:1")).await, Ok(None));
}

/// The lines of a log file without their times, whose form is checked.
fn log_lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let without_time = |line: &str| {
        let (time, rest) = line.split_once(' ').unwrap();
        // Nine digits of a second and Z, as CRI wants it.
        assert_eq!(time.len(), "2026-01-01T00:00:00.000000000Z".len(), "{time}");
        rest.to_owned()
    };
    text.lines().map(without_time).collect()
}

#[tokio::test(start_paused = true)]
async fn logs_are_written_and_reopened() {
    let node = Node::start();
    let talks = Program {
        prints: vec![(Stream::Stderr, "hello".into())],
        ..Program::default()
    };
    let id = node.start_container("main", talks).await;
    let path = node.client.container_status(&id).await.unwrap().log_path;
    let print = |line: &str| {
        node.server
            .with(|runtime, now| runtime.print(now, &id, Stream::Stdout, line));
    };
    let rotated = format!("{path}.1");
    std::fs::rename(&path, &rotated).unwrap();
    print("still the old file");
    node.client.reopen_container_log(&id).await.unwrap();
    print("the new file");
    assert_eq!(
        log_lines(&rotated),
        ["stderr F hello", "stdout F still the old file"]
    );
    assert_eq!(log_lines(&path), ["stdout F the new file"]);
}

async fn next_kind(events: &mut Receiver<EventOrRelist>) -> Option<EventKind> {
    match events.recv().await.unwrap() {
        EventOrRelist::Event(event) => Some(event.kind),
        EventOrRelist::Relist => None,
        EventOrRelist::Exit(exit) => panic!("the fake has no events but CRI's: {exit:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn events_begin_with_a_relist_and_resume_with_one() {
    use EventKind::{Created, Started, Stopped};
    let mut node = Node::start();
    let (mut events, following) = follow_events(node.client.clone(), Backoff::default());
    let following = tokio::spawn(following);
    // Nothing has happened yet, still the connection is reported.
    assert_eq!(next_kind(&mut events).await, None);
    node.start_container("main", Program::exits(60 * SECOND, 0))
        .await;
    for expected in [Created, Started, Created, Started] {
        assert_eq!(next_kind(&mut events).await, Some(expected));
    }
    node.server.stop();
    tokio::time::sleep(30 * SECOND).await;
    node.server.start_again().unwrap();
    assert_eq!(next_kind(&mut events).await, None);
    assert_eq!(next_kind(&mut events).await, Some(Stopped));
    drop(events);
    assert_eq!(timeout(SECOND, following).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn following_ends_where_there_are_no_events() {
    let node = Node::start();
    let fault = Fault::Fail(tonic::Code::Unimplemented, "no events".into());
    node.server
        .faults(|faults| faults.always("GetContainerEvents", fault));
    let (mut events, following) = follow_events(node.client.clone(), Backoff::default());
    assert!(following.await.unwrap_err().is_unimplemented());
    while events.recv().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_lost() {
    let node = Node::start();
    let (mut events, following) = follow_events(node.client.clone(), Backoff::default());
    let _following = tokio::spawn(following);
    assert_eq!(next_kind(&mut events).await, None);
    node.server.faults(|faults| faults.lose_events(3));
    node.start_container("main", Program::default()).await;
    assert_eq!(next_kind(&mut events).await, Some(EventKind::Started));
}
