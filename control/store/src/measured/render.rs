//! Counts as Prometheus text. It must not know how they came about.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::{BOUNDS, Measured, OPERATIONS, Resource, Sample};
use crate::embedded::Numbers;

impl Measured {
    /// Appends what was counted, in Prometheus's text format.
    pub fn render(&self, out: &mut String) {
        let resources = self.resources.lock();
        let all: Vec<_> = resources
            .iter()
            .map(|(folder, one)| (labels(folder), one))
            .collect();
        head(
            out,
            DURATION,
            "histogram",
            "Store request latency for each operation and resource.",
        );
        each(&all, |labels, sample| distribution(out, labels, sample));
        head(
            out,
            REQUESTS,
            "counter",
            "Store requests for each operation and resource.",
        );
        each(&all, |labels, sample| {
            line(out, REQUESTS, labels, &sample.all)
        });
        head(
            out,
            ERRORS,
            "counter",
            "Failed store requests for each operation and resource.",
        );
        each(&all, |labels, sample| {
            line(out, ERRORS, labels, &sample.errors)
        });
        head(out, RECEIVED, "counter", "Changes received from the store.");
        for (labels, one) in &all {
            line(
                out,
                RECEIVED,
                labels,
                &one.received.changes.load(Ordering::Relaxed),
            );
        }
        head(
            out,
            MARKS,
            "gauge",
            "Marks of progress received from the store.",
        );
        for (labels, one) in &all {
            line(
                out,
                MARKS,
                labels,
                &one.received.marks.load(Ordering::Relaxed),
            );
        }
    }
}

const DURATION: &str = "etcd_request_duration_seconds";
const REQUESTS: &str = "etcd_requests_total";
const ERRORS: &str = "etcd_request_errors_total";
const RECEIVED: &str = "apiserver_storage_events_received_total";
const MARKS: &str = "etcd_bookmark_counts";

fn labels(folder: &str) -> String {
    let (group, resource) = folder.split_once('/').unwrap_or(("", folder));
    format!("group=\"{group}\",resource=\"{resource}\"")
}

/// Calls `show` for every operation that happened.
fn each(all: &[(String, &Resource)], mut show: impl FnMut(&str, &Sample)) {
    for (labels, one) in all {
        for ((_, name), sample) in OPERATIONS.iter().zip(&one.samples) {
            if sample.all > 0 {
                show(&format!("operation=\"{name}\",{labels}"), sample);
            }
        }
    }
}

fn distribution(out: &mut String, labels: &str, sample: &Sample) {
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().zip(sample.counts) {
        below += count;
        line(
            out,
            "etcd_request_duration_seconds_bucket",
            &format!("{labels},le=\"{bound}\""),
            &below,
        );
    }
    line(
        out,
        "etcd_request_duration_seconds_bucket",
        &format!("{labels},le=\"+Inf\""),
        &sample.all,
    );
    line(
        out,
        "etcd_request_duration_seconds_sum",
        labels,
        &sample.seconds,
    );
    line(
        out,
        "etcd_request_duration_seconds_count",
        labels,
        &sample.all,
    );
}

impl Numbers {
    /// Appends the embedded engine's numbers, in Prometheus's text format.
    pub fn render(&self, out: &mut String) {
        let size = "apiserver_storage_size_bytes";
        head(out, size, "gauge", "Size of the store's file in bytes.");
        line(
            out,
            size,
            "storage_cluster_id=\"embedded\"",
            &self.file_bytes,
        );
        let plain = |out: &mut String, name, kind, help, value: &dyn std::fmt::Display| {
            head(out, name, kind, help);
            let _ = writeln!(out, "{name} {value}");
        };
        plain(
            out,
            "keelson_store_free_bytes",
            "gauge",
            "Space left on the store's disk.",
            &self.free_bytes,
        );
        plain(
            out,
            "keelson_store_history_bytes",
            "gauge",
            "Bytes of superseded values that are kept.",
            &self.history_bytes,
        );
        plain(
            out,
            "keelson_store_revision",
            "gauge",
            "The newest revision.",
            &self.revision,
        );
        plain(
            out,
            "keelson_store_compacted_revision",
            "gauge",
            "The oldest revision that is kept.",
            &self.compacted,
        );
        plain(
            out,
            "keelson_store_watches",
            "gauge",
            "Open watches.",
            &self.watches,
        );
        plain(
            out,
            "keelson_store_batched_requests_total",
            "counter",
            "Requests answered by commits.",
            &self.requests,
        );
        let name = "keelson_store_commit_duration_seconds";
        head(
            out,
            name,
            "histogram",
            "Time from taking requests to answering them, the fsync included.",
        );
        for (bound, below) in &self.commit_latency {
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.commits);
        let _ = writeln!(
            out,
            "{name}_sum {}\n{name}_count {}",
            self.commit_seconds, self.commits
        );
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}
