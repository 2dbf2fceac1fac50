//! The `kube-apiserver` program: command line, log, runtime, server, exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::options::{Options, Unreadable};
use crate::run::{RunError, run};

/// Threads that serve requests, at most.
const MAX_WORKERS: usize = 8;
/// How long an idle blocking thread stays.
const BLOCKING_KEPT: Duration = Duration::from_secs(2);

/// Runs the server until it is told to stop. `ready` is called once it serves.
#[must_use]
pub fn main(args: &[OsString], ready: fn()) -> ExitCode {
    let name = OsString::from("kube-apiserver");
    let (options, without_effect) = match Options::read(std::iter::once(name).chain(args.to_vec()))
    {
        Ok(read) => read,
        Err(Unreadable::Clap(answer)) => {
            // Help and version are answers, not failures; clap knows where each is printed.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
        Err(Unreadable::Refused(refused)) => {
            eprintln!("kube-apiserver: {refused}");
            return ExitCode::FAILURE;
        }
    };
    start_log(options.verbosity);
    if !without_effect.is_empty() {
        tracing::info!(
            flags = without_effect.join(" "),
            "these have no effect here"
        );
    }
    let served = runtime()
        .map_err(RunError::Start)
        .and_then(|runtime| runtime.block_on(until_told(options, ready)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-apiserver: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn until_told(options: Options, ready: fn()) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Start)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run(options, |_| ready(), stop).await
}

fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores.min(MAX_WORKERS))
        .thread_keep_alive(BLOCKING_KEPT)
        .enable_all()
        .build()
}

fn start_log(verbosity: u32) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(std::io::stderr).init();
}
