//! Reads what a question needs, once a second at most, and answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use keelson_api::qos;
use keelson_cri::values::stats::{ImageFsInfo, SandboxStats};
use keelson_cri::{Client, CriError};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::assemble::{assemble, remember};
use super::input::{ContainerReading, FsReading, LastCpu, PodReading, Reading};
use super::summary::Summary;
use super::volumes::Volumes;
use super::{pages, read};
use crate::cgroup::{Manager, PodCgroup, Tier};
use crate::logs::layout::LogOwner;
use crate::metrics::render::Text;
use crate::observe::clock;
use crate::serve::view::NodeView;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(1);

/// Where things are, and who knows of them.
#[derive(Clone)]
pub struct Sources {
    /// The node.
    pub view: Arc<dyn NodeView>,
    /// The runtime.
    pub cri: Client,
    /// The cgroups of pods; without them there is no usage of pods.
    pub cgroups: Option<Arc<Manager>>,
    /// The node's name.
    pub node_name: String,
    /// The kubelet's directory.
    pub root: PathBuf,
    /// The directory of pods' logs (`podLogsDir`).
    pub pod_logs: PathBuf,
    /// What volumes hold.
    pub volumes: Arc<Volumes>,
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// CPU and memory: cgroups and /proc alone.
    CpuAndMemory,
    /// Everything: the runtime is asked for networks, layers and image file systems.
    Everything,
}

/// Answers questions of usage. Reads nothing until asked.
pub struct Collector {
    sources: Sources,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    shallow: Option<(Instant, Answer)>,
    deep: Option<(Instant, Answer)>,
    last: LastCpu,
}

/// One reading and its summary.
#[derive(Clone)]
struct Answer {
    reading: Arc<Reading>,
    summary: Arc<Summary>,
}

impl Collector {
    /// A collector that has read nothing yet.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            state: Mutex::default(),
        }
    }

    /// The summary of `/stats/summary`.
    pub async fn summary(&self, depth: Depth) -> Result<Arc<Summary>, CriError> {
        Ok(self.answer(depth).await?.summary)
    }

    /// The page `/metrics/resource`.
    pub async fn resource_page(&self) -> Result<Text, CriError> {
        let answer = self.answer(Depth::CpuAndMemory).await?;
        Ok(pages::resource(&answer.summary))
    }

    /// The page `/metrics/cadvisor`.
    pub async fn cadvisor_page(&self) -> Result<Text, CriError> {
        let answer = self.answer(Depth::Everything).await?;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Ok(pages::cadvisor(&answer.reading, cores))
    }

    async fn answer(&self, depth: Depth) -> Result<Answer, CriError> {
        if let Some(answer) = self.fresh(depth) {
            return Ok(answer);
        }
        let runtime = match depth {
            Depth::CpuAndMemory => RuntimeReading::default(),
            Depth::Everything => self.sources.ask_runtime().await?,
        };
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || sources.read(&runtime, depth)).await;
        let reading = match read {
            Ok(reading) => Arc::new(reading),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        Ok(self.keep(reading, depth))
    }

    fn fresh(&self, depth: Depth) -> Option<Answer> {
        let state = self.state.lock();
        let (at, answer) = match depth {
            Depth::CpuAndMemory => state.shallow.as_ref(),
            Depth::Everything => state.deep.as_ref(),
        }?;
        (at.elapsed() < FRESH).then(|| answer.clone())
    }

    /// Old answers are dropped, so that an unasked collector holds little.
    fn keep(&self, reading: Arc<Reading>, depth: Depth) -> Answer {
        let mut state = self.state.lock();
        let summary = Arc::new(assemble(&reading, &state.last));
        let elapsed = state.last.at.map(|last| reading.at.duration_since(last));
        if elapsed.is_none_or(|elapsed| elapsed.unsigned_abs() >= FRESH) {
            state.last = remember(&reading);
        }
        let answer = Answer { reading, summary };
        let kept = Some((Instant::now(), answer.clone()));
        (state.shallow, state.deep) = match depth {
            Depth::CpuAndMemory => (kept, None),
            Depth::Everything => (None, kept),
        };
        answer
    }
}

/// What the runtime was asked.
#[derive(Default)]
struct RuntimeReading {
    sandboxes: Vec<SandboxStats>,
    file_systems: ImageFsInfo,
}

impl Sources {
    async fn ask_runtime(&self) -> Result<RuntimeReading, CriError> {
        let sandboxes = self.cri.list_sandbox_stats(Default::default());
        let (sandboxes, file_systems) = tokio::join!(sandboxes, self.cri.image_fs_info());
        Ok(RuntimeReading {
            sandboxes: sandboxes?,
            file_systems: file_systems?,
        })
    }

    /// Reads files of the kernel, which are many and small.
    fn read(&self, runtime: &RuntimeReading, depth: Depth) -> Reading {
        let at = Timestamp::now();
        let mut node = read::machine(&self.node_name, &self.root);
        node.pods = self
            .cgroups
            .as_ref()
            .and_then(|cgroups| cgroups.total_usage());
        node.image_fs = runtime.file_systems.images.first().and_then(runtime_fs);
        node.container_fs = runtime.file_systems.containers.first().and_then(runtime_fs);
        let pods = self.view.pods();
        let uids = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref());
        self.volumes.retain(&uids.collect::<Vec<_>>());
        let started = pods
            .iter()
            .filter_map(|pod| self.read_pod(pod, runtime, depth));
        Reading {
            at,
            node,
            pods: started.collect(),
        }
    }

    fn read_pod(&self, pod: &Pod, runtime: &RuntimeReading, depth: Depth) -> Option<PodReading> {
        let status = pod.status.as_ref()?;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let tier = Tier::from(qos::class(pod));
        let cgroup = PodCgroup { uid, tier };
        let told = runtime
            .sandboxes
            .iter()
            .find(|sandbox| sandbox.uid == cgroup.uid);
        let owner = LogOwner {
            namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod: pod.metadata.name.as_deref().unwrap_or_default(),
            uid: &cgroup.uid,
        };
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let containers = lists.into_iter().flatten().flatten();
        let read = |one| self.read_container(one, &cgroup, told, (depth, &owner));
        let containers: Vec<_> = containers.filter_map(read).collect();
        if containers.is_empty() {
            return None;
        }
        let manager = self.cgroups.as_ref();
        let interfaces = told.map(|told| told.interfaces.clone()).unwrap_or_default();
        let inside = manager.filter(|_| !interfaces.is_empty());
        let process = inside.and_then(|manager| manager.process_of(&cgroup));
        let volumes = match depth {
            Depth::Everything => self.volumes.of(pod, clock::mono()),
            Depth::CpuAndMemory => Vec::new(),
        };
        Some(PodReading {
            name: owner.pod.to_owned(),
            namespace: owner.namespace.to_owned(),
            started: status.start_time.as_ref().map(|time| time.0),
            usage: manager.and_then(|manager| manager.pod_usage(&cgroup)),
            interfaces,
            packets: process.map(read::packets_of).unwrap_or_default(),
            volumes,
            uid: cgroup.uid.clone(),
            containers,
        })
    }

    fn read_container(
        &self,
        status: &ContainerStatus,
        pod: &PodCgroup,
        told: Option<&SandboxStats>,
        (depth, owner): (Depth, &LogOwner<'_>),
    ) -> Option<ContainerReading> {
        let running = status.state.as_ref()?.running.as_ref()?;
        let id = status.container_id.as_deref()?;
        let id = id.split_once("://").map_or(id, |(_, id)| id);
        let layer = told.and_then(|told| {
            let container = told
                .containers
                .iter()
                .find(|container| container.id == id)?;
            let layer = container.writable_layer.as_ref()?;
            Some((layer.used_bytes?, layer.inodes_used.unwrap_or(0)))
        });
        let logs = owner.container_directory(&self.pod_logs, &status.name);
        let manager = self.cgroups.as_ref();
        Some(ContainerReading {
            name: status.name.clone(),
            id: id.to_owned(),
            image: status.image.clone(),
            started: running.started_at.as_ref().map(|time| time.0),
            usage: manager.and_then(|manager| manager.container_usage(pod, id)),
            writable: layer,
            logs: (depth == Depth::Everything)
                .then(|| read::directory_size(&logs))
                .flatten(),
        })
    }
}

/// The whole from the kernel, the part from the runtime.
fn runtime_fs(usage: &keelson_cri::values::stats::FilesystemUsage) -> Option<FsReading> {
    let whole = read::file_system(Path::new(&usage.mountpoint))?;
    Some(FsReading {
        used: usage.used_bytes.unwrap_or(whole.used),
        inodes_used: usage.inodes_used.unwrap_or(whole.inodes_used),
        ..whole
    })
}
