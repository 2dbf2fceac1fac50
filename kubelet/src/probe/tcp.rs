//! `tcpSocket`: healthy when the port accepts.

use super::connect::Dialer;
use super::url::Authority;
use super::{ProbeOutcome, ProbeReport};

/// Connects and closes; the caller sets the deadline.
pub(super) async fn probe(dialer: &Dialer, authority: &Authority) -> ProbeReport {
    match dialer.tcp(authority).await {
        Ok(_closed_on_drop) => ProbeReport::new(ProbeOutcome::Success, ""),
        Err(error) => ProbeReport::new(ProbeOutcome::Failure, &error.to_string()),
    }
}
