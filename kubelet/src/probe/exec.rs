//! `exec`: a command run in the container by the runtime, without a terminal.

use std::future::Future;
use std::time::Duration;

use super::{ProbeOutcome, ProbeReport};

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its standard output, as the runtime kept it.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Its exit code.
    pub exit_code: i32,
}

impl ExecOutput {
    /// Standard output, then standard error.
    #[must_use]
    pub fn combined(mut self) -> Vec<u8> {
        self.stdout.append(&mut self.stderr);
        self.stdout
    }
}

/// Why a command has no exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The runtime stopped it after the time-out.
    #[error("command timed out")]
    TimedOut,
    /// The runtime could not run it.
    #[error("{0}")]
    Runtime(String),
}

/// Runs commands in containers: the runtime, or a test's stand-in.
pub trait ExecSync: Send + Sync {
    /// Runs `command` in a container to its end, or until `timeout`; then the process is killed.
    /// Dropping the future abandons the command.
    fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = Result<ExecOutput, ExecError>> + Send;
}

/// Runs the probe. A command that can't be run tells nothing about the container's health.
pub(super) async fn probe(
    runtime: &impl ExecSync,
    container_id: &str,
    command: &[String],
    timeout: Duration,
) -> ProbeReport {
    match runtime.exec_sync(container_id, command, timeout).await {
        Ok(output) => {
            let outcome = match output.exit_code {
                0 => ProbeOutcome::Success,
                _ => ProbeOutcome::Failure,
            };
            ProbeReport::new(outcome, &String::from_utf8_lossy(&output.combined()))
        }
        Err(ExecError::TimedOut) => timed_out(command),
        Err(error) => ProbeReport::new(ProbeOutcome::Unknown, &error.to_string()),
    }
}

/// The report of a command that did not end in time.
pub(super) fn timed_out(command: &[String]) -> ProbeReport {
    let message = format!("command {:?} timed out", command.join(" "));
    ProbeReport::new(ProbeOutcome::Failure, &message)
}
