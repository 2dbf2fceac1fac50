//! `exec`: a command run in the container by the runtime, without a terminal.

use std::future::Future;
use std::time::Duration;

use keelson_cri::CriError;
use keelson_cri::values::ExecOutput;

use super::{ProbeOutcome, ProbeReport};
use crate::metrics::record::measured;

/// Runs commands in containers: the runtime, or a test's stand-in.
pub trait ExecSync: Send + Sync {
    /// Runs `command` in a container to its end, or until `timeout`; then the process is killed.
    /// Dropping the future abandons the command.
    fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = Result<ExecOutput, CriError>> + Send;
}

impl ExecSync for keelson_cri::Client {
    async fn exec_sync(
        &self,
        container_id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput, CriError> {
        let call = Self::exec_sync(self, container_id, command.to_vec(), Some(timeout));
        measured("exec_sync", call).await
    }
}

/// Standard output, then standard error, as text.
pub(super) fn combined(output: &ExecOutput) -> String {
    let bytes = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&bytes).into_owned()
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
            ProbeReport::new(outcome, &combined(&output))
        }
        Err(CriError::DeadlineExceeded { .. }) => timed_out(command),
        Err(error) => ProbeReport::new(ProbeOutcome::Unknown, &error.to_string()),
    }
}

/// The report of a command that did not end in time.
pub(super) fn timed_out(command: &[String]) -> ProbeReport {
    let message = format!("command {:?} timed out", command.join(" "));
    ProbeReport::new(ProbeOutcome::Failure, &message)
}
