//! The floor: what the runtime itself takes for a pod, asked by a client that does nothing else.
//!
//! Once it asks for the least that makes a pod, and once for what the kubelet asks for: with a
//! seccomp profile, masked paths, limits, labels and mounts, as upstream's kubelet does too.

use keelson_api::core::Pod;
use keelson_bootstrap::daemon;
use keelson_cri::config::{
    ContainerConfig, ContainerMetadata, DnsConfig, ImageSpec, LinuxPodSandboxConfig, Mount,
    PodSandboxConfig, PodSandboxMetadata,
};
use keelson_cri::{Client, CriError, Deadlines, Endpoint};
use keelson_kubelet::spec::env::DownwardFacts;
use keelson_kubelet::spec::resources::NodeLimits;
use keelson_kubelet::spec::security::{Confinement, ImageUser};
use keelson_kubelet::spec::{ContainerInputs, SandboxInputs, container_config, sandbox_config};
use keelson_tests::node::{IMAGE, Node};
use keelson_tests::scenario::{container, pod};
use std::path::PathBuf;
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
    /// Where the pods' logs and files are.
    folder: PathBuf,
}

/// What the runtime is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Names, an image and a command.
    Least,
    /// All that the kubelet asks for.
    SameAsKubelet,
}

/// How long the parts of one pod took.
pub struct Times {
    /// From nothing to a started container.
    pub started: Duration,
    /// The container alone, in a sandbox that is there.
    pub created_and_started: Duration,
    /// From the call that stops the sandbox, and with it the container, to nothing.
    pub removed: Duration,
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
            folder: node.layout.lib.join("floor"),
        };
        std::fs::create_dir_all(&floor.folder).expect("a folder");
        floor.one_pod("warm-up", Ask::Least);
        floor.one_pod("warm-up-2", Ask::SameAsKubelet);
        floor
    }

    /// Makes one pod and removes it again.
    pub fn one_pod(&self, name: &str, ask: Ask) -> Times {
        let (config, container) = self.ask(name, ask);
        self.runtime.block_on(async {
            let begin = Instant::now();
            let sandbox = self.sandbox(&config).await.expect("a sandbox");
            let middle = Instant::now();
            let started = self.container(&sandbox, container, config).await;
            started.expect("a container");
            let (started, created_and_started) = (begin.elapsed(), middle.elapsed());
            let end = Instant::now();
            self.remove(&sandbox).await;
            Times {
                started,
                created_and_started,
                removed: end.elapsed(),
            }
        })
    }

    /// Makes `count` pods, some at once, and removes them again.
    pub fn many_pods(&self, count: usize, ask: Ask) -> Duration {
        use futures_util::{StreamExt, stream};
        let asks = (0..count).map(|n| self.ask(&format!("floor-of-many{n}"), ask));
        let asks: Vec<_> = asks.collect();
        self.runtime.block_on(async {
            let begin = Instant::now();
            let pods = asks.into_iter().map(|(config, container)| async move {
                let sandbox = self.sandbox(&config).await?;
                self.container(&sandbox, container, config).await?;
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

    fn ask(&self, name: &str, ask: Ask) -> (PodSandboxConfig, ContainerConfig) {
        match ask {
            Ask::Least => (self.least_sandbox(name), least_container()),
            Ask::SameAsKubelet => self.same_as_kubelet(name),
        }
    }

    fn least_sandbox(&self, name: &str) -> PodSandboxConfig {
        PodSandboxConfig {
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
        }
    }

    /// What the kubelet makes of a pod, from its own translation.
    fn same_as_kubelet(&self, name: &str) -> (PodSandboxConfig, ContainerConfig) {
        let mut manifest = pod(name, "exec sleep 86400");
        manifest["metadata"]["uid"] = name.into();
        let pod: Pod = serde_json::from_value(manifest).expect("a pod");
        let main = container("main", "exec sleep 86400");
        let main = serde_json::from_value(main).expect("a container");
        let inputs = SandboxInputs {
            hostname: name.to_owned(),
            dns: Some(DnsConfig {
                servers: vec!["192.0.2.53".to_owned()],
                ..DnsConfig::default()
            }),
            log_directory: self.folder.join(name).to_string_lossy().into_owned(),
            cgroup_parent: format!("{}/pod{name}", self.cgroup),
            ..SandboxInputs::default()
        };
        let mounts = [("hosts", "/etc/hosts"), ("words", "/dev/termination-log")];
        let inputs_of_main = ContainerInputs {
            attempt: 0,
            hash: 1,
            image_ref: IMAGE,
            image_user: &ImageUser::default(),
            mounts: mounts
                .map(|(file, at)| self.mount(&format!("{name}-{file}"), at))
                .into(),
            facts: &DownwardFacts::default(),
            limits: &NodeLimits {
                memory_capacity: 1 << 33,
                cfs_quota: true,
                cfs_period: 100_000,
                huge_page_sizes: Vec::new(),
            },
            confinement: &Confinement::default(),
            target: None,
        };
        let main = container_config(&pod, &main, &inputs_of_main).expect("a plain container");
        (sandbox_config(&pod, &inputs), main)
    }

    fn mount(&self, file: &str, container_path: &str) -> Mount {
        let host = self.folder.join(file);
        std::fs::write(&host, "").expect("a file");
        Mount {
            container_path: container_path.to_owned(),
            host_path: host.to_string_lossy().into_owned(),
            ..Mount::default()
        }
    }

    async fn sandbox(&self, config: &PodSandboxConfig) -> Result<String, CriError> {
        self.client.run_sandbox(config.clone(), "").await
    }

    async fn container(
        &self,
        sandbox: &str,
        container: ContainerConfig,
        config: PodSandboxConfig,
    ) -> Result<(), CriError> {
        let created = self.client.create_container(sandbox, container, config);
        let id = created.await?;
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

fn least_container() -> ContainerConfig {
    ContainerConfig {
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
    }
}
