//! The server from its options to its end: owns every task and the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::UnknownPlugin;
use crate::allocate;
use crate::api::Api;
use crate::assemble::{self, Parts};
use crate::auth::authenticate::TokenFileError;
use crate::auth::tokens::KeyFileError;
use crate::custom_kinds;
use crate::engine::Engine;
use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::server::tls::{ReloadingTls, TlsError};
use crate::server::{self, ListenError};
use crate::start::{self, Place};
use crate::upkeep;

/// How long requests may go on after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The port is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Certificate, key or CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// A key file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// An admission plugin that this server does not have.
    #[error(transparent)]
    Admission(#[from] UnknownPlugin),
    /// A flag's value cannot be used.
    #[error("--{flag} {value:?}: {why}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What it was given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store cannot be opened.
    #[error("failed to open the store: {0}")]
    Store(keelson_store::Error),
    /// `keelson snapshot` could not ask for one.
    #[error("failed to offer snapshots: {0}")]
    Snapshots(keelson_store::snapshot::Error),
    /// An authorization mode that this server does not have.
    #[error("--authorization-mode {0:?} is not supported: it takes Node, RBAC and AlwaysAllow")]
    Mode(String),
    /// Nothing can be started.
    #[error("failed to start: {0}")]
    Start(std::io::Error),
}

/// Serves until `stop`. `ready` is told the address once requests are answered.
///
/// # Errors
/// When the server cannot start.
pub async fn run(
    options: Options,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let parts = Parts::read(&options)?;
    let tls = Arc::new(ReloadingTls::open(assemble::tls_files(&options))?);
    let listener =
        server::listen(SocketAddr::new(options.bind_address, options.secure_port)).await?;
    let address = listener.local_addr().map_err(RunError::Start)?;
    let engine = Arc::new(Engine::open(&options)?);
    let place = parts.place(&options, address);
    let api = parts.api(&options, address, Arc::clone(&engine))?;
    serve(api, place, listener, tls, ready, stop).await;
    engine.close().await;
    Ok(())
}

/// Sees to it that the addresses of all services are taken.
async fn reserve_addresses(api: &Api) -> Outcome<()> {
    let services = api.registry.cache_of("", "services").await?;
    api.registry.caches.catch_up().await?;
    for version in services.all().versions {
        let service = serde_json::from_slice(&version.body).map_err(Failure::internal)?;
        allocate::reserve(&api.registry, &service).await?;
    }
    Ok(())
}

/// Brings about what a cluster begins with, then keeps up what this server says about itself.
async fn start_and_keep(api: Arc<Api>, place: Place) {
    let (registry, stop, shared) = (&api.registry, &api.stopping, api.engine.is_shared());
    if !start::until_there(registry, &place, stop).await {
        return;
    }
    if let Err(failure) = reserve_addresses(&api).await {
        tracing::warn!(%failure, "not all addresses of services are reserved");
    }
    if let Err(failure) = upkeep::once(registry, &place, shared).await {
        tracing::warn!(%failure, "nobody is told of this server yet");
    }
    api.started.cancel();
    upkeep::keep(registry, &place, shared, stop).await;
}

async fn serve(
    api: Arc<Api>,
    place: Place,
    listener: TcpListener,
    tls: Arc<ReloadingTls>,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) {
    let tasks = TaskTracker::new();
    let fed = CancellationToken::new();
    tasks.spawn(Arc::clone(&api.registry.caches).feed(fed.clone()));
    let customs = custom_kinds::follow(Arc::clone(&api), fed.clone());
    tasks.spawn(customs);
    let address = listener.local_addr();
    let stopping = api.stopping.clone();
    let serving = server::serve(listener, tls, Arc::clone(&api), stopping.clone(), DRAIN);
    let serving = tasks.spawn(serving);
    if let Err(failure) = start::namespaces(&api.registry).await {
        tracing::warn!(error = %failure, "the first namespaces are not there: trying again");
    }
    tasks.spawn(start_and_keep(Arc::clone(&api), place));
    let keeping = Arc::clone(&api);
    tasks.spawn(async move { keeping.engine.upkeep(&keeping.stopping).await });
    if let Ok(address) = address {
        tracing::info!(%address, "serving");
        ready(address);
    }
    stop.await;
    tracing::info!("stopping");
    stopping.cancel();
    // A task that panicked has said so already.
    let _ = serving.await;
    api.backends.drained().await;
    fed.cancel();
    tasks.close();
    tasks.wait().await;
}
