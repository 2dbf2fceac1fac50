//! The client, the start-up check and the image import on a real containerd.
//!
//! `KEELSON_TEST_CONTAINERD_SOCKET` names the socket of one that the tests may use as they like.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use keelson_cri::config::{
    ContainerConfig, ContainerFilter, ContainerMetadata, ImageSpec, LinuxContainerConfig,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, PodSandboxFilter, PodSandboxMetadata,
};
use keelson_cri::containerd::import::{Options, import};
use keelson_cri::containerd::{check, observe};
use keelson_cri::events::{Backoff, EventOrRelist, follow_events};
use keelson_cri::image::{File, Layer, Settings, build, pause};
use keelson_cri::values::{ContainerState, EventKind, SandboxState};
use keelson_cri::{Client, Deadlines, Endpoint};

const BUSYBOX: &str = "localhost/keelson/test-busybox:1";

fn client() -> Client {
    let socket = std::env::var_os("KEELSON_TEST_CONTAINERD_SOCKET")
        .expect("set KEELSON_TEST_CONTAINERD_SOCKET to the socket of a containerd for tests");
    let endpoint = Endpoint::from(PathBuf::from(socket));
    Client::new(
        &endpoint,
        Deadlines::from_request_timeout(Duration::from_secs(60)),
    )
}

fn image(name: &str) -> ImageSpec {
    ImageSpec {
        image: name.to_owned(),
        ..Default::default()
    }
}

async fn import_pause(client: &Client) {
    let archive = pause::archive(pause::NAME).unwrap();
    let options = Options {
        pinned: true,
        ..Options::default()
    };
    import(client, pause::NAME, archive.bytes(), &options)
        .await
        .unwrap();
}

async fn import_busybox(client: &Client) {
    let program = std::fs::read("/bin/busybox").expect("install busybox-static");
    let file = File {
        path: "bin/busybox",
        mode: 0o755,
        content: &program,
    };
    let layer = Layer::from_files(&[file]).unwrap();
    let settings = Settings {
        entrypoint: vec!["/bin/busybox".to_owned()],
        ..Settings::default()
    };
    let archive = build(BUSYBOX, &[layer], &settings).unwrap();
    import(client, BUSYBOX, archive.bytes(), &Options::default())
        .await
        .unwrap();
}

fn sandbox_config(name: &str) -> PodSandboxConfig {
    let options = NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("{name}-uid"),
            namespace: "keelson-test".to_owned(),
            attempt: 0,
        }),
        log_directory: std::env::temp_dir().join(name).display().to_string(),
        linux: Some(LinuxPodSandboxConfig {
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(options),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn container_config() -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        image: Some(image(BUSYBOX)),
        args: vec!["sleep".to_owned(), "1000".to_owned()],
        log_path: "main.log".to_owned(),
        linux: Some(LinuxContainerConfig::default()),
        ..Default::default()
    }
}

#[tokio::test]
#[ignore = "needs root: make test"]
async fn check_finds_nothing_wrong() {
    let client = client();
    let facts = observe(&client).await;
    assert_eq!(check(&facts), Vec::new(), "{facts:?}");
    assert!(facts.restricts_oom_score.is_some(), "{facts:?}");
    assert!(facts.may_lower_oom_score.is_some(), "{facts:?}");
    assert_eq!(facts.runtime.unwrap().name, "containerd");
    let status = client.status().await.unwrap();
    assert!(status.runtime_ready(), "{status:?}");
    assert!(!status.handlers.is_empty());
    client.cgroup_driver().await.unwrap();
}

#[tokio::test]
#[ignore = "needs root: make test"]
async fn pause_is_imported_twice_and_pinned() {
    let client = client();
    import_pause(&client).await;
    import_pause(&client).await;
    let found = client
        .image_status(image(pause::NAME))
        .await
        .unwrap()
        .unwrap();
    assert!(found.pinned, "{found:?}");
    assert_eq!(found.repo_tags, [pause::NAME]);
    let listed = client.list_images().await.unwrap();
    assert!(listed.contains(&found), "{listed:?}");
    assert!(!client.image_fs_info().await.unwrap().images.is_empty());
    let absent = client.image_status(image("localhost/none:1")).await;
    assert_eq!(absent.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs root: make test"]
async fn an_archive_without_the_image_is_refused() {
    let client = client();
    let garbage = import(
        &client,
        "localhost/a:1",
        &b"no tar at all"[..],
        &Options::default(),
    )
    .await;
    let message = garbage.unwrap_err().to_string();
    assert!(
        message.starts_with("importing image localhost/a:1: "),
        "{message}"
    );
}

/// A command's output comes back; one that takes too long ends in time.
async fn check_exec(client: &Client, id: &str) {
    let command = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let hello = command(&["/bin/busybox", "echo", "hello"]);
    let output = client
        .exec_sync(id, hello, Some(Duration::from_secs(10)))
        .await
        .unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.exit_code),
        (&b"hello\n"[..], 0)
    );
    let slow = command(&["/bin/busybox", "sleep", "30"]);
    let late = client
        .exec_sync(id, slow, Some(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(late, keelson_cri::CriError::DeadlineExceeded { .. }),
        "{late}"
    );
}

/// Nothing of the test is left in the runtime.
async fn check_gone(client: &Client, id: &str) {
    let ours = |sandbox_name: &str| sandbox_name == "keelson-cri-test";
    let left = client
        .list_sandboxes(PodSandboxFilter::default())
        .await
        .unwrap();
    assert!(!left.iter().any(|sandbox| ours(&sandbox.name)), "{left:?}");
    let left = client
        .list_containers(ContainerFilter::default())
        .await
        .unwrap();
    assert!(!left.iter().any(|container| container.id == id), "{left:?}");
}

#[tokio::test]
#[ignore = "needs root: make test"]
async fn a_container_lives_and_dies_and_its_events_tell() {
    let client = client();
    import_pause(&client).await;
    import_busybox(&client).await;
    let (mut events, following) = follow_events(client.clone(), Backoff::default());
    let following = tokio::spawn(following);
    assert_eq!(events.recv().await, Some(EventOrRelist::Relist));

    let config = sandbox_config("keelson-cri-test");
    let sandbox = client.run_sandbox(config.clone(), "").await.unwrap();
    let status = client.sandbox_status(&sandbox).await.unwrap();
    assert_eq!(status.sandbox.sandbox.state, SandboxState::Ready);
    assert!(status.sandbox.host_network);
    let again = client.run_sandbox(config.clone(), "").await.unwrap_err();
    assert!(again.is_already_exists(), "{again}");

    let id = client
        .create_container(&sandbox, container_config(), config)
        .await
        .unwrap();
    client.start_container(&id).await.unwrap();
    let status = client.container_status(&id).await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert!(status.started_at.is_some() && status.finished_at.is_none());

    check_exec(&client, &id).await;
    let stats = client.container_stats(&id).await.unwrap();
    assert_eq!(stats.id, id);

    client.stop_container(&id, Duration::ZERO).await.unwrap();
    let status = client.container_status(&id).await.unwrap();
    assert_eq!(
        (status.state, status.exit_code),
        (ContainerState::Exited, 137)
    );
    client.remove_container(&id).await.unwrap();
    assert!(
        client
            .container_status(&id)
            .await
            .unwrap_err()
            .is_not_found()
    );
    client.stop_sandbox(&sandbox).await.unwrap();
    client.remove_sandbox(&sandbox).await.unwrap();
    client.remove_sandbox(&sandbox).await.unwrap();

    let (mut kinds, mut exit) = (Vec::new(), None);
    while kinds.last() != Some(&EventKind::Deleted) || exit.is_none() {
        match events.recv().await.unwrap() {
            EventOrRelist::Event(event) if event.container_id == id => kinds.push(event.kind),
            EventOrRelist::Exit(told) if told.container_id == id => exit = Some(told.exit_code),
            _ => {}
        }
    }
    assert_eq!(exit, Some(137), "containerd's own event tells too");
    assert_eq!(
        kinds,
        [
            EventKind::Created,
            EventKind::Started,
            EventKind::Stopped,
            EventKind::Deleted
        ]
    );
    drop(events);
    following.await.unwrap().unwrap();
    check_gone(&client, &id).await;
}
