//! The `kube-proxy` program: command line to configuration, log, runtime, agent, exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use keelson_client::Client;
use keelson_client::kubeconfig::{Config, KubeconfigError, Server};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::agent::Extras;
use crate::backend::{BackendError, remove_others};
use crate::config::{self, ConfigError, Flags, KubeProxyConfiguration};
use crate::dns::flags::DnsFlagError;
use crate::dns::link;
use crate::{agent, pod_routes, sysctl};

const BLOCKING_THREADS: usize = 2;
const BLOCKING_KEPT: Duration = Duration::from_secs(2);

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    #[error("--master {0:?} is not http://HOST:PORT")]
    Master(String),
    #[error("the node has no name: set hostnameOverride")]
    NoName,
    #[error(transparent)]
    Agent(#[from] agent::AgentError),
    #[error("remove rules: {0}")]
    Cleanup(BackendError),
    #[error("remove the DNS server's link: {0}")]
    CleanupLink(keelson_netlink::Error),
    #[error("remove routes to pods: {0}")]
    CleanupRoutes(keelson_netlink::Error),
    #[error(transparent)]
    Dns(#[from] DnsFlagError),
    #[error("start the runtime: {0}")]
    Runtime(std::io::Error),
}

/// Runs the proxy until it is told to stop.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let name = OsString::from("kube-proxy");
    let loaded = config::load(std::iter::once(name).chain(args.iter().cloned()));
    let outcome = match loaded {
        Err(ConfigError::Usage(answer)) => {
            // Help and version are answers, not failures; clap knows where each is printed.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
        Err(error) => Err(error.into()),
        Ok((config, flags, warnings)) => go(config, &flags, &warnings),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn go(
    config: KubeProxyConfiguration,
    flags: &Flags,
    warnings: &[String],
) -> Result<(), CommandError> {
    start_log(flags.v);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if flags.cleanup {
        link::release().map_err(CommandError::CleanupLink)?;
        pod_routes::apply::release().map_err(CommandError::CleanupRoutes)?;
        return remove_others(None, &config.ipvs()).map_err(CommandError::Cleanup);
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let wanted = sysctl::wanted(&config.conntrack, i64::try_from(cores).unwrap_or(1));
    for failure in sysctl::apply(&wanted) {
        tracing::warn!("{failure}");
    }
    if flags.init_only {
        return Ok(());
    }
    keelson_client::allocator::settle();
    let node = node_name(&config)?;
    let extras = Extras {
        dns: flags.dns.settings()?,
        pod_routes: flags.pod_routes,
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEPT)
        .build()
        .map_err(CommandError::Runtime)?;
    runtime.block_on(async {
        let client = Client::new(&server(&config, flags)?, "kube-proxy")?;
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Runtime)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping; the rules stay");
        };
        Ok(agent::run(config, extras, &node, client, stop).await?)
    })
}

fn server(config: &KubeProxyConfiguration, flags: &Flags) -> Result<Config, CommandError> {
    let path = &config.client_connection.kubeconfig;
    let Some(master) = flags.master.as_ref().filter(|_| path.is_empty()) else {
        let path = (!path.is_empty()).then(|| Path::new(path));
        return Ok(Config::discover(path)?);
    };
    let place = master
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    let parts = place.and_then(|place| place.rsplit_once(':'));
    let parsed = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed.ok_or_else(|| CommandError::Master(master.clone()))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = Config::plain(host, port);
    let servers: Vec<Server> = plain.servers.clone();
    Ok(Config { servers, ..plain })
}

/// The configured name, else the host's in lower case.
fn node_name(config: &KubeProxyConfiguration) -> Result<String, CommandError> {
    let configured = config.hostname_override.trim().to_lowercase();
    if !configured.is_empty() {
        return Ok(configured);
    }
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    Some(host)
        .filter(|name| !name.is_empty())
        .ok_or(CommandError::NoName)
}

fn start_log(verbosity: u32) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let ours = format!("warn,keelson_proxy={level},keelson_client={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
