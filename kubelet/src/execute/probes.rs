//! Probes and hooks of one container.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::time::Instant;

use super::{Executor, Failure, Job, manifest_container};
use crate::metrics::record;
use crate::model::{Done, Event, FailReason, ProbeKind};
use crate::probe::{HookOwner, ProbeOutcome, hook_target, probe_target};

/// A postStart hook has no deadline of its own; this one keeps a hanging hook from being forgotten.
const POST_START_BUDGET: Duration = Duration::from_secs(600);

impl Executor {
    pub(super) async fn run_probe(
        &self,
        job: &Job,
        container: &Arc<str>,
        id: &Arc<str>,
        kind: ProbeKind,
    ) -> Event {
        let (success, message) = match self.probe_once(job, container, id, kind).await {
            Ok(told) => told,
            Err(message) => (None, message),
        };
        Event::Done(Done::Probe {
            container: container.clone(),
            id: id.clone(),
            kind,
            success,
            message,
        })
    }

    async fn probe_once(
        &self,
        job: &Job,
        name: &str,
        id: &str,
        kind: ProbeKind,
    ) -> Result<(Option<bool>, String), String> {
        let container = manifest_container(&job.pod, name).ok_or("no such container")?;
        let probe: Option<&Probe> = match kind {
            ProbeKind::Startup => container.startup_probe.as_ref(),
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
        };
        let probe = probe.ok_or("no such probe")?;
        let timeout = job.spec.container(name).and_then(|c| c.probes.get(&kind));
        let timeout = timeout.map_or(Duration::from_secs(1), |spec| spec.timeout);
        let ips = self.reachable(job);
        let target = probe_target(probe, &job.pod, &container, &ips).map_err(|e| e.to_string())?;
        let began = Instant::now();
        let report = self.prober.probe(id, &target, timeout).await;
        count(job, name, kind, report.outcome, began.elapsed());
        let success = match report.outcome {
            ProbeOutcome::Success | ProbeOutcome::Warning => Some(true),
            ProbeOutcome::Failure => Some(false),
            ProbeOutcome::Unknown => None,
        };
        Ok((success, report.message))
    }

    pub(super) async fn post_start(
        &self,
        job: &Job,
        name: &Arc<str>,
        id: &Arc<str>,
    ) -> Result<Event, Failure> {
        let fail = |error: String| Failure::new(FailReason::PostStartHook, error);
        let container = manifest_container(&job.pod, name)
            .ok_or_else(|| fail(format!("container {name} is not in the pod")))?;
        let handler = container
            .lifecycle
            .as_ref()
            .and_then(|l| l.post_start.as_ref());
        if let Some(handler) = handler {
            let target = hook_target(handler, &job.pod, &container, &self.reachable(job))
                .map_err(|e| fail(e.to_string()))?;
            let owner = HookOwner::new(&job.pod, name);
            self.prober
                .hook(id, &owner, &target, POST_START_BUDGET)
                .await
                .map_err(|e| fail(e.to_string()))?;
        }
        Ok(Event::Done(Done::PostStart {
            container: name.clone(),
            id: id.clone(),
        }))
    }

    /// Runs preStop for at most `budget`; a failure is told and stops nothing.
    pub(super) async fn pre_stop(&self, job: &Job, name: &str, id: &str, budget: Duration) {
        let Some(container) = manifest_container(&job.pod, name) else {
            return;
        };
        let handler = container
            .lifecycle
            .as_ref()
            .and_then(|l| l.pre_stop.as_ref());
        let Some(handler) = handler else { return };
        let outcome = match hook_target(handler, &job.pod, &container, &self.reachable(job)) {
            Ok(target) => {
                let owner = HookOwner::new(&job.pod, name);
                let ran = self.prober.hook(id, &owner, &target, budget).await;
                ran.map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(message) = outcome {
            self.tell(job, "FailedPreStopHook", &message);
        }
    }

    /// Addresses at which the pod is probed.
    fn reachable(&self, job: &Job) -> Vec<std::net::IpAddr> {
        match job.spec.host_network {
            true => self.node.ips.clone(),
            false => job.ips.clone(),
        }
    }
}

fn count(job: &Job, container: &str, kind: ProbeKind, outcome: ProbeOutcome, took: Duration) {
    let probe = record::Probe {
        kind: match kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        },
        result: match outcome {
            ProbeOutcome::Success | ProbeOutcome::Warning => "successful",
            ProbeOutcome::Failure => "failed",
            ProbeOutcome::Unknown => "unknown",
        },
        container,
        pod: &job.spec.name,
        namespace: &job.spec.namespace,
        pod_uid: job.uid.as_str(),
    };
    record::probe(&probe, took);
}
