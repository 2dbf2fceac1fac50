//! The `kube-scheduler` program: command line, log, runtime, election, agent, exit code.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use hyper::StatusCode;
use keelson_client::events::Recorder;
use keelson_client::kubeconfig::{Config, KubeconfigError};
use keelson_client::leader::{self, Election, Ended};
use keelson_client::metrics::dropped_events;
use keelson_client::site::{self, Authority, Gate, Place, SiteError};
use keelson_client::{Client, allocator};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::agent;
use crate::config::{self, ConfigError, Settled};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::state::State;

/// One thread decides, another reads and writes.
const WORKERS: usize = 2;
const BLOCKING_KEPT: Duration = Duration::from_secs(2);

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The apiserver cannot be talked to.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The port cannot be served.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// No threads or signals.
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
    /// Somebody else leads now.
    #[error("leader election lost")]
    Lost,
}

/// Runs the scheduler until it is told to stop.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let name = OsString::from("kube-scheduler");
    let options = match Options::try_parse_from(std::iter::once(&name).chain(args)) {
        Ok(options) => options,
        Err(answer) => {
            // Help and version are answers, not failures; clap knows where each is printed.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
    };
    allocator::settle();
    start_log(options.verbosity);
    let outcome = runtime().and_then(|runtime| runtime.block_on(until_told(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-scheduler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_keep_alive(BLOCKING_KEPT)
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)
}

async fn until_told(options: &Options) -> Result<(), CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Runtime)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut signals = JoinSet::new();
    signals.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    let outcome = run(options, stop).await;
    signals.shutdown().await;
    outcome
}

/// Runs the scheduler until the token is cancelled.
///
/// # Errors
/// It cannot begin, or lost the election.
pub async fn run(options: &Options, stop: CancellationToken) -> Result<(), CommandError> {
    let settled = config::load(options)?;
    let client = Client::new(&settled.server()?, "kube-scheduler")?;
    let metrics = Arc::new(Mutex::new(Metrics::default()));
    let mut tasks = JoinSet::new();
    // What serves goes on until what decides has ended.
    let serving = CancellationToken::new();
    let host = host_name();
    let (recorder, task) =
        Recorder::new(client.clone(), "default-scheduler", &host, serving.clone());
    tasks.spawn(task);
    let (shown, events) = (metrics.clone(), recorder.clone());
    let figures = Box::new(move || shown.lock().text() + &dropped_events(events.dropped()));
    listen(options, &client, figures, &mut tasks, &serving).await?;
    let outcome = lead(&settled, client, recorder, metrics, stop).await;
    serving.cancel();
    while tasks.join_next().await.is_some() {}
    outcome
}

async fn lead(
    settled: &Settled,
    client: Client,
    recorder: Recorder,
    metrics: Arc<Mutex<Metrics>>,
    stop: CancellationToken,
) -> Result<(), CommandError> {
    let state = State::new(settled.profiles.clone(), settled.waits, seed());
    let Some(lease) = &settled.election else {
        agent::work(client, state, recorder, metrics, stop).await;
        return Ok(());
    };
    let election = Election {
        client: client.clone(),
        namespace: lease.namespace.clone(),
        name: lease.name.clone(),
        settings: leader::Settings {
            identity: format!("{}_{:016x}", host_name(), seed()),
            lease_duration: lease.lease_duration,
            renew_deadline: lease.renew_deadline,
            retry_period: lease.retry_period,
        },
    };
    let work = |stop| agent::work(client, state, recorder, metrics, stop);
    match leader::run(election, work, stop).await {
        Ended::Stopped => Ok(()),
        Ended::Lost => Err(CommandError::Lost),
    }
}

async fn listen(
    options: &Options,
    client: &Client,
    figures: Box<dyn Fn() -> String + Send + Sync>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), CommandError> {
    if options.secure_port == 0 {
        return Ok(());
    }
    let asked = |path: Option<&Path>| match path {
        None => Ok(client.clone()),
        Some(path) => Client::new(&Config::from_file(path)?, "kube-scheduler"),
    };
    let authentication = asked(options.authentication_kubeconfig.as_deref())?;
    let authority = match &options.client_ca_file {
        Some(file) => Authority::File(file.clone()),
        None if options.authentication_skip_lookup => Authority::None,
        None => Authority::of_cluster(&authentication, tasks, stop.clone()),
    };
    let gate = Gate::new(
        authority,
        authentication,
        asked(options.authorization_kubeconfig.as_deref())?,
        options.authorization_always_allow_paths.clone(),
    );
    let files = options.tls_cert_file.clone();
    let place = Place {
        address: SocketAddr::new(options.bind_address, options.secure_port),
        certificate: files.zip(options.tls_private_key_file.clone()),
    };
    let pages = move |path: &str| match path {
        "/healthz" | "/livez" | "/readyz" => Some((StatusCode::OK, "ok".to_owned())),
        "/metrics" => Some((StatusCode::OK, figures())),
        _ => None,
    };
    site::open(place, gate, Box::new(pages), tasks, stop.clone()).await?;
    Ok(())
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// A number that no other process has.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}

fn start_log(verbosity: u32) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let ours = format!("warn,keelson_scheduler={level},keelson_client={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
