//! gRPC before the fake runtime, over a real unix socket.
//!
//! It follows tokio's clock: under a paused clock, programs end when the test's time says so. One
//! task serves, one lets happen what is due; both end with the server.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keelson_cri::proto::runtime as pb;
use keelson_cri::proto::runtime::image_service_server::ImageServiceServer;
use keelson_cri::proto::runtime::runtime_service_server::RuntimeServiceServer;
use parking_lot::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Code, Response, Status};

use crate::faults::{Fault, Faults};
use crate::runtime::{Runtime, RuntimeError};
use crate::wire;

mod image_service;
mod logs;
mod runtime_service;

use logs::Logs;

/// Events that wait for a subscriber at most; one who is slower is cut off.
const SUBSCRIBER_CAPACITY: usize = 1000;

/// A CRI server in this process.
///
/// Dropping it ends it and removes the socket. The runtime and the faults can be reached at any
/// time through [`Self::with`] and [`Self::faults`].
#[derive(Debug)]
pub struct FakeServer {
    socket: PathBuf,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
    ticking: JoinHandle<()>,
}

impl FakeServer {
    /// Serves a runtime on a socket that does not exist yet. Programs' output goes nowhere.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn start(socket: &Path, runtime: Runtime) -> io::Result<Self> {
        Self::serve(socket, runtime, Logs::Discard)
    }

    /// As [`Self::start`], and writes the log files of containers in CRI's format.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn start_with_logs(socket: &Path, runtime: Runtime) -> io::Result<Self> {
        Self::serve(socket, runtime, Logs::files())
    }

    fn serve(socket: &Path, runtime: Runtime, logs: Logs) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            runtime: Mutex::new(runtime),
            faults: Mutex::default(),
            logs: Mutex::new(logs),
            subscribers: Mutex::default(),
            connections: Mutex::default(),
            changed: Notify::new(),
            started: (Timestamp::now(), Instant::now()),
        });
        let ticking = tokio::spawn(Arc::clone(&shared).tick_for_ever());
        let mut server = Self {
            socket: socket.to_owned(),
            shared,
            serving: None,
            ticking,
        };
        server.start_again()?;
        Ok(server)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The time as the server sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// Does something to the runtime; events and output of it go out as if it had happened there.
    pub fn with<T>(&self, act: impl FnOnce(&mut Runtime, Timestamp) -> T) -> T {
        self.shared.act(act)
    }

    /// Sets or reads faults.
    pub fn faults<T>(&self, act: impl FnOnce(&mut Faults) -> T) -> T {
        act(&mut self.shared.faults.lock())
    }

    /// The server goes away: connections break and the socket is gone. The runtime lives on.
    pub fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
        self.shared.break_connections();
        // It may be gone already.
        let _ = std::fs::remove_file(&self.socket);
    }

    /// The server comes back after [`Self::stop`], with the same runtime.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.stop();
        let listener = UnixListener::bind(&self.socket)?;
        self.serving = Some(tokio::spawn(Arc::clone(&self.shared).serve(listener)));
        Ok(())
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop();
        self.ticking.abort();
    }
}

/// What the tasks and the handlers share.
#[derive(Debug)]
struct Shared {
    runtime: Mutex<Runtime>,
    faults: Mutex<Faults>,
    logs: Mutex<Logs>,
    subscribers: Mutex<Vec<mpsc::Sender<pb::ContainerEventResponse>>>,
    connections: Mutex<Vec<StdStream>>,
    changed: Notify,
    started: (Timestamp, Instant),
}

impl Shared {
    fn now(&self) -> Timestamp {
        let (wall, instant) = self.started;
        wall.checked_add(instant.elapsed())
            .unwrap_or(Timestamp::MAX)
    }

    /// Everything happens through here: first what is due, then the act, then its consequences.
    fn act<T>(&self, act: impl FnOnce(&mut Runtime, Timestamp) -> T) -> T {
        let now = self.now();
        let (result, events, output) = {
            let mut runtime = self.runtime.lock();
            runtime.tick(now);
            let result = act(&mut runtime, now);
            (result, runtime.take_events(), runtime.take_output())
        };
        self.logs.lock().write(&output);
        for event in events {
            self.publish(&wire::event(event));
        }
        self.changed.notify_one();
        result
    }

    fn publish(&self, event: &pb::ContainerEventResponse) {
        if self.faults.lock().strike_event() {
            return;
        }
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|subscriber| subscriber.try_send(event.clone()).is_ok());
    }

    fn subscribe(&self) -> mpsc::Receiver<pb::ContainerEventResponse> {
        let (sender, receiver) = mpsc::channel(SUBSCRIBER_CAPACITY);
        self.subscribers.lock().push(sender);
        receiver
    }

    fn break_connections(&self) {
        self.subscribers.lock().clear();
        for connection in self.connections.lock().drain(..) {
            // One that is closed already is what we want.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    fn remember(&self, connection: &UnixStream) -> io::Result<()> {
        let copy = connection.as_fd().try_clone_to_owned()?;
        self.connections.lock().push(copy.into());
        Ok(())
    }

    async fn serve(self: Arc<Self>, listener: UnixListener) {
        let shared = Arc::clone(&self);
        let incoming = UnixListenerStream::new(listener).map(move |connection| {
            let connection = connection?;
            shared.remember(&connection)?;
            Ok::<_, io::Error>(connection)
        });
        let served = tonic::transport::Server::builder()
            .add_service(RuntimeServiceServer::new(Service(Arc::clone(&self))))
            .add_service(ImageServiceServer::new(Service(self)))
            .serve_with_incoming(incoming);
        if let Err(error) = served.await {
            tracing::error!(%error, "the fake runtime stopped serving");
        }
    }

    /// Lets happen what is due, when it is.
    async fn tick_for_ever(self: Arc<Self>) {
        loop {
            let due = self.runtime.lock().next_due();
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep(until(self.now(), due)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => self.act(|_, _| ()),
                () = self.changed.notified() => {}
            }
        }
    }
}

/// The time from one instant to another, and a little more: tokio's clock counts milliseconds.
fn until(now: Timestamp, due: Timestamp) -> Duration {
    let nanos = due.as_nanosecond() - now.as_nanosecond();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The handlers of both services.
struct Service(Arc<Shared>);

impl Service {
    /// A call that is answered at once, faults aside.
    async fn call<T>(
        &self,
        rpc: &str,
        act: impl FnOnce(&mut Runtime, Timestamp) -> Result<T, RuntimeError>,
    ) -> Result<Response<T>, Status> {
        let fault = self.before(rpc).await?;
        let reply = self.0.act(act);
        self.after(fault).await;
        reply.map(Response::new).map_err(|error| status(&error))
    }

    /// What a fault does before the call; what is left to do after it.
    async fn before(&self, rpc: &str) -> Result<Option<Fault>, Status> {
        let fault = self.0.faults.lock().strike(rpc);
        match fault {
            Some(Fault::Fail(code, message)) => Err(Status::new(code, message)),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    async fn after(&self, fault: Option<Fault>) {
        match fault {
            Some(Fault::LoseReply) => std::future::pending().await,
            Some(Fault::BreakConnection) => {
                self.0.break_connections();
                std::future::pending().await
            }
            _ => {}
        }
    }

    /// Waits until a container has ended.
    async fn await_end(&self, id: &str, ends: Option<Timestamp>) {
        let Some(ends) = ends else {
            return;
        };
        loop {
            tokio::time::sleep(until(self.0.now(), ends)).await;
            let running = self.0.act(|runtime, _| {
                let status = runtime.container_status(id);
                status.is_ok_and(|s| s.state == keelson_cri::values::ContainerState::Running)
            });
            if !running {
                return;
            }
        }
    }
}

/// The statuses that containerd gives.
fn status(error: &RuntimeError) -> Status {
    let code = match error {
        RuntimeError::NotFound { .. } => Code::NotFound,
        RuntimeError::NameReserved { .. }
        | RuntimeError::WrongState(_)
        | RuntimeError::StartFailed(_) => Code::Unknown,
        RuntimeError::Invalid(_) => Code::InvalidArgument,
        RuntimeError::NoStreaming => Code::Unimplemented,
        RuntimeError::ExecTimeout(_) => Code::DeadlineExceeded,
    };
    Status::new(code, error.to_string())
}
