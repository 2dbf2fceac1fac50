//! Counts and times requests, by method, first part of the path and door.

use hyper::Request;
use tokio::time::Instant;

use super::handle::Door;
use crate::metrics::names;

const METHODS: &[&str] = &[
    "OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT",
];
const PATHS: &[&str] = &[
    "attach",
    "checkpoint",
    "configz",
    "containerLogs",
    "debug",
    "exec",
    "healthz",
    "logs",
    "metrics",
    "metrics/cadvisor",
    "metrics/probes",
    "metrics/resource",
    "pods",
    "portForward",
    "run",
    "runningpods",
    "stats",
];

/// A request being answered.
pub(super) struct Measured {
    labels: [&'static str; 4],
    started: Instant,
}

impl Measured {
    pub(super) fn start<B>(door: &Door, request: &Request<B>) -> Self {
        let labels = labels(door, request.method().as_str(), request.uri().path());
        names::HTTP_REQUESTS_TOTAL.inc(&labels);
        names::HTTP_INFLIGHT_REQUESTS.add(&labels, 1.0);
        Self {
            labels,
            started: Instant::now(),
        }
    }

    /// The response is ready; a streamed body may still go on.
    pub(super) fn finish(self) {
        names::HTTP_REQUESTS_DURATION_SECONDS
            .observe_duration(&self.labels, self.started.elapsed());
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        names::HTTP_INFLIGHT_REQUESTS.add(&self.labels, -1.0);
    }
}

fn labels(door: &Door, method: &str, path: &str) -> [&'static str; 4] {
    let known = |all: &[&'static str], one: &str| {
        all.iter()
            .find(|known| **known == one)
            .copied()
            .unwrap_or("other")
    };
    let path = known(PATHS, first_part(path));
    let server = match door {
        Door::Secure(_) => "readwrite",
        Door::ReadOnly | Door::Health => "readonly",
        Door::Local => "local",
    };
    let long = matches!(path, "exec" | "attach" | "debug");
    [
        known(METHODS, method),
        path,
        server,
        if long { "true" } else { "false" },
    ]
}

/// The first part of a path; of metrics, the first two.
fn first_part(path: &str) -> &str {
    let path = path.trim_matches('/');
    let parts = if path.starts_with("metrics/") { 2 } else { 1 };
    let end = path.match_indices('/').nth(parts - 1);
    end.map_or(path, |(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fall_into_few_classes() {
        for (method, path, expected) in [
            ("GET", "/exec/a/b/c", ["GET", "exec", "local", "true"]),
            (
                "GET",
                "/metrics/cadvisor",
                ["GET", "metrics/cadvisor", "local", "false"],
            ),
            ("GET", "/metrics", ["GET", "metrics", "local", "false"]),
            ("BREW", "/coffee", ["other", "other", "local", "false"]),
            (
                "GET",
                "/runningpods/",
                ["GET", "runningpods", "local", "false"],
            ),
        ] {
            assert_eq!(labels(&Door::Local, method, path), expected, "{path}");
        }
    }
}
