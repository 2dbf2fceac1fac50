//! The client: one lazily made, self-healing connection to the runtime's unix socket.
//!
//! Every call carries a deadline from [`Deadlines`] (pulls and event streams are the exceptions),
//! and every error names the RPC and the object. Dropping a call's future cancels the call. It
//! must not retry, decide or log: that is up to its callers.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint as TransportEndpoint};
use tonic::{Code, Response, Status};

use crate::error::{Call, CriError};
use crate::proto::runtime as pb;
use crate::proto::runtime::image_service_client::ImageServiceClient;
use crate::proto::runtime::runtime_service_client::RuntimeServiceClient;
use crate::values::{CgroupDriver, Event, RuntimeStatus, RuntimeVersion};
use crate::wire::WireError;

mod containers;
mod images;
mod sandboxes;

/// The largest reply that is accepted, in bytes: what upstream's kubelet accepts.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A unix socket, from `containerRuntimeEndpoint` or `imageServiceEndpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl FromStr for Endpoint {
    type Err = CriError;

    /// Takes `unix:///path`, `unix:/path` and a bare absolute path.
    fn from_str(endpoint: &str) -> Result<Self, CriError> {
        let refuse = |reason| CriError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason,
        };
        let path = match endpoint.split_once("://") {
            Some(("unix", path)) => path,
            Some(_) => {
                return Err(refuse(
                    "only unix sockets work, such as unix:///run/containerd/containerd.sock",
                ));
            }
            None => endpoint.strip_prefix("unix:").unwrap_or(endpoint),
        };
        if !path.starts_with('/') {
            return Err(refuse(
                "the path must be absolute, such as unix:///run/containerd/containerd.sock",
            ));
        }
        Ok(Self { path: path.into() })
    }
}

impl From<PathBuf> for Endpoint {
    fn from(path: PathBuf) -> Self {
        Self { path }
    }
}

/// How long each kind of call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Listings, statuses and other questions.
    pub query: Duration,
    /// Creations, starts, removals and other changes. A stop gets its grace on top.
    pub change: Duration,
    /// `RunPodSandbox`, which waits for the network plugins.
    pub run_sandbox: Duration,
    /// What `ExecSync` gets on top of the command's own time, for the runtime's answer.
    pub exec_answer: Duration,
}

impl Deadlines {
    /// Deadlines from the kubelet's `runtimeRequestTimeout`.
    #[must_use]
    pub fn from_request_timeout(timeout: Duration) -> Self {
        Self {
            query: timeout,
            change: timeout,
            run_sandbox: timeout.saturating_mul(2),
            exec_answer: Duration::from_secs(2),
        }
    }
}

impl Default for Deadlines {
    /// Those of the default `runtimeRequestTimeout`, 2 minutes.
    fn default() -> Self {
        Self::from_request_timeout(Duration::from_secs(120))
    }
}

/// A connection to a container runtime. Clones share it.
///
/// Making one needs a tokio runtime and touches no socket; the first call connects, and a call
/// after a broken connection connects again.
#[derive(Clone, Debug)]
pub struct Client {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    /// For what is not CRI but served on the same socket.
    channel: Channel,
    runtime_socket: Arc<Path>,
    image_socket: Arc<Path>,
    deadlines: Deadlines,
}

impl Client {
    /// A client of one socket for both services.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(endpoint: &Endpoint, deadlines: Deadlines) -> Self {
        let channel = channel(endpoint);
        Self::over(endpoint, channel.clone(), endpoint, channel, deadlines)
    }

    /// A client of two sockets, where the runtime serves images on another one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn with_image_service(runtime: &Endpoint, images: &Endpoint, deadlines: Deadlines) -> Self {
        Self::over(
            runtime,
            channel(runtime),
            images,
            channel(images),
            deadlines,
        )
    }

    fn over(
        runtime: &Endpoint,
        runtime_channel: Channel,
        images: &Endpoint,
        image_channel: Channel,
        deadlines: Deadlines,
    ) -> Self {
        Self {
            runtime: RuntimeServiceClient::new(runtime_channel.clone())
                .max_decoding_message_size(MAX_REPLY_BYTES),
            images: ImageServiceClient::new(image_channel)
                .max_decoding_message_size(MAX_REPLY_BYTES),
            channel: runtime_channel,
            runtime_socket: runtime.path().into(),
            image_socket: images.path().into(),
            deadlines,
        }
    }

    /// The runtime's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.runtime_socket
    }

    /// The deadlines in use.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// `Version`: who the runtime is.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn version(&self) -> Result<RuntimeVersion, CriError> {
        let request = pb::VersionRequest {
            version: "v1".to_owned(),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("Version", "");
        let reply = self.query(call, runtime.version(request)).await?;
        Ok(reply.into())
    }

    /// `Status`: conditions, handlers and features.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn status(&self) -> Result<RuntimeStatus, CriError> {
        self.status_as(false).await
    }

    /// `Status` with the runtime's own details in `info`, the effective configuration of
    /// containerd's CRI plugin (`config`) among them. A large reply: not for a loop.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn verbose_status(&self) -> Result<RuntimeStatus, CriError> {
        self.status_as(true).await
    }

    async fn status_as(&self, verbose: bool) -> Result<RuntimeStatus, CriError> {
        let mut runtime = self.runtime.clone();
        let request = pb::StatusRequest { verbose };
        let call = Call::new("Status", "");
        let reply = self.query(call, runtime.status(request)).await?;
        Ok(reply.into())
    }

    /// `RuntimeConfig`: who makes cgroups.
    ///
    /// # Errors
    /// See [`CriError`]; `Unimplemented` from runtimes before containerd 2.0.
    pub async fn cgroup_driver(&self) -> Result<CgroupDriver, CriError> {
        let mut runtime = self.runtime.clone();
        let call = Call::new("RuntimeConfig", "");
        let request = pb::RuntimeConfigRequest {};
        let reply = self
            .query(call.clone(), runtime.runtime_config(request))
            .await?;
        CgroupDriver::try_from(reply).map_err(bad_reply(call))
    }

    /// `UpdateRuntimeConfig`: tells the runtime the node's pod network, for CNI templates.
    ///
    /// # Errors
    /// See [`CriError`].
    pub async fn update_pod_cidr(&self, cidr: &str) -> Result<(), CriError> {
        let request = pb::UpdateRuntimeConfigRequest {
            runtime_config: Some(pb::RuntimeConfig {
                network_config: Some(pb::NetworkConfig {
                    pod_cidr: cidr.to_owned(),
                }),
            }),
        };
        let mut runtime = self.runtime.clone();
        let call = Call::new("UpdateRuntimeConfig", cidr);
        self.change(call, runtime.update_runtime_config(request))
            .await?;
        Ok(())
    }

    /// `GetContainerEvents`. containerd answers only with the first event, so this waits for it:
    /// [`crate::events`] is what to use.
    pub(crate) async fn subscribe(&self) -> Result<EventStream, CriError> {
        let call = Call::new("GetContainerEvents", "");
        let mut runtime = self.runtime.clone();
        let reply = runtime.get_container_events(pb::GetEventsRequest {});
        let inner = within(None, call, &self.runtime_socket, reply).await?;
        Ok(EventStream {
            inner,
            socket: Arc::clone(&self.runtime_socket),
        })
    }

    /// The connection to the runtime, for services besides CRI.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    async fn query<T>(&self, call: Call, reply: impl Reply<T>) -> Result<T, CriError> {
        within(
            Some(self.deadlines.query),
            call,
            &self.runtime_socket,
            reply,
        )
        .await
    }

    async fn change<T>(&self, call: Call, reply: impl Reply<T>) -> Result<T, CriError> {
        within(
            Some(self.deadlines.change),
            call,
            &self.runtime_socket,
            reply,
        )
        .await
    }
}

/// Events of one subscription.
#[derive(Debug)]
pub(crate) struct EventStream {
    inner: tonic::Streaming<pb::ContainerEventResponse>,
    socket: Arc<Path>,
}

impl EventStream {
    /// The next event; `None` when the runtime ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, CriError> {
        let call = || Call::new("GetContainerEvents", "");
        match self.inner.message().await {
            Ok(Some(event)) => Event::try_from(event).map(Some).map_err(bad_reply(call())),
            Ok(None) => Ok(None),
            Err(status) => Err(CriError::from_status(
                call(),
                self.socket.to_path_buf(),
                &status,
            )),
        }
    }
}

/// A call that is under way.
pub(crate) trait Reply<T>: Future<Output = Result<Response<T>, Status>> {}

impl<T, F: Future<Output = Result<Response<T>, Status>>> Reply<T> for F {}

/// Waits for a reply, but not past the limit.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    call: Call,
    socket: &Path,
    reply: impl Reply<T>,
) -> Result<T, CriError> {
    match answer(limit, reply).await {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) if status.code() == Code::DeadlineExceeded => Err(CriError::DeadlineExceeded {
            call,
            after: limit.unwrap_or_default(),
        }),
        Err(status) => Err(CriError::from_status(call, socket.to_path_buf(), &status)),
    }
}

/// A deadline passed here looks as if the runtime itself had noticed.
async fn answer<T>(limit: Option<Duration>, reply: impl Reply<T>) -> Result<Response<T>, Status> {
    let Some(limit) = limit else {
        return reply.await;
    };
    tokio::time::timeout(limit, reply)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("")))
}

pub(crate) fn bad_reply(call: Call) -> impl FnOnce(WireError) -> CriError {
    move |error| CriError::BadReply {
        call,
        detail: error.to_string(),
    }
}

fn channel(endpoint: &Endpoint) -> Channel {
    // The path was checked to be absolute; a unix address needs no further parsing.
    TransportEndpoint::from_shared(format!("unix://{}", endpoint.path.display()))
        .unwrap_or_else(|_| TransportEndpoint::from_static("unix:///"))
        .connect_lazy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let parsed = text.parse::<Endpoint>();
            match expected {
                Ok(path) => assert_eq!(parsed.unwrap().path(), Path::new(path)),
                Err(words) => {
                    let message = parsed.unwrap_err().to_string();
                    assert!(
                        message.contains(words) && message.contains(text),
                        "{message}"
                    );
                }
            }
        };
        check("unix:///run/c.sock", Ok("/run/c.sock"));
        check("unix:/run/c.sock", Ok("/run/c.sock"));
        check("/run/c.sock", Ok("/run/c.sock"));
        check("tcp://127.0.0.1:1", Err("only unix sockets"));
        check("npipe:////./pipe/c", Err("only unix sockets"));
        check("run/c.sock", Err("absolute"));
        check("", Err("absolute"));
    }

    #[test]
    fn deadlines_follow_the_request_timeout() {
        let deadlines = Deadlines::from_request_timeout(Duration::from_secs(30));
        assert_eq!(deadlines.query, Duration::from_secs(30));
        assert_eq!(deadlines.run_sandbox, Duration::from_secs(60));
    }
}
