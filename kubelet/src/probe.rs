//! The effects of probes and lifecycle hooks: one call runs one of them once, within its deadline.
//! When, how often and with what consequence is decided elsewhere; nothing is counted or
//! remembered here.
//!
//! **Guarantees**: a report comes no later than the deadline, whatever the pod does; dropping the
//! future ends the probe; a probe over the network starts no process and leaves no socket behind.

mod command;
mod connect;
mod exec;
mod grpc;
mod hook;
mod http;
mod target;
mod tcp;
mod url;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::resolve::Resolver;
use connect::Dialer;
pub use exec::ExecSync;
pub use hook::{HookError, HookNote, HookOwner};
pub use target::{
    GrpcTarget, HOOK_AGENT, HookTarget, HttpTarget, PROBE_AGENT, ProbeTarget, TargetError,
    hook_target, probe_target,
};
pub use url::{Authority, LocationError, Scheme, Url};

/// Message of the event `FailedPostStartHook`.
pub const POST_START_FAILED: &str = "PostStartHook failed";
/// Message of the event `FailedPreStopHook`.
pub const PRE_STOP_FAILED: &str = "PreStopHook failed";

/// Longest message of a report, in bytes; also how much of a body is read.
pub const MAX_MESSAGE: usize = 10 * 1024;

/// How often a probe that could not be run is tried, within its one deadline.
const MAX_ATTEMPTS: usize = 3;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Healthy.
    Success,
    /// Healthy, with something to tell: an event `ProbeWarning`.
    Warning,
    /// Not healthy: an event `Unhealthy`.
    Failure,
    /// It could not be told.
    Unknown,
}

/// What a probe found, and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// The verdict.
    pub outcome: ProbeOutcome,
    /// Output, body or cause; at most [`MAX_MESSAGE`] bytes.
    pub message: String,
}

impl ProbeReport {
    fn new(outcome: ProbeOutcome, message: &str) -> Self {
        Self {
            outcome,
            message: bounded_text(message),
        }
    }
}

/// Runs probes and hooks.
#[derive(Clone, Debug)]
pub struct Prober<E> {
    runtime: E,
    dialer: Dialer,
}

impl<E: ExecSync> Prober<E> {
    /// Runs commands through `runtime`, and looks names up with this machine's files and servers.
    pub fn new(runtime: E) -> Self {
        Self {
            runtime,
            dialer: Dialer::new(Resolver::default()),
        }
    }

    /// Runs one probe once. `container_id` matters to `exec` only.
    pub async fn probe(
        &self,
        container_id: &str,
        target: &ProbeTarget,
        timeout: Duration,
    ) -> ProbeReport {
        let end = Instant::now() + timeout;
        let mut attempt = 1;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let report = self.attempt(container_id, target, timeout, left).await;
            if report.outcome != ProbeOutcome::Unknown || attempt == MAX_ATTEMPTS {
                return report;
            }
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        container_id: &str,
        target: &ProbeTarget,
        whole: Duration,
        left: Duration,
    ) -> ProbeReport {
        let run = async {
            match target {
                ProbeTarget::Exec(command) => {
                    exec::probe(&self.runtime, container_id, command, left).await
                }
                ProbeTarget::Http(target) => http::probe(&self.dialer, target).await,
                ProbeTarget::Tcp(authority) => tcp::probe(&self.dialer, authority).await,
                ProbeTarget::Grpc(target) => grpc::probe(&self.dialer, target, left).await,
            }
        };
        timeout(left, run)
            .await
            .unwrap_or_else(|_elapsed| late(target, whole))
    }

    /// Runs one hook once, within `budget`.
    pub async fn hook(
        &self,
        container_id: &str,
        owner: &HookOwner,
        target: &HookTarget,
        budget: Duration,
    ) -> Result<HookNote, HookError> {
        hook::run(self, container_id, owner, target, budget).await
    }
}

/// The report of a probe that was cut off.
fn late(target: &ProbeTarget, timeout: Duration) -> ProbeReport {
    let message = match target {
        ProbeTarget::Exec(command) => return exec::timed_out(command),
        ProbeTarget::Grpc(target) => return grpc::timed_out(target, true, timeout),
        ProbeTarget::Http(target) => http::format_failure(
            target,
            &"context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        ),
        ProbeTarget::Tcp(authority) => format!("dial tcp {authority}: i/o timeout"),
    };
    ProbeReport::new(ProbeOutcome::Failure, &message)
}

/// `text` cut at [`MAX_MESSAGE`] bytes, between two characters.
fn bounded_text(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
