//! Stops and removes the pods through the runtime, which gives their addresses and ports back.

use crate::layout::Layout;
use crate::up::start::is_running;
use futures_util::{StreamExt, stream};
use keelson_cri::config::{ContainerFilter, PodSandboxFilter};
use keelson_cri::{Client, CriError, Deadlines, Endpoint};
use std::time::Duration;

/// How long a container may take to end: they all go, so nobody waits for anybody.
const GRACE: Duration = Duration::from_secs(3);

/// How long a runtime that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often what fails is tried.
const ATTEMPTS: u32 = 3;

/// As many pods at once as a runtime does well.
const AT_ONCE: usize = 4;

/// Removes every pod of our containerd, which holds no others. What it does not manage, or cannot
/// because containerd does not run, is told and removed from below: the processes, mounts and
/// cgroups of its pods are ours to take.
pub(super) async fn remove_all(layout: &Layout) {
    if !is_running(layout, "containerd") {
        return;
    }
    let socket = Endpoint::from(layout.containerd_socket());
    let client = Client::new(&socket, Deadlines::from_request_timeout(PATIENCE));
    let mut failures = Vec::new();
    for _ in 0..ATTEMPTS {
        failures = attempt(&client).await;
        if failures.is_empty() {
            return;
        }
    }
    for failure in failures {
        println!("{failure}: it is removed from below");
    }
}

/// A stop that meets a container which is just ending may fail and succeed the next time.
async fn attempt(client: &Client) -> Vec<String> {
    let sandboxes = match client.list_sandboxes(PodSandboxFilter::default()).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => return vec![error.to_string()],
    };
    let removals = sandboxes.iter().map(async |sandbox| {
        let removed = remove(client, &sandbox.id).await;
        removed
            .err()
            .map(|error| format!("pod {}/{}: {error}", sandbox.namespace, sandbox.name))
    });
    stream::iter(removals)
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await
}

async fn remove(client: &Client, sandbox: &str) -> Result<(), CriError> {
    let filter = ContainerFilter {
        pod_sandbox_id: sandbox.to_owned(),
        ..ContainerFilter::default()
    };
    let containers = client.list_containers(filter).await?;
    let stops = containers
        .iter()
        .map(|container| client.stop_container(&container.id, GRACE));
    for stopped in futures_util::future::join_all(stops).await {
        stopped?;
    }
    client.stop_sandbox(sandbox).await?;
    client.remove_sandbox(sandbox).await
}
