//! Sandboxes: create, stop, remove.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use keelson_cri::config::DnsConfig;
use tokio::time::Instant;

use super::resources::pod_cgroup_of;
use super::{Executor, Failure, Job};
use crate::logs::layout::LogOwner;
use crate::metrics::record::{self, measured};
use crate::model::{Done, Event, FailReason};
use crate::observe::{clock, listing};
use crate::pod_files::{dns, host_names};
use crate::spec::{SandboxInputs, sandbox_config};
use crate::user_namespaces::IdRange;

impl Executor {
    pub(super) async fn create_sandbox(&self, job: &Job, attempt: u32) -> Result<Event, Failure> {
        let handler = handler(&job.pod);
        let ids = self.new_ids(job, handler).await?;
        let inputs = self.sandbox_inputs(&job.pod, attempt, ids)?;
        let config = sandbox_config(&job.pod, &inputs);
        let since = clock::mono();
        let fail = |error| Failure::call(FailReason::Sandbox, &error);
        let id = {
            let _turn = self.starts.acquire().await;
            let began = Instant::now();
            let made = measured("run_podsandbox", self.cri.run_sandbox(config, handler)).await;
            record::sandbox_run(handler, began.elapsed(), made.is_err());
            made.map_err(fail)?
        };
        // Unseen it would be made twice: whatever went wrong here, look.
        let status = measured("podsandbox_status", self.cri.sandbox_status(&id)).await;
        let status = status.map_err(|e| fail(e).and_look())?;
        Ok(Event::Done(Done::Sandbox(listing::sandbox(
            &status.sandbox,
            since,
        ))))
    }

    /// What the sandbox needs beyond the manifest.
    pub(super) fn sandbox_inputs(
        &self,
        pod: &Pod,
        attempt: u32,
        ids: Option<IdRange>,
    ) -> Result<SandboxInputs, Failure> {
        let names = host_names(pod, &self.node.cluster_domain)
            .map_err(|error| Failure::new(FailReason::Sandbox, error))?;
        let own_network = pod.spec.as_ref().and_then(|s| s.host_network) != Some(true);
        let plan = dns::plan(pod, &self.node.dns()).config;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let meta = &pod.metadata;
        let (namespace, name) = (text(&meta.namespace), text(&meta.name));
        let uid = text(&meta.uid);
        let owner = LogOwner {
            namespace: &namespace,
            pod: &name,
            uid: &uid,
        };
        let log_directory = owner.pod_directory(&self.node.log_root);
        Ok(SandboxInputs {
            attempt,
            hostname: if own_network {
                names.hostname
            } else {
                String::new()
            },
            dns: Some(DnsConfig {
                servers: plan.servers,
                searches: plan.searches,
                options: plan.options,
            }),
            log_directory: log_directory.to_string_lossy().into_owned(),
            cgroup_parent: self.cgroups.pod_cgroup_parent(&pod_cgroup_of(pod, &uid)),
            confinement: self.node.confinement.with_ids(ids),
        })
    }

    pub(super) async fn stop_sandbox(&self, id: &Arc<str>) -> Result<Event, Failure> {
        match measured("stop_podsandbox", self.cri.stop_sandbox(id)).await {
            Err(error) if !error.is_not_found() => Err(Failure::call(FailReason::KillPod, &error)),
            _ => Ok(Event::Done(Done::SandboxStopped { id: id.clone() })),
        }
    }

    pub(super) async fn remove_sandbox(&self, id: &Arc<str>) -> Result<Event, Failure> {
        match measured("remove_podsandbox", self.cri.remove_sandbox(id)).await {
            Err(error) if !error.is_not_found() => Err(Failure::call(FailReason::KillPod, &error)),
            _ => Ok(Event::Done(Done::SandboxRemoved { id: id.clone() })),
        }
    }
}

/// The runtime handler that the pod chose; empty for the default one.
fn handler(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|s| s.runtime_class_name.as_deref())
        .unwrap_or_default()
}
