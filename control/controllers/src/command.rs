//! The `kube-controller-manager` program: command line, log, runtime, controllers, exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use keelson_client::allocator;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::options::Options;
use crate::run::{RunError, run};

const BLOCKING_THREADS: usize = 2;
const BLOCKING_KEPT: Duration = Duration::from_secs(2);

/// Runs the controllers until the program is told to stop or loses the lead.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let name = OsString::from("kube-controller-manager");
    let options = match Options::try_parse_from(std::iter::once(&name).chain(args)) {
        Ok(options) => options,
        Err(answer) => {
            // Help is an answer, not a failure; clap knows where each is printed.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
    };
    start_log(options.verbosity);
    allocator::settle();
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEPT)
        .enable_all()
        .build();
    let ended = runtime
        .map_err(RunError::Start)
        .and_then(|runtime| runtime.block_on(until_told(options)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-controller-manager: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn until_told(options: Options) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Start)?;
    let stop = CancellationToken::new();
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let run = run(options, stop.clone());
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return ended,
        () = told => {}
    }
    stop.cancel();
    run.await
}

fn start_log(verbosity: u8) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    let ours = format!("warn,keelson_controllers={level},keelson_client={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
