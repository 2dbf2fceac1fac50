//! The server from its options to its end: owns every task and the drain.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use keelson_store::Store;
use keelson_store::embedded::EmbeddedStore;
use keelson_store::memory::MemoryStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admit::{Chain, UnknownPlugin};
use crate::allocate::range::{AddressRange, PortRange};
use crate::allocate::{self, Ranges};
use crate::api::Api;
use crate::auth::authenticate::{StaticTokens, TokenFileError};
use crate::auth::authorizer::{Authorizer, Mode};
use crate::auth::service_account::Issuers;
use crate::auth::tokens::{KeyFileError, Tokens};
use crate::backend::{Backends, KubeletFiles};
use crate::custom_kinds;
use crate::failure::{Failure, Outcome};
use crate::gate::Gate;
use crate::handle::openapi::Documents;
use crate::limits::Limits;
use crate::options::Options;
use crate::registry::Registry;
use crate::request_metrics::RequestMetrics;
use crate::server::tls::{ReloadingTls, TlsError, TlsFiles};
use crate::server::{self, ListenError};
use crate::start::{self, Place};

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
    let accounts = accounts(&options)?;
    let service_ip = service_ip(&options)?;
    let listener =
        server::listen(SocketAddr::new(options.bind_address, options.secure_port)).await?;
    let address = listener.local_addr().map_err(RunError::Start)?;
    if options.in_memory {
        let store = Arc::new(MemoryStore::default());
        let api = api(&options, address, store, modes, tokens, accounts)?;
        let place = place(&options, address, service_ip);
        serve(api, place, listener, tls, ready, stop).await;
        return Ok(());
    }
    let folder = options.data_dir.clone();
    let opened = EmbeddedStore::open(&folder, keelson_store::embedded::Options::default());
    let store = Arc::new(opened.map_err(RunError::Store)?);
    let unsent = |error: &_| tracing::warn!(%error, "a snapshot could not be sent");
    store.serve_snapshots(unsent).map_err(RunError::Snapshots)?;
    let kept = Arc::clone(&store) as Arc<dyn Store>;
    let api = api(&options, address, kept, modes, tokens, accounts)?;
    let place = place(&options, address, service_ip);
    serve(api, place, listener, tls, ready, stop).await;
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
    accounts: Tokens,
) -> Result<Arc<Api>, RunError> {
    let stopping = CancellationToken::new();
    let identity = options.kubelet_client_certificate.clone();
    let kubelets = KubeletFiles {
        identity: identity.zip(options.kubelet_client_key.clone()),
        authority: options.kubelet_certificate_authority.clone(),
    };
    let ip = options.advertise_address.unwrap_or(address.ip());
    Ok(Arc::new(Api {
        ranges: ranges(options)?,
        backends: Backends::open(&kubelets, stopping.clone())?,
        openapi: Documents::default(),
        metrics: RequestMetrics::default(),
        registry: Registry::new(store),
        tokens,
        accounts: Tokens {
            jwks_uri: jwks_uri(options, ip, address.port()),
            ..accounts
        },
        authorizer: Authorizer::new(modes),
        limits: Limits::new(
            options.max_requests_inflight,
            options.max_mutating_requests_inflight,
        ),
        admissions: vec![Box::new(gate(options)?)],
        address: SocketAddr::new(ip, address.port()).to_string(),
        stopping,
        started: CancellationToken::new(),
    }))
}

fn gate(options: &Options) -> Result<Gate, RunError> {
    let (on, off) = (
        &options.enable_admission_plugins,
        &options.disable_admission_plugins,
    );
    Ok(Gate {
        chain: Chain::new(on, off)?,
        metrics: Arc::default(),
    })
}

fn jwks_uri(options: &Options, ip: IpAddr, port: u16) -> String {
    let own = || format!("https://{}/openid/v1/jwks", SocketAddr::new(ip, port));
    options.service_account_jwks_uri.clone().unwrap_or_else(own)
}

/// What tokens of service accounts are issued and checked with.
fn accounts(options: &Options) -> Result<Tokens, RunError> {
    let mut audiences = options.api_audiences.clone();
    if audiences.is_empty() {
        audiences.extend(options.service_account_issuer.first().cloned());
    }
    let longest = &options.service_account_max_token_expiration;
    let longest = match longest.as_str() {
        "0" | "" => 0,
        text => keelson_api::duration::Duration::parse(text)
            .map(|duration| i64::try_from(duration.to_std().as_secs()).unwrap_or(i64::MAX))
            .map_err(|error| RunError::Flag {
                flag: "service-account-max-token-expiration",
                value: text.to_owned(),
                why: error.to_string(),
            })?,
    };
    let issuers = Issuers {
        issuers: options.service_account_issuer.clone(),
        audiences,
        longest,
        extend: options.service_account_extend_token_expiration,
    };
    let signing = options.service_account_signing_key_file.as_deref();
    Ok(Tokens {
        bootstrap: options.enable_bootstrap_token_auth,
        ..Tokens::read(signing, &options.service_account_key_file, issuers)?
    })
}

/// Where addresses and ports of services come from.
fn ranges(options: &Options) -> Result<Ranges, RunError> {
    let wrong = |flag, value: &str, why: &str| RunError::Flag {
        flag,
        value: value.to_owned(),
        why: why.to_owned(),
    };
    let addresses = options.service_cluster_ip_range.as_str();
    let ports = options.service_node_port_range.as_str();
    let parsed = addresses.split(',').map(AddressRange::parse);
    let parsed: Option<Vec<AddressRange>> = parsed.collect();
    Ok(Ranges {
        addresses: parsed.ok_or_else(|| {
            wrong(
                "service-cluster-ip-range",
                addresses,
                "expected ADDRESS/LENGTH",
            )
        })?,
        ports: PortRange::parse(ports)
            .ok_or_else(|| wrong("service-node-port-range", ports, "expected FIRST-LAST"))?,
    })
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

fn service_ip(options: &Options) -> Result<IpAddr, RunError> {
    let range = &options.service_cluster_ip_range;
    let first = range.split(',').next().and_then(start::first_address);
    first.ok_or_else(|| RunError::Flag {
        flag: "service-cluster-ip-range",
        value: range.clone(),
        why: "expected ADDRESS/LENGTH with room for services".to_owned(),
    })
}

fn place(options: &Options, address: SocketAddr, service_ip: IpAddr) -> Place {
    Place {
        service_ip,
        address: options.advertise_address.unwrap_or(address.ip()),
        port: address.port(),
    }
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
    let starting = Arc::clone(&api);
    tasks.spawn(async move {
        if start::until_there(&starting.registry, &place, &starting.stopping).await {
            if let Err(failure) = reserve_addresses(&starting).await {
                tracing::warn!(%failure, "not all addresses of services are reserved");
            }
            starting.started.cancel();
        }
    });
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
