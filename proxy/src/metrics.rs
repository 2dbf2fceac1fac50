//! What is counted and measured, by upstream's names, and its text for Prometheus. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::SignedDuration;

/// Upper bounds of durations in seconds: 1 ms, doubled fourteen times.
const BUCKETS: usize = 15;

/// Upper bounds of the time from a change to its rules: a quarter and half a second, each second of
/// the first minute, then steps of five and of thirty seconds up to five minutes.
fn programming_bounds() -> impl Iterator<Item = f64> {
    let seconds = (1..60)
        .chain((60..120).step_by(5))
        .chain((120..=300).step_by(30));
    [0.25, 0.5].into_iter().chain(seconds.map(f64::from))
}

/// A histogram of the time from a change to its rules.
#[derive(Debug, Default, Clone)]
pub struct Latency {
    counts: Vec<u64>,
    sum: f64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&mut self, time: SignedDuration) {
        let seconds = time.as_secs_f64().max(0.0);
        self.counts.resize(programming_bounds().count() + 1, 0);
        let place = programming_bounds().take_while(|bound| seconds > *bound);
        self.counts[place.count()] += 1;
        self.sum += seconds;
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        head(name, help, "histogram", out);
        let mut below = 0;
        let counts = self.counts.iter().copied().chain(std::iter::repeat(0));
        for (bound, count) in programming_bounds().zip(counts) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let all: u64 = self.counts.iter().sum();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {all}", self.sum);
    }
}

/// A histogram of durations.
#[derive(Debug, Default, Clone)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: f64,
    count: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        self.count += 1;
        let mut bound = 0.001;
        for count in &mut self.counts {
            if seconds <= bound {
                *count += 1;
            }
            bound *= 2.0;
        }
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        head(name, help, "histogram", out);
        let mut bound = 0.001;
        for count in &self.counts {
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
            bound *= 2.0;
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", self.sum, self.count);
    }
}

/// All of them.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    /// Every change of rules.
    pub sync: Histogram,
    /// From a change of pods to rules in place.
    pub programming: Latency,
    /// Those that looked at everything.
    pub sync_full: Histogram,
    /// Those that touched what changed.
    pub sync_partial: Histogram,
    /// Seconds since the epoch of the last success.
    pub last_sync: f64,
    /// Seconds since the epoch when a change was last wanted.
    pub last_queued: f64,
    /// Changes of EndpointSlices.
    pub endpoint_changes: u64,
    /// Of these, not in rules yet.
    pub endpoint_changes_pending: u64,
    /// Changes of Services.
    pub service_changes: u64,
    /// Of these, not in rules yet.
    pub service_changes_pending: u64,
    /// Refusals by the kernel.
    pub nftables_failures: u64,
    /// Refusals by `iptables-restore`.
    pub iptables_failures: u64,
    /// Ports with local policy and endpoints elsewhere only: internal, external.
    pub no_local_endpoints: [u64; 2],
    /// Answers of /healthz by code.
    pub healthz: BTreeMap<u16, u64>,
    /// Answers of /livez by code.
    pub livez: BTreeMap<u16, u64>,
    /// Flows forgotten.
    pub flows_deleted: u64,
    /// Looking for stale flows.
    pub flows: Histogram,
}

impl Metrics {
    /// The text of /metrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, help, histogram) in self.histograms() {
            histogram.write(name, help, &mut out);
        }
        let help = "Time from a change of pods or of a Service to rules in place.";
        let name = "kubeproxy_network_programming_duration_seconds";
        self.programming.write(name, help, &mut out);
        for (name, help, value) in self.numbers() {
            let kind = if name.ends_with("_total") {
                "counter"
            } else {
                "gauge"
            };
            head(name, help, kind, &mut out);
            let _ = writeln!(out, "{name} {value}");
        }
        let name = "kubeproxy_sync_proxy_rules_no_local_endpoints";
        let help = "Ports with local policy and no local endpoint.";
        head(name, help, "gauge", &mut out);
        for (policy, count) in ["internal", "external"].iter().zip(self.no_local_endpoints) {
            let _ = writeln!(out, "{name}{{traffic_policy=\"{policy}\"}} {count}");
        }
        for (name, answers) in [
            ("kubeproxy_proxy_healthz_total", &self.healthz),
            ("kubeproxy_proxy_livez_total", &self.livez),
        ] {
            head(name, "Answers by code.", "counter", &mut out);
            for (code, count) in answers {
                let _ = writeln!(out, "{name}{{code=\"{code}\"}} {count}");
            }
        }
        out
    }

    fn histograms(&self) -> [(&'static str, &'static str, &Histogram); 4] {
        [
            (
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "Time for a change of rules.",
                &self.sync,
            ),
            (
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "Time for a full sync.",
                &self.sync_full,
            ),
            (
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "Time for a partial sync.",
                &self.sync_partial,
            ),
            (
                "kubeproxy_conntrack_reconciler_sync_duration_seconds",
                "Time to look for stale flows.",
                &self.flows,
            ),
        ]
    }

    fn numbers(&self) -> [(&'static str, &'static str, String); 9] {
        [
            (
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "When rules were last in place.",
                self.last_sync.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "When a sync was last wanted.",
                self.last_queued.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Changes of endpoints.",
                self.endpoint_changes.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Changes of endpoints not in rules yet.",
                self.endpoint_changes_pending.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Changes of Services.",
                self.service_changes.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Changes of Services not in rules yet.",
                self.service_changes_pending.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Syncs that the kernel refused.",
                self.nftables_failures.to_string(),
            ),
            (
                "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
                "Syncs that iptables-restore refused.",
                self.iptables_failures.to_string(),
            ),
            (
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "Stale flows forgotten.",
                self.flows_deleted.to_string(),
            ),
        ]
    }
}

fn head(name: &str, help: &str, kind: &str, out: &mut String) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_upstreams_names() {
        let mut metrics = Metrics {
            service_changes: 3,
            ..Metrics::default()
        };
        metrics.sync.observe(Duration::from_micros(1500));
        metrics.healthz.insert(200, 2);
        metrics
            .programming
            .observe(SignedDuration::from_millis(1500));
        metrics.programming.observe(SignedDuration::from_secs(1000));
        let text = metrics.text();
        for line in [
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.001\"} 0",
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{le=\"0.002\"} 1",
            "kubeproxy_sync_proxy_rules_duration_seconds_count 1",
            "kubeproxy_sync_proxy_rules_service_changes_total 3",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"1\"} 0",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"2\"} 1",
            "kubeproxy_network_programming_duration_seconds_bucket{le=\"300\"} 1",
            "kubeproxy_network_programming_duration_seconds_count 2",
            "kubeproxy_proxy_healthz_total{code=\"200\"} 2",
            "kubeproxy_sync_proxy_rules_no_local_endpoints{traffic_policy=\"internal\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
