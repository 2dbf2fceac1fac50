//! Calls about containers.

use std::time::Duration;

use crate::config::{
    AttachRequest, ContainerConfig, ContainerFilter, ContainerStatsFilter, ExecRequest,
    LinuxContainerResources, PodSandboxConfig,
};
use crate::error::{Call, CriError};
use crate::proto::runtime as pb;
use crate::values::stats::ContainerStats;
use crate::values::{Container, ContainerStatus, ExecOutput};
use crate::wire::{self, WireError};

use super::{Client, bad_reply, within};

/// The protocol counts whole seconds: part of one counts as one, so that nothing is cut short.
fn whole_seconds(duration: Duration) -> i64 {
    let begun = u64::from(duration.subsec_nanos() > 0);
    let seconds = duration.as_secs().saturating_add(begun);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn required<T>(value: Option<T>, call: &Call, field: &'static str) -> Result<T, CriError> {
    value.ok_or_else(|| {
        let object = call.rpc.to_owned();
        bad_reply(call.clone())(WireError::Missing { object, field })
    })
}

impl Client {
    /// `CreateContainer`: prepares a container in a sandbox and returns its id.
    ///
    /// `sandbox_config` is what the sandbox was made from.
    ///
    /// # Errors
    /// See [`CriError`]. `AlreadyExists` means that an earlier attempt with the same metadata
    /// still holds the name; after an ambiguous error, list before trying again.
    pub async fn create_container(
        &self,
        sandbox_id: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<String, CriError> {
        let name = config.metadata.as_ref().map_or("", |m| m.name.as_str());
        let call = Call::new("CreateContainer", format!("{name} in {sandbox_id}"));
        let request = pb::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let mut runtime = self.runtime.clone();
        let reply = self.change(call, runtime.create_container(request)).await?;
        Ok(reply.container_id)
    }

    /// `StartContainer`: starts its process.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = pb::StartContainerRequest {
            container_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("StartContainer", id);
        self.change(call, runtime.start_container(request)).await?;
        Ok(())
    }

    /// `StopContainer`: sends the stop signal, and SIGKILL after `grace` (zero: at once).
    /// Idempotent. May take the grace plus the deadline of a change.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let request = pb::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: whole_seconds(grace),
        };
        let mut runtime = self.runtime.clone();
        let reply = runtime.stop_container(request);
        let limit = Some(grace.saturating_add(self.deadlines.change));
        let call = Call::new("StopContainer", id);
        within(limit, call, &self.runtime_socket, reply).await?;
        Ok(())
    }

    /// `RemoveContainer`: removes it, by force if it runs. Idempotent.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = pb::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("RemoveContainer", id);
        self.change(call, runtime.remove_container(request)).await?;
        Ok(())
    }

    /// `ListContainers`: all containers that the filter lets through.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn list_containers(
        &self,
        filter: ContainerFilter,
    ) -> Result<Vec<Container>, CriError> {
        let request = pb::ListContainersRequest {
            filter: Some(filter),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ListContainers", "");
        let reply = self
            .query(call.clone(), runtime.list_containers(request))
            .await?;
        wire::all(reply.containers).map_err(bad_reply(call))
    }

    /// `ContainerStatus`: one container in detail.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn container_status(&self, id: &str) -> Result<ContainerStatus, CriError> {
        let request = pb::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ContainerStatus", id);
        let reply = self
            .query(call.clone(), runtime.container_status(request))
            .await?;
        let status = required(reply.status, &call, "status")?;
        ContainerStatus::try_from(status).map_err(bad_reply(call))
    }

    /// `UpdateContainerResources`: changes the limits of a container in place.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn update_container_resources(
        &self,
        id: &str,
        resources: LinuxContainerResources,
    ) -> Result<(), CriError> {
        let request = pb::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(resources),
            ..Default::default()
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("UpdateContainerResources", id);
        self.change(call, runtime.update_container_resources(request))
            .await?;
        Ok(())
    }

    /// `ReopenContainerLog`: after its log file was renamed.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn reopen_container_log(&self, id: &str) -> Result<(), CriError> {
        let request = pb::ReopenContainerLogRequest {
            container_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ReopenContainerLog", id);
        self.change(call, runtime.reopen_container_log(request))
            .await?;
        Ok(())
    }

    /// `ExecSync`: runs a command in a container to its end. Without a timeout it may run forever.
    ///
    /// # Errors
    /// See [`CriError`]; `DeadlineExceeded` when the command took longer than its timeout.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput, CriError> {
        let request = pb::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command,
            timeout: timeout.map_or(0, whole_seconds),
        };
        let mut runtime = self.runtime.clone();
        let reply = runtime.exec_sync(request);
        let limit = timeout.map(|timeout| timeout.saturating_add(self.deadlines.exec_answer));
        let call = Call::new("ExecSync", id);
        let reply = within(limit, call, &self.runtime_socket, reply).await?;
        Ok(reply.into())
    }

    /// `Exec`: the URL of the runtime's streaming server for a command in a container.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn exec_url(&self, request: ExecRequest) -> Result<String, CriError> {
        let call = Call::new("Exec", request.container_id.as_str());
        let mut runtime = self.runtime.clone();
        Ok(self.change(call, runtime.exec(request)).await?.url)
    }

    /// `Attach`: the URL of the runtime's streaming server for a container's own process.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn attach_url(&self, request: AttachRequest) -> Result<String, CriError> {
        let call = Call::new("Attach", request.container_id.as_str());
        let mut runtime = self.runtime.clone();
        Ok(self.change(call, runtime.attach(request)).await?.url)
    }

    /// `ContainerStats`: usage of one container.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn container_stats(&self, id: &str) -> Result<ContainerStats, CriError> {
        let request = pb::ContainerStatsRequest {
            container_id: id.to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ContainerStats", id);
        let reply = self
            .query(call.clone(), runtime.container_stats(request))
            .await?;
        let stats = required(reply.stats, &call, "stats")?;
        ContainerStats::try_from(stats).map_err(bad_reply(call))
    }

    /// `ListContainerStats`: usage of all containers that the filter lets through.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn list_container_stats(
        &self,
        filter: ContainerStatsFilter,
    ) -> Result<Vec<ContainerStats>, CriError> {
        let request = pb::ListContainerStatsRequest {
            filter: Some(filter),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("ListContainerStats", "");
        let reply = self
            .query(call.clone(), runtime.list_container_stats(request))
            .await?;
        wire::all(reply.stats).map_err(bad_reply(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        for (duration, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(1), 1),
            (Duration::from_secs(30), 30),
            (Duration::from_millis(30_001), 31),
            (Duration::MAX, i64::MAX),
        ] {
            assert_eq!(whole_seconds(duration), expected, "{duration:?}");
        }
    }
}
