//! The `kubelet` program: command line to configuration, log, runtime, agent, exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use keelson_client::allocator;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::agent;
use crate::config::{self, Config, ConfigError, support};

/// The agent is one thread; blocking file work gets a few more, for a moment.
const BLOCKING_THREADS: usize = 4;
/// How long an idle blocking thread stays.
const BLOCKING_KEPT: Duration = Duration::from_secs(2);
/// Stack of a blocking thread in bytes: nothing there recurses deeply.
const BLOCKING_STACK: usize = 256 * 1024;

/// Runs the kubelet until it is told to stop. `ready` is called once it serves.
#[must_use]
pub fn main(args: &[OsString], ready: fn()) -> ExitCode {
    let name = OsString::from("kubelet");
    let loaded = config::load(std::iter::once(name).chain(args.iter().cloned()));
    let (config, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(ConfigError::Usage(answer)) => {
            // Help and version are answers, not failures; clap knows where each is printed.
            let _ = answer.print();
            return ExitCode::from(u8::from(answer.use_stderr()));
        }
        Err(error) => return fail(&error),
    };
    if config.options.config_support {
        print!("{}", support::render());
        return ExitCode::SUCCESS;
    }
    allocator::settle();
    start_log(config.options.verbosity);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    match runtime().map(|runtime| runtime.block_on(run(config, ready))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error),
    }
}

async fn run(config: Config, ready: fn()) -> Result<(), agent::AgentError> {
    let at = |source| agent::AgentError::Machine {
        step: "listen for signals",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(at)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(at)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; containers go on without the agent");
    };
    agent::run(config, ready, stop).await
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEPT)
        .thread_stack_size(BLOCKING_STACK)
        .build()
}

fn start_log(verbosity: u32) {
    let level = match verbosity {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    // Libraries speak only of what goes wrong, unless RUST_LOG asks for more.
    let ours = format!("warn,keelson_kubelet={level},keelson_client={level},keelson_cri={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("kubelet: {error}");
    ExitCode::FAILURE
}
