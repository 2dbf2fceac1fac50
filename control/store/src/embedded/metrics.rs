//! What the engine counts about itself. It must not know how numbers are shown.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Revision;

/// Upper bounds of commit latencies, in seconds.
pub const LATENCY: [f64; 12] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 1.0, 4.0,
];

/// Counters that the committer keeps.
#[derive(Debug, Default)]
pub struct Metrics {
    commits: AtomicU64,
    requests: AtomicU64,
    nanoseconds: AtomicU64,
    latency: [AtomicU64; LATENCY.len()],
    history: AtomicU64,
}

/// Numbers about an engine at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// Requests that were answered by them: divided by commits, the size of a batch.
    pub requests: u64,
    /// Seconds that the commits took, all together.
    pub commit_seconds: f64,
    /// Commits by how long they took: an upper bound in seconds and how many stayed below it.
    pub commit_latency: Vec<(f64, u64)>,
    /// Bytes of values that only the past needs.
    pub history_bytes: u64,
    /// The newest revision.
    pub revision: Revision,
    /// The oldest that is kept.
    pub compacted: Revision,
    /// Watches that are open.
    pub watches: usize,
}

impl Metrics {
    /// Counts a transaction.
    pub fn observe_commit(&self, requests: usize, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(requests as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        if let Some(bucket) = LATENCY.iter().position(|bound| seconds <= *bound) {
            self.latency[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes how much the past takes.
    pub fn note_history(&self, bytes: u64) {
        self.history.store(bytes, Ordering::Relaxed);
    }

    /// The numbers now.
    pub fn numbers(
        &self,
        path: &Path,
        watches: usize,
        revision: Revision,
        compacted: Revision,
    ) -> Numbers {
        let mut below = 0;
        let commit_latency = LATENCY.iter().zip(&self.latency).map(|(bound, count)| {
            below += count.load(Ordering::Relaxed);
            (*bound, below)
        });
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        Numbers {
            commit_latency: commit_latency.collect(),
            file_bytes: std::fs::metadata(path).map_or(0, |data| data.len()),
            free_bytes: super::committer::free_space(path),
            commits: self.commits.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            commit_seconds: Duration::from_nanos(nanoseconds).as_secs_f64(),
            history_bytes: self.history.load(Ordering::Relaxed),
            revision,
            compacted,
            watches,
        }
    }
}
