//! The runtime service. What is not here answers `Unimplemented`.

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use keelson_cri::proto::runtime as pb;
use keelson_cri::proto::runtime::runtime_service_server::RuntimeService;
use tonic::{Request, Response, Status, async_trait};

use crate::wire;

use super::{Service, status};

type Reply<T> = Result<Response<T>, Status>;
type Events = BoxStream<'static, Result<pb::ContainerEventResponse, Status>>;

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn condition(kind: &str, status: bool, reason: &str) -> pb::RuntimeCondition {
    pb::RuntimeCondition {
        r#type: kind.to_owned(),
        status,
        reason: if status {
            String::new()
        } else {
            reason.to_owned()
        },
        message: String::new(),
    }
}

#[async_trait]
impl RuntimeService for Service {
    async fn version(&self, _: Request<pb::VersionRequest>) -> Reply<pb::VersionResponse> {
        self.call("Version", |_, _| {
            Ok(pb::VersionResponse {
                version: "0.1.0".to_owned(),
                runtime_name: "fake".to_owned(),
                runtime_version: "0.1.0".to_owned(),
                runtime_api_version: "v1".to_owned(),
            })
        })
        .await
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Reply<pb::StatusResponse> {
        self.call("Status", |runtime, _| {
            let conditions = vec![
                condition("RuntimeReady", true, ""),
                condition(
                    "NetworkReady",
                    runtime.network_ready,
                    "NetworkPluginNotReady",
                ),
            ];
            Ok(pb::StatusResponse {
                status: Some(pb::RuntimeStatus { conditions }),
                runtime_handlers: vec![pb::RuntimeHandler {
                    features: Some(pb::RuntimeHandlerFeatures {
                        recursive_read_only_mounts: true,
                        user_namespaces: true,
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            })
        })
        .await
    }

    async fn runtime_config(
        &self,
        _: Request<pb::RuntimeConfigRequest>,
    ) -> Reply<pb::RuntimeConfigResponse> {
        self.call("RuntimeConfig", |_, _| {
            Ok(pb::RuntimeConfigResponse {
                linux: Some(pb::LinuxRuntimeConfiguration {
                    cgroup_driver: pb::CgroupDriver::Cgroupfs.into(),
                }),
            })
        })
        .await
    }

    async fn update_runtime_config(
        &self,
        _: Request<pb::UpdateRuntimeConfigRequest>,
    ) -> Reply<pb::UpdateRuntimeConfigResponse> {
        self.call("UpdateRuntimeConfig", |_, _| {
            Ok(pb::UpdateRuntimeConfigResponse {})
        })
        .await
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<pb::RunPodSandboxRequest>,
    ) -> Reply<pb::RunPodSandboxResponse> {
        let request = request.into_inner();
        let config = request.config.unwrap_or_default();
        self.call("RunPodSandbox", |runtime, now| {
            let pod_sandbox_id = runtime.run_sandbox(now, &config, &request.runtime_handler)?;
            Ok(pb::RunPodSandboxResponse { pod_sandbox_id })
        })
        .await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<pb::StopPodSandboxRequest>,
    ) -> Reply<pb::StopPodSandboxResponse> {
        let id = request.into_inner().pod_sandbox_id;
        self.call("StopPodSandbox", |runtime, now| {
            runtime.stop_sandbox(now, &id);
            Ok(pb::StopPodSandboxResponse {})
        })
        .await
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<pb::RemovePodSandboxRequest>,
    ) -> Reply<pb::RemovePodSandboxResponse> {
        let id = request.into_inner().pod_sandbox_id;
        self.call("RemovePodSandbox", |runtime, now| {
            runtime.remove_sandbox(now, &id);
            Ok(pb::RemovePodSandboxResponse {})
        })
        .await
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<pb::PodSandboxStatusRequest>,
    ) -> Reply<pb::PodSandboxStatusResponse> {
        let id = request.into_inner().pod_sandbox_id;
        self.call("PodSandboxStatus", |runtime, now| {
            runtime.sandbox_status(now, &id).map(wire::pod_status)
        })
        .await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<pb::ListPodSandboxRequest>,
    ) -> Reply<pb::ListPodSandboxResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.call("ListPodSandbox", |runtime, _| {
            let sandboxes = runtime.list_sandboxes(&filter).into_iter();
            Ok(pb::ListPodSandboxResponse {
                items: sandboxes.map(wire::sandbox).collect(),
            })
        })
        .await
    }

    async fn create_container(
        &self,
        request: Request<pb::CreateContainerRequest>,
    ) -> Reply<pb::CreateContainerResponse> {
        let request = request.into_inner();
        let config = request.config.unwrap_or_default();
        self.call("CreateContainer", |runtime, now| {
            let container_id = runtime.create_container(now, &request.pod_sandbox_id, &config)?;
            Ok(pb::CreateContainerResponse { container_id })
        })
        .await
    }

    async fn start_container(
        &self,
        request: Request<pb::StartContainerRequest>,
    ) -> Reply<pb::StartContainerResponse> {
        let id = request.into_inner().container_id;
        let shared = &self.0;
        self.call("StartContainer", |runtime, now| {
            let log_path = runtime.container_status(&id)?.log_path;
            shared.logs.lock().open(&id, &log_path);
            runtime.start_container(now, &id)?;
            Ok(pb::StartContainerResponse {})
        })
        .await
    }

    async fn stop_container(
        &self,
        request: Request<pb::StopContainerRequest>,
    ) -> Reply<pb::StopContainerResponse> {
        let request = request.into_inner();
        let id = request.container_id;
        let fault = self.before("StopContainer").await?;
        let grace = seconds(request.timeout);
        let ends = self
            .0
            .act(|runtime, now| runtime.stop_container(now, &id, grace));
        self.await_end(&id, ends).await;
        self.after(fault).await;
        Ok(Response::new(pb::StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<pb::RemoveContainerRequest>,
    ) -> Reply<pb::RemoveContainerResponse> {
        let id = request.into_inner().container_id;
        self.call("RemoveContainer", |runtime, now| {
            runtime.remove_container(now, &id);
            Ok(pb::RemoveContainerResponse {})
        })
        .await
    }

    async fn list_containers(
        &self,
        request: Request<pb::ListContainersRequest>,
    ) -> Reply<pb::ListContainersResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        self.call("ListContainers", |runtime, _| {
            let containers = runtime.list_containers(&filter).into_iter();
            Ok(pb::ListContainersResponse {
                containers: containers.map(wire::container).collect(),
            })
        })
        .await
    }

    async fn container_status(
        &self,
        request: Request<pb::ContainerStatusRequest>,
    ) -> Reply<pb::ContainerStatusResponse> {
        let id = request.into_inner().container_id;
        self.call("ContainerStatus", |runtime, _| {
            let status = runtime.container_status(&id)?;
            Ok(pb::ContainerStatusResponse {
                status: Some(wire::container_status(status)),
                ..Default::default()
            })
        })
        .await
    }

    async fn update_container_resources(
        &self,
        request: Request<pb::UpdateContainerResourcesRequest>,
    ) -> Reply<pb::UpdateContainerResourcesResponse> {
        let request = request.into_inner();
        let resources = request.linux.unwrap_or_default();
        self.call("UpdateContainerResources", |runtime, _| {
            runtime.update_container_resources(&request.container_id, resources)?;
            Ok(pb::UpdateContainerResourcesResponse {})
        })
        .await
    }

    async fn reopen_container_log(
        &self,
        request: Request<pb::ReopenContainerLogRequest>,
    ) -> Reply<pb::ReopenContainerLogResponse> {
        let id = request.into_inner().container_id;
        let shared = &self.0;
        self.call("ReopenContainerLog", |runtime, _| {
            let log_path = runtime.container_status(&id)?.log_path;
            shared.logs.lock().open(&id, &log_path);
            Ok(pb::ReopenContainerLogResponse {})
        })
        .await
    }

    async fn exec_sync(
        &self,
        request: Request<pb::ExecSyncRequest>,
    ) -> Reply<pb::ExecSyncResponse> {
        let request = request.into_inner();
        let fault = self.before("ExecSync").await?;
        let timeout = seconds(request.timeout);
        let begun = self
            .0
            .act(|runtime, _| runtime.exec(&request.container_id, &request.cmd, timeout));
        let (takes, ended) = begun.map_err(|error| status(&error))?;
        tokio::time::sleep(takes).await;
        self.after(fault).await;
        let output = ended.map_err(|error| status(&error))?;
        Ok(Response::new(wire::exec(output)))
    }

    async fn exec(&self, request: Request<pb::ExecRequest>) -> Reply<pb::ExecResponse> {
        let id = request.into_inner().container_id;
        self.call("Exec", |runtime, _| {
            let url = runtime.stream_url("exec", &id)?;
            Ok(pb::ExecResponse { url })
        })
        .await
    }

    async fn attach(&self, request: Request<pb::AttachRequest>) -> Reply<pb::AttachResponse> {
        let id = request.into_inner().container_id;
        self.call("Attach", |runtime, _| {
            let url = runtime.stream_url("attach", &id)?;
            Ok(pb::AttachResponse { url })
        })
        .await
    }

    async fn port_forward(
        &self,
        request: Request<pb::PortForwardRequest>,
    ) -> Reply<pb::PortForwardResponse> {
        let id = request.into_inner().pod_sandbox_id;
        self.call("PortForward", |runtime, _| {
            let url = runtime.port_forward_url(&id)?;
            Ok(pb::PortForwardResponse { url })
        })
        .await
    }

    /// As containerd: nothing is answered before the first event.
    async fn get_container_events(&self, _: Request<pb::GetEventsRequest>) -> Reply<Events> {
        let mut receiver = self.0.subscribe();
        self.before("GetContainerEvents").await?;
        let Some(first) = receiver.recv().await else {
            return Err(Status::unavailable("the runtime is going away"));
        };
        let rest = stream::unfold(receiver, |mut receiver| async move {
            let event = receiver.recv().await?;
            Some((event, receiver))
        });
        let events = stream::iter([first]).chain(rest).map(Ok).boxed();
        Ok(Response::new(events))
    }
}
