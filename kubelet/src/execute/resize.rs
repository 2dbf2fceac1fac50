//! Resources changed in place: the pod's cgroup first where it grows, then its containers, then the
//! pod's cgroup where it shrinks. Nothing is squeezed below what is in use.

use keelson_cri::CriError;

use super::resources::pod_cgroup;
use super::{Executor, Failure, Job, manifest_container};
use crate::cgroup;
use crate::metrics::record::{cgroup_work, measured};
use crate::model::resources::{Change, ContainerChange};
use crate::model::{Action, Done, Event, FailReason, ObservedContainer, Resources};
use crate::observe::{clock, listing};
use crate::spec::resources::container_resources;

impl Executor {
    pub(super) async fn resize(&self, job: &Job) -> Result<Event, Failure> {
        let Action::Resize { pod, containers } = &job.action else {
            return Err(Failure::new(FailReason::Resize, "not a resize"));
        };
        self.refuse_squeezing(job, pod, containers)?;
        let most = pod.from.most(pod.to);
        if pod.from != most {
            self.limit_pod(job, most).await?;
        }
        let mut seen = Vec::new();
        for container in containers {
            seen.push(self.resize_container(job, container).await?);
        }
        if pod.to != most {
            self.limit_pod(job, pod.to).await?;
        }
        Ok(Event::Done(Done::Resized { containers: seen }))
    }

    /// The kernel would kill what does not fit.
    fn refuse_squeezing(
        &self,
        job: &Job,
        pod: &Change,
        containers: &[ContainerChange],
    ) -> Result<(), Failure> {
        let place = pod_cgroup(job);
        let mut refused = Vec::new();
        let mut judge = |of: String, change: &Change, usage: Option<cgroup::Usage>| {
            let used = usage.and_then(|usage| usage.memory).map_or(0, |m| m.usage);
            if let Some(limit) = change.squeezes_memory().filter(|limit| used > *limit) {
                refused.push(format!(
                    "attempting to set {of} memory limit ({limit}) below current usage ({used})"
                ));
            }
        };
        judge("pod".to_owned(), pod, self.cgroups.pod_usage(&place));
        for one in containers {
            let usage = self.cgroups.container_usage(&place, &one.id);
            judge(format!("container {:?}", one.container), &one.change, usage);
        }
        match refused.as_slice() {
            [] => return Ok(()),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
        .map_err(|why| {
            let text = format!("cannot decrease memory limits: {why}");
            Failure::new(FailReason::Resize, text)
        })
    }

    async fn limit_pod(&self, job: &Job, to: Resources) -> Result<(), Failure> {
        let pod = pod_cgroup(job);
        let limits = cgroup::plan::resized(to, &self.node.cgroup_policy);
        let (cgroups, burstable) = (self.cgroups.clone(), job.burstable_milli_cpu);
        let made = tokio::task::spawn_blocking(move || {
            cgroup_work("update", || cgroups.update_pod(&pod, &limits))?;
            cgroup_work("update", || cgroups.update_qos(burstable))
        });
        match made.await {
            Ok(done) => done.map_err(|error| Failure::new(FailReason::Resize, error)),
            Err(error) => Err(Failure::new(FailReason::Resize, error)),
        }
    }

    async fn resize_container(
        &self,
        job: &Job,
        one: &ContainerChange,
    ) -> Result<ObservedContainer, Failure> {
        let fail = |error: CriError| Failure::call(FailReason::Resize, &error).and_look();
        let manifest = manifest_container(&job.pod, &one.container).ok_or_else(|| {
            let text = format!("container {} is not in the pod", one.container);
            Failure::new(FailReason::Resize, text)
        })?;
        let resources = container_resources(&job.pod, &manifest, &self.node.limits);
        let call = self.cri.update_container_resources(&one.id, resources);
        measured("update_container", call).await.map_err(fail)?;
        let status = measured("container_status", self.cri.container_status(&one.id)).await;
        let status = status.map_err(fail)?;
        Ok(listing::container(&status, "", clock::mono()))
    }
}
