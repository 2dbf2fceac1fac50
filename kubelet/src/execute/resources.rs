//! What a pod holds on the node besides containers: its cgroup, directories and volumes.

use k8s_openapi::api::core::v1::Pod;
use keelson_api::qos;

use super::{Executor, Failure, Job, manifest_container};
use crate::cgroup::{self, PodCgroup, Tier};
use crate::logs::files::{remove_links_below, remove_pod_directory};
use crate::metrics::record::cgroup_work;
use crate::model::{Done, Event, FailReason};
use crate::pod_files::create_pod_dir;
use crate::spec::env::{DownwardFacts, environment};
use crate::volume::{self, Facts, VolumePlan};

impl Executor {
    pub(super) async fn set_up_cgroup(&self, job: &Job) -> Result<Event, Failure> {
        let pod = pod_cgroup(job);
        let mut limits = cgroup::pod_limits(&job.pod, pod.tier, &self.node.cgroup_policy);
        let (cgroups, burstable) = (self.cgroups.clone(), job.burstable_milli_cpu);
        let made = tokio::task::spawn_blocking(move || {
            // One that is adopted in the middle of a resize keeps what is in use.
            let used = cgroups.pod_usage(&pod).and_then(|usage| usage.memory);
            let used = used.map_or(0, |memory| memory.usage);
            limits.memory = limits.memory.filter(|bound| match bound {
                cgroup::Bound::At(limit) => used <= *limit,
                cgroup::Bound::Unlimited => true,
            });
            cgroup_work("create", || cgroups.set_up_pod(&pod, &limits))?;
            cgroup_work("update", || cgroups.update_qos(burstable))
        });
        match made.await {
            Ok(Ok(())) => Ok(Event::Done(Done::Cgroup)),
            Ok(Err(error)) => Err(Failure::new(FailReason::Cgroup, error)),
            Err(error) => Err(Failure::new(FailReason::Cgroup, error)),
        }
    }

    pub(super) async fn set_up_volumes(&self, job: &Job) -> Result<Event, Failure> {
        let fail = |error: String| Failure::new(FailReason::Mount, error);
        let plan = self.volume_plan(job).map_err(fail)?;
        let (paths, uid) = (self.node.paths.clone(), job.uid.clone());
        let made = tokio::task::spawn_blocking(move || {
            create_pod_dir(&paths, uid.as_str()).map_err(|e| e.to_string())?;
            volume::set_up(&plan).map_err(|e| e.to_string())
        });
        match made.await {
            Ok(Ok(())) => Ok(Event::Done(Done::Volumes)),
            Ok(Err(message)) => Err(fail(message)),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// What the pod's volumes need and what its containers mount.
    pub(super) fn volume_plan(&self, job: &Job) -> Result<VolumePlan, String> {
        let downward = self.downward(job);
        let mut facts = Facts {
            allocatable: self.node.allocatable.clone(),
            tmpfs_noswap: self.node.tmpfs_noswap,
            recursive_read_only: self.node.recursive_read_only,
            selinux: self.node.selinux,
            objects: job.objects.clone(),
            ..Facts::default()
        };
        // Only subPathExpr needs the variables.
        for spec in job.spec.containers.iter() {
            let Some(container) = manifest_container(&job.pod, &spec.name) else {
                continue;
            };
            let mounts = container.volume_mounts.iter().flatten();
            if mounts.clone().all(|m| m.sub_path_expr.is_none()) {
                continue;
            }
            let env = environment(&job.pod, &container, &downward).map_err(|e| e.to_string())?;
            facts
                .environment
                .insert(container.name, env.into_iter().collect());
        }
        volume::plan(&job.pod, job.uid.as_str(), &self.node.paths, &facts)
            .map_err(|error| error.to_string())
    }

    /// What environments are made from.
    pub(super) fn downward(&self, job: &Job) -> DownwardFacts {
        DownwardFacts {
            objects: job.objects.clone(),
            ..self.node.downward(&job.ips)
        }
    }

    pub(super) async fn tear_down(&self, job: &Job, keep_logs: bool) -> Result<Event, Failure> {
        let (paths, cgroups) = (self.node.paths.clone(), self.cgroups.clone());
        let (pod, uid) = (pod_cgroup(job), job.uid.clone());
        let user_namespaces = self.user_namespaces.clone();
        let logs = (!keep_logs).then(|| self.log_dir(job));
        let links = self.node.log_links.clone();
        let torn_down = tokio::task::spawn_blocking(move || {
            let mut left = Vec::new();
            let dir = paths.pod(uid.as_str());
            let volumes = if keep_logs {
                volume::tear_down_volumes(&dir)
            } else {
                volume::tear_down(&dir)
            };
            left.extend(volumes.err().into_iter().flatten().map(|e| e.to_string()));
            if left.is_empty() {
                let released = user_namespaces.release(uid.as_str());
                left.extend(released.err().map(|e| e.to_string()));
            }
            let removed = cgroup_work("destroy", || cgroups.remove_pod(&pod));
            left.extend(removed.err().map(|e| e.to_string()));
            if let Some(dir) = logs {
                let links = remove_links_below(&links, &dir);
                left.extend(links.iter().map(ToString::to_string));
                left.extend(remove_pod_directory(&dir).err().map(|e| e.to_string()));
            }
            left
        });
        match torn_down.await {
            Ok(left) if left.is_empty() => Ok(Event::Done(Done::TornDown {
                files_kept: keep_logs,
            })),
            Ok(left) => Err(Failure::new(FailReason::TearDown, left.join("; "))),
            Err(error) => Err(Failure::new(FailReason::TearDown, error)),
        }
    }
}

/// The pod's place in the cgroup tree.
pub(super) fn pod_cgroup(job: &Job) -> PodCgroup {
    pod_cgroup_of(&job.pod, job.uid.as_str())
}

/// The place of a pod with that uid in the cgroup tree.
pub(super) fn pod_cgroup_of(pod: &Pod, uid: &str) -> PodCgroup {
    PodCgroup {
        uid: uid.to_owned(),
        tier: Tier::from(qos::class(pod)),
    }
}
