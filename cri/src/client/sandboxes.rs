//! Calls about pod sandboxes.

use crate::config::{
    LinuxContainerResources, PodSandboxConfig, PodSandboxFilter, PodSandboxStatsFilter,
};
use crate::error::{Call, CriError};
use crate::proto::runtime as pb;
use crate::values::stats::SandboxStats;
use crate::values::{PodStatus, Sandbox};
use crate::wire;

use super::{Client, bad_reply, within};

fn pod_name(config: &PodSandboxConfig) -> String {
    config
        .metadata
        .as_ref()
        .map(|m| format!("{}/{}", m.namespace, m.name))
        .unwrap_or_default()
}

impl Client {
    /// `RunPodSandbox`: makes a sandbox with its network and returns its id.
    ///
    /// `handler` is the RuntimeClass handler, empty for the default.
    ///
    /// # Errors
    /// See [`CriError`]. `AlreadyExists` means that an earlier attempt with the same metadata
    /// still holds the name; after an ambiguous error, list before trying again.
    pub async fn run_sandbox(
        &self,
        config: PodSandboxConfig,
        handler: &str,
    ) -> Result<String, CriError> {
        let call = Call::new("RunPodSandbox", pod_name(&config));
        let request = pb::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: handler.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let reply = runtime.run_pod_sandbox(request);
        let limit = Some(self.deadlines.run_sandbox);
        let reply = within(limit, call, &self.runtime_socket, reply).await?;
        Ok(reply.pod_sandbox_id)
    }

    /// `StopPodSandbox`: kills what runs in it and gives its network back. Idempotent.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = pb::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("StopPodSandbox", id);
        self.change(call, runtime.stop_pod_sandbox(request)).await?;
        Ok(())
    }

    /// `RemovePodSandbox`: removes it and its containers. Idempotent.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = pb::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("RemovePodSandbox", id);
        self.change(call, runtime.remove_pod_sandbox(request))
            .await?;
        Ok(())
    }

    /// `PodSandboxStatus`: one sandbox, and its containers where the runtime has events.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn sandbox_status(&self, id: &str) -> Result<PodStatus, CriError> {
        self.sandbox_status_as(id, false).await
    }

    /// `PodSandboxStatus` with the runtime's own details in `info`.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn verbose_sandbox_status(&self, id: &str) -> Result<PodStatus, CriError> {
        self.sandbox_status_as(id, true).await
    }

    async fn sandbox_status_as(&self, id: &str, verbose: bool) -> Result<PodStatus, CriError> {
        let request = pb::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose,
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("PodSandboxStatus", id);
        let reply = self
            .query(call.clone(), runtime.pod_sandbox_status(request))
            .await?;
        PodStatus::try_from(reply).map_err(bad_reply(call))
    }

    /// `ListPodSandbox`: all sandboxes that the filter lets through.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn list_sandboxes(&self, filter: PodSandboxFilter) -> Result<Vec<Sandbox>, CriError> {
        let request = pb::ListPodSandboxRequest {
            filter: Some(filter),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ListPodSandbox", "");
        let reply = self
            .query(call.clone(), runtime.list_pod_sandbox(request))
            .await?;
        wire::all(reply.items).map_err(bad_reply(call))
    }

    /// `PodSandboxStats`: usage of one pod.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn sandbox_stats(&self, id: &str) -> Result<SandboxStats, CriError> {
        let request = pb::PodSandboxStatsRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("PodSandboxStats", id);
        let reply = self
            .query(call.clone(), runtime.pod_sandbox_stats(request))
            .await?;
        SandboxStats::try_from(reply.stats.unwrap_or_default()).map_err(bad_reply(call))
    }

    /// `ListPodSandboxStats`: usage of all pods that the filter lets through.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn list_sandbox_stats(
        &self,
        filter: PodSandboxStatsFilter,
    ) -> Result<Vec<SandboxStats>, CriError> {
        let request = pb::ListPodSandboxStatsRequest {
            filter: Some(filter),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ListPodSandboxStats", "");
        let reply = self
            .query(call.clone(), runtime.list_pod_sandbox_stats(request))
            .await?;
        wire::all(reply.stats).map_err(bad_reply(call))
    }

    /// `UpdatePodSandboxResources`: tells the runtime that the sums of a pod have changed.
    ///
    /// # Errors
    /// See [`CriError`]; containerd 2.1 answers `Unimplemented`.
    pub async fn update_sandbox_resources(
        &self,
        id: &str,
        overhead: LinuxContainerResources,
        resources: LinuxContainerResources,
    ) -> Result<(), CriError> {
        let request = pb::UpdatePodSandboxResourcesRequest {
            pod_sandbox_id: id.to_owned(),
            overhead: Some(overhead),
            resources: Some(resources),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("UpdatePodSandboxResources", id);
        self.change(call, runtime.update_pod_sandbox_resources(request))
            .await?;
        Ok(())
    }

    /// `PortForward`: the URL of the runtime's streaming server for the sandbox's ports.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn port_forward_url(&self, id: &str, ports: &[u16]) -> Result<String, CriError> {
        let request = pb::PortForwardRequest {
            pod_sandbox_id: id.to_owned(),
            port: ports.iter().copied().map(i32::from).collect(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("PortForward", id);
        Ok(self.change(call, runtime.port_forward(request)).await?.url)
    }
}
