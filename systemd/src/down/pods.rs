//! Stops and removes the pods through the runtime, which gives their addresses and ports back.

use crate::daemon;
use crate::layout::Layout;
use futures_util::{StreamExt, stream};
use keelson_cri::config::{ContainerFilter, PodSandboxFilter};
use keelson_cri::{Client, CriError, Deadlines, Endpoint};
use std::time::Duration;

/// How long a container may take to end: they all go, so nobody waits for anybody.
const GRACE: Duration = Duration::from_secs(3);

/// How long a runtime that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// As many pods at once as a runtime does well.
const AT_ONCE: usize = 4;

/// Removes every pod of our containerd, which holds no others. Where it does not run, its pods are
/// removed from below: their processes, mounts and cgroups are ours to take.
pub(super) async fn remove_all(layout: &Layout) -> Vec<String> {
    let by_daemon = daemon::running(&layout.lock_of("containerd")).is_some();
    if !by_daemon && !crate::up::start::is_running(layout, "containerd") {
        return Vec::new();
    }
    let socket = Endpoint::from(layout.containerd_socket());
    let client = Client::new(&socket, Deadlines::from_request_timeout(PATIENCE));
    let sandboxes = match client.list_sandboxes(PodSandboxFilter::default()).await {
        Ok(sandboxes) => sandboxes,
        Err(error) => {
            println!("the runtime lists no pods ({error}): they are removed from below");
            return Vec::new();
        }
    };
    let removals = sandboxes.iter().map(|sandbox| {
        let client = &client;
        async move {
            let removed = remove(client, &sandbox.id).await;
            removed
                .err()
                .map(|error| format!("pod {}/{}: {error}", sandbox.namespace, sandbox.name))
        }
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
