//! The server from its options to its end: owns every task and the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keelson_store::Store;
use keelson_store::embedded::EmbeddedStore;
use keelson_store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::auth::authenticate::{StaticTokens, TokenFileError};
use crate::auth::authorizer::{Authorizer, Mode};
use crate::limits::Limits;
use crate::options::Options;
use crate::registry::Registry;
use crate::server::tls::{ReloadingTls, TlsError, TlsFiles};
use crate::server::{self, ListenError};

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
    let modes = modes(&options.authorization_mode)?;
    let tls = Arc::new(ReloadingTls::open(TlsFiles {
        certificate: options.tls_cert_file.clone(),
        key: options.tls_private_key_file.clone(),
        client_ca: options.client_ca_file.clone(),
    })?);
    let tokens = match &options.token_auth_file {
        Some(path) => StaticTokens::read(path)?,
        None => StaticTokens::default(),
    };
    let listener =
        server::listen(SocketAddr::new(options.bind_address, options.secure_port)).await?;
    let address = listener.local_addr().map_err(RunError::Start)?;
    if options.in_memory {
        let store = Arc::new(MemoryStore::default());
        let api = api(&options, address, store, modes, tokens);
        serve(api, listener, tls, ready, stop).await;
        return Ok(());
    }
    let folder = options.data_dir.clone();
    let opened = EmbeddedStore::open(&folder, keelson_store::embedded::Options::default());
    let store = Arc::new(opened.map_err(RunError::Store)?);
    let unsent = |error: &_| tracing::warn!(%error, "a snapshot could not be sent");
    store.serve_snapshots(unsent).map_err(RunError::Snapshots)?;
    let api = api(
        &options,
        address,
        Arc::clone(&store) as Arc<dyn Store>,
        modes,
        tokens,
    );
    serve(api, listener, tls, ready, stop).await;
    store.close().await;
    Ok(())
}

fn modes(names: &[String]) -> Result<Vec<Mode>, RunError> {
    let mode = |name: &String| match name.as_str() {
        "Node" => Ok(Mode::Node),
        "RBAC" => Ok(Mode::Rbac),
        "AlwaysAllow" => Ok(Mode::AlwaysAllow),
        other => Err(RunError::Mode(other.to_owned())),
    };
    names.iter().map(mode).collect()
}

fn api(
    options: &Options,
    address: SocketAddr,
    store: Arc<dyn Store>,
    modes: Vec<Mode>,
    tokens: StaticTokens,
) -> Arc<Api> {
    let ip = options.advertise_address.unwrap_or(address.ip());
    Arc::new(Api {
        registry: Registry::new(store),
        tokens,
        authorizer: Authorizer::new(modes),
        limits: Limits::new(
            options.max_requests_inflight,
            options.max_mutating_requests_inflight,
        ),
        address: SocketAddr::new(ip, address.port()).to_string(),
        stopping: CancellationToken::new(),
        started: CancellationToken::new(),
    })
}

async fn serve(
    api: Arc<Api>,
    listener: TcpListener,
    tls: Arc<ReloadingTls>,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) {
    let tasks = TaskTracker::new();
    let fed = CancellationToken::new();
    tasks.spawn(Arc::clone(&api.registry.caches).feed(fed.clone()));
    let address = listener.local_addr();
    let stopping = api.stopping.clone();
    let serving = server::serve(listener, tls, Arc::clone(&api), stopping.clone(), DRAIN);
    let serving = tasks.spawn(serving);
    api.started.cancel();
    if let Ok(address) = address {
        tracing::info!(%address, "serving");
        ready(address);
    }
    stop.await;
    tracing::info!("stopping");
    stopping.cancel();
    // A task that panicked has said so already.
    let _ = serving.await;
    fed.cancel();
    tasks.close();
    tasks.wait().await;
}
