//! The floor: what the runtime itself takes for a pod, asked by a client that does nothing else.

use keelson_bootstrap::daemon;
use keelson_cri::config::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxPodSandboxConfig, PodSandboxConfig,
    PodSandboxMetadata,
};
use keelson_cri::{Client, CriError, Deadlines, Endpoint};
use keelson_tests::node::{IMAGE, Node};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// As many at once as the kubelet offers the runtime.
const PARALLEL: usize = 4;

/// A node whose kubelet is stopped, and a client of its runtime.
pub struct Floor {
    runtime: Runtime,
    client: Client,
    cgroup: String,
}

/// How long the parts of one pod took.
pub struct Times {
    /// From nothing to a started container.
    pub started: Duration,
    /// The container alone, in a sandbox that is there.
    pub created_and_started: Duration,
}

impl Floor {
    /// Takes over a node: its kubelet would remove pods that it does not know.
    pub fn on(node: &Node) -> Self {
        let pid = node.pid_of("kubelet").expect("the kubelet runs");
        daemon::stop(pid, Duration::from_secs(10)).expect("the kubelet ends");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("an event loop");
        let endpoint = Endpoint::from(node.layout.containerd_socket());
        let client = runtime.block_on(async { Client::new(&endpoint, Deadlines::default()) });
        let cgroup = format!("{}/kubepods/besteffort", node.layout.cgroup);
        let floor = Self {
            runtime,
            client,
            cgroup,
        };
        floor.one_pod("warm-up");
        floor
    }

    /// Makes one pod and removes it again.
    pub fn one_pod(&self, name: &str) -> Times {
        self.runtime.block_on(async {
            let begin = Instant::now();
            let (sandbox, config) = self.sandbox(name).await.expect("a sandbox");
            let middle = Instant::now();
            self.container(&sandbox, config).await.expect("a container");
            let times = Times {
                started: begin.elapsed(),
                created_and_started: middle.elapsed(),
            };
            self.remove(&sandbox).await;
            times
        })
    }

    /// Makes `count` pods, some at once, and removes them again.
    pub fn many_pods(&self, count: usize) -> Duration {
        use futures_util::{StreamExt, stream};
        self.runtime.block_on(async {
            let begin = Instant::now();
            let pods = (0..count).map(|n| async move {
                let (sandbox, config) = self.sandbox(&format!("floor-of-many{n}")).await?;
                self.container(&sandbox, config).await?;
                Ok::<_, CriError>(sandbox)
            });
            let pods: Vec<_> = stream::iter(pods)
                .buffer_unordered(PARALLEL)
                .collect()
                .await;
            let time = begin.elapsed();
            for sandbox in pods {
                self.remove(&sandbox.expect("a pod")).await;
            }
            time
        })
    }

    async fn sandbox(&self, name: &str) -> Result<(String, PodSandboxConfig), CriError> {
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                namespace: "floor".to_owned(),
                uid: name.to_owned(),
                ..PodSandboxMetadata::default()
            }),
            hostname: name.to_owned(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/pod{name}", self.cgroup),
                ..LinuxPodSandboxConfig::default()
            }),
            ..PodSandboxConfig::default()
        };
        let id = self.client.run_sandbox(config.clone(), "").await?;
        Ok((id, config))
    }

    async fn container(&self, sandbox: &str, config: PodSandboxConfig) -> Result<(), CriError> {
        let container = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: "main".to_owned(),
                ..ContainerMetadata::default()
            }),
            image: Some(ImageSpec {
                image: IMAGE.to_owned(),
                ..ImageSpec::default()
            }),
            command: ["sh", "-c", "exec sleep 86400"].map(str::to_owned).to_vec(),
            ..ContainerConfig::default()
        };
        let id = self
            .client
            .create_container(sandbox, container, config)
            .await?;
        self.client.start_container(&id).await
    }

    async fn remove(&self, sandbox: &str) {
        self.client
            .stop_sandbox(sandbox)
            .await
            .expect("the sandbox stops");
        self.client
            .remove_sandbox(sandbox)
            .await
            .expect("the sandbox goes");
    }
}
