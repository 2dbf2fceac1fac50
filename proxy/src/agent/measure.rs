//! What a sync tells the metrics.

use std::time::Duration;

use jiff::Timestamp;

use crate::metrics::Metrics;
use crate::model::{Policy, Verdict};
use crate::state::State;

pub(super) fn note_sync(metrics: &mut Metrics, took: Duration, full: bool) {
    metrics.sync.observe(took);
    if full {
        metrics.sync_full.observe(took);
    } else {
        metrics.sync_partial.observe(took);
    }
    metrics.last_sync = seconds(Timestamp::now());
    metrics.service_changes_pending = 0;
    metrics.endpoint_changes_pending = 0;
}

/// How many ports keep traffic out because their endpoints are elsewhere: internal, external.
pub(super) fn without_local(state: &State) -> [u64; 2] {
    let mut counts = [0; 2];
    for (_, rules) in state.rules().services() {
        for port in &rules.ports {
            let internal =
                port.internal == Policy::Local && port.internal_verdict() == Verdict::Drop;
            let external = port.is_external()
                && port.external == Policy::Local
                && port.external_verdict() == Verdict::Drop;
            counts[0] += u64::from(internal);
            counts[1] += u64::from(external);
        }
    }
    counts
}

pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}
