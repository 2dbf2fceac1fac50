//! Measures what the node has left, every ten seconds, and has pods ended while it is too little.
//!
//! Decides nothing itself: [`crate::evict`] does. One pod goes at a time, and the next measurement
//! waits until what it held is given back. Costs nothing where no threshold is set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use keelson_api::resources::pod_requests;
use keelson_cri::Client;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::pod_loop::Records;
use crate::admit::is_critical;
use crate::cgroup;
use crate::collect::Request;
use crate::evict::message::{Offender, evicted, requested};
use crate::evict::{
    AT_ONCE, Candidate, Condition, Eviction, Observations, Resource, Signal, Threshold, Watch,
    choose,
};
use crate::journal::{Journal, Kind};
use crate::model::memory::Life;
use crate::model::{PodSpec, PodUid};
use crate::observe::clock;
use crate::pod_files::Paths;
use crate::stats::collector::Depth;
use crate::stats::summary::{ContainerStats, FsStats, PodStats, Summary};
use crate::stats::{self, headroom};
use crate::volume::usage;

/// Time between two measurements.
const PERIOD: Duration = Duration::from_secs(10);
/// How long an evicted pod may take to give back what it holds before the next one is looked for.
const CLEAN_UP: Duration = Duration::from_secs(30);
/// How often that is looked at.
const CLEAN_UP_LOOK: Duration = Duration::from_secs(1);
/// Entries of a volume that are looked at.
const BUDGET: u64 = 200_000;

/// The conditions that the node has.
pub type Conditions = watch::Receiver<BTreeSet<Condition>>;

/// What measuring and ending pods needs.
pub struct Pressure {
    /// What to watch for.
    pub watch: Watch,
    /// `evictionMaxPodGracePeriod`.
    pub most_grace: Duration,
    /// The runtime.
    pub cri: Client,
    /// The cgroup of all pods.
    pub cgroups: Arc<cgroup::Manager>,
    /// What pods may use together; `None` where nothing enforces it.
    pub allocatable_memory: Option<u64>,
    /// Where pods have their files.
    pub paths: Paths,
    /// The pods.
    pub records: Records,
    /// What each of them uses.
    pub stats: Arc<stats::Collector>,
    /// For what was decided.
    pub journal: Arc<Journal>,
    /// Asks for unused images to be removed.
    pub collect: mpsc::Sender<Request>,
    /// Tells the pod loop whom to end.
    pub evict: mpsc::Sender<Eviction>,
    /// Tells the conditions.
    pub conditions: watch::Sender<BTreeSet<Condition>>,
}

/// What is left, and how the file systems lie.
struct Measured {
    observed: Observations,
    /// Images have a file system to themselves.
    images_apart: bool,
}

impl Pressure {
    /// Measures and acts, for ever. Dropping the future ends it.
    pub async fn run(mut self) {
        if !self.watch.is_needed() {
            return;
        }
        let mut images = None;
        loop {
            tokio::time::sleep(PERIOD).await;
            if images.is_none() {
                images = self.image_folder().await;
            }
            let Some(evicted) = self.look(images.as_deref()).await else {
                continue;
            };
            self.await_clean_up(&evicted).await;
        }
    }

    /// Where the runtime keeps images; asked until it answers.
    async fn image_folder(&self) -> Option<PathBuf> {
        let info = self.cri.image_fs_info().await.ok()?;
        info.images.first().map(|fs| PathBuf::from(&fs.mountpoint))
    }

    /// One measurement and what follows from it: the pod that was told to end.
    async fn look(&mut self, images: Option<&Path>) -> Option<PodUid> {
        let measured = self.measure(images).await?;
        let verdict = self.watch.look(clock::mono(), &measured.observed);
        self.conditions.send_if_modified(|told| {
            std::mem::replace(told, verdict.conditions.clone()) != verdict.conditions
        });
        let starved = verdict.starved?;
        let resource = starved.signal.resource();
        let text = format!("Attempting to reclaim {}", resource.as_str());
        self.tell("EvictionThresholdMet", &text);
        if starved.signal.is_of_disk() && self.make_room(images).await {
            return None;
        }
        self.end_one(&starved, &measured).await
    }

    async fn measure(&self, images: Option<&Path>) -> Option<Measured> {
        let (cgroups, allocatable) = (self.cgroups.clone(), self.allocatable_memory);
        let root = self.paths.root().to_owned();
        let images = images.map(Path::to_owned);
        let read = move || {
            let pods = allocatable.zip(cgroups.total_usage());
            Measured {
                observed: headroom::read(&root, images.as_deref(), pods),
                images_apart: images.is_some_and(|images| headroom::are_apart(&root, &images)),
            }
        };
        tokio::task::spawn_blocking(read).await.ok()
    }

    /// Removes images that nobody uses. True when that was enough.
    async fn make_room(&self, images: Option<&Path>) -> bool {
        let (done, is_done) = oneshot::channel();
        if self.collect.send(done).await.is_err() || is_done.await.is_err() {
            return false;
        }
        let measured = self.measure(images).await;
        measured.is_some_and(|measured| self.watch.is_relieved(&measured.observed))
    }

    async fn end_one(&self, starved: &Threshold, measured: &Measured) -> Option<PodUid> {
        let depth = match starved.signal.is_of_disk() {
            true => Depth::Everything,
            false => Depth::CpuAndMemory,
        };
        let summary = self.stats.summary(depth).await.ok()?;
        let (pods, paths) = (self.active_pods(), self.paths.clone());
        let (signal, apart) = (starved.signal, measured.images_apart);
        let rank = move || candidates(signal, apart, &pods, &summary, &paths);
        let ranked = tokio::task::spawn_blocking(rank).await.ok()?;
        let (candidates, mut details): (Vec<_>, Vec<_>) = ranked.into_iter().unzip();
        let Some(chosen) = choose(signal.resource(), &candidates) else {
            self.tell("EvictionFailed", "no pod may be ended to make room");
            return None;
        };
        let place = candidates.iter().position(|one| one.uid == chosen.uid)?;
        let Details { grace, offenders } = details.swap_remove(place);
        let eviction = Eviction {
            uid: chosen.uid.clone(),
            message: evicted(starved, &measured.observed, &offenders),
            signal: signal.as_str(),
            grace: match starved.is_hard() {
                true => AT_ONCE,
                false => grace.min(self.most_grace),
            },
        };
        self.evict.send(eviction).await.ok()?;
        Some(chosen.uid.clone())
    }

    /// The pods that run or begin to.
    fn active_pods(&self) -> Vec<(PodUid, Arc<Pod>, Arc<PodSpec>)> {
        let records = self.records.lock();
        let active = records
            .iter()
            .filter(|(_, record)| record.memory.life == Life::Wanted);
        active
            .map(|(uid, record)| (uid.clone(), record.pod.clone(), record.spec.clone()))
            .collect()
    }

    async fn await_clean_up(&self, uid: &PodUid) {
        let deadline = Instant::now() + CLEAN_UP;
        let holds = || {
            let records = self.records.lock();
            let record = records.get(uid);
            record.is_some_and(|r| r.memory.life != Life::Finished || r.observed.resources_held)
        };
        while holds() && Instant::now() < deadline {
            tokio::time::sleep(CLEAN_UP_LOOK).await;
        }
    }

    fn tell(&self, reason: &'static str, message: &str) {
        let at = clock::now().wall;
        self.journal.record_node(at, Kind::Warning, reason, message);
    }
}

/// What is said of a pod beyond its rank.
struct Details {
    grace: Duration,
    offenders: Vec<Offender>,
}

/// The pods with what they use of the resource. Looks at volumes on disk.
fn candidates(
    signal: Signal,
    images_apart: bool,
    pods: &[(PodUid, Arc<Pod>, Arc<PodSpec>)],
    summary: &Summary,
    paths: &Paths,
) -> Vec<(Candidate, Details)> {
    let resource = signal.resource();
    let parts = Parts::of(signal, images_apart);
    let ranked = pods.iter().filter_map(|(uid, pod, spec)| {
        let used = summary
            .pods
            .iter()
            .find(|p| p.pod_ref.uid == uid.as_str())?;
        let volumes = match parts.volumes {
            true => in_volumes(pod, uid, paths, resource),
            false => 0,
        };
        let request = pod_requests(pod).get(resource.as_str()).cloned();
        let request = request.and_then(|quantity| u64::try_from(quantity.value()).ok());
        let candidate = Candidate {
            uid: uid.clone(),
            priority: pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0),
            critical: is_critical(pod),
            usage: used_by_pod(resource, used, parts) + volumes,
            request: request.unwrap_or(0),
        };
        let offenders = offenders(resource, pod, used, parts);
        let grace = spec.grace;
        Some((candidate, Details { grace, offenders }))
    });
    ranked.collect()
}

/// What of a pod lies on the file system that runs full.
#[derive(Clone, Copy)]
struct Parts {
    layers: bool,
    logs: bool,
    volumes: bool,
}

impl Parts {
    fn of(signal: Signal, images_apart: bool) -> Self {
        let of_images = matches!(signal, Signal::ImagefsAvailable | Signal::ImagefsInodesFree);
        Self {
            layers: !images_apart || of_images,
            logs: !images_apart || !of_images,
            volumes: !images_apart || !of_images,
        }
    }
}

fn used_by_pod(resource: Resource, pod: &PodStats, parts: Parts) -> u64 {
    match resource {
        Resource::Memory => pod
            .memory
            .as_ref()
            .and_then(|m| m.working_set_bytes)
            .unwrap_or(0),
        Resource::Pids => {
            let processes = pod.process_stats.as_ref();
            processes.and_then(|p| p.process_count).unwrap_or(0)
        }
        Resource::EphemeralStorage | Resource::Inodes => {
            let containers = pod.containers.iter();
            containers
                .map(|c| used_by_container(resource, c, parts))
                .sum()
        }
    }
}

fn used_by_container(resource: Resource, container: &ContainerStats, parts: Parts) -> u64 {
    let of = |fs: Option<&FsStats>| match resource {
        Resource::Inodes => fs.and_then(|fs| fs.inodes_used).unwrap_or(0),
        _ => fs.and_then(|fs| fs.used_bytes).unwrap_or(0),
    };
    match resource {
        Resource::Memory => {
            let memory = container.memory.as_ref();
            memory.and_then(|m| m.working_set_bytes).unwrap_or(0)
        }
        Resource::Pids => 0,
        Resource::EphemeralStorage | Resource::Inodes => {
            let layer = of(container.rootfs.as_ref().filter(|_| parts.layers));
            layer + of(container.logs.as_ref().filter(|_| parts.logs))
        }
    }
}

fn offenders(resource: Resource, pod: &Pod, used: &PodStats, parts: Parts) -> Vec<Offender> {
    let of = |container: &ContainerStats| {
        let usage = used_by_container(resource, container, parts);
        let request = requested(pod, &container.name, resource);
        (usage > request).then(|| Offender {
            container: container.name.clone(),
            usage,
            request,
        })
    };
    match resource {
        Resource::Memory | Resource::EphemeralStorage => {
            used.containers.iter().filter_map(of).collect()
        }
        Resource::Inodes | Resource::Pids => Vec::new(),
    }
}

/// What the pod's emptyDir volumes on disk hold.
fn in_volumes(pod: &Pod, uid: &PodUid, paths: &Paths, resource: Resource) -> u64 {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let on_disk = volumes.filter(|volume| {
        let medium = volume
            .empty_dir
            .as_ref()
            .map(|source| source.medium.as_deref());
        medium.is_some_and(|medium| medium.is_none_or(str::is_empty))
    });
    let held = on_disk.map(|volume| {
        let path = paths.volume(uid.as_str(), "empty-dir", &volume.name);
        let held = usage(&path, BUDGET).unwrap_or_default();
        match resource {
            Resource::Inodes => held.inodes,
            _ => held.bytes,
        }
    });
    held.sum()
}
