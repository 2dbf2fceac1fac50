//! The figures of work queues and of leader election, as Prometheus text, under upstream's names.
//! Must not know how they are served.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;
use std::time::Duration;

/// Upper bounds of durations in seconds: from 10 ns on, times ten.
const BOUNDS: [f64; 10] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0];

/// Whatever has figures of a work queue.
pub trait QueueMetrics: Send + Sync {
    /// Adds its figures.
    fn render(&self, into: &mut Families);
}

/// The families of all queues, so that each is described once.
#[derive(Debug, Default)]
pub struct Families {
    lines: [String; 7],
}

/// Name, kind and description, in the order of [`Families::lines`].
const FAMILIES: [(&str, &str, &str); 7] = [
    ("adds_total", "counter", "Keys that were added to the queue"),
    ("depth", "gauge", "Keys that are due"),
    (
        "queue_duration_seconds",
        "histogram",
        "How long keys were due before work on them began",
    ),
    (
        "work_duration_seconds",
        "histogram",
        "How long the work on a key took",
    ),
    (
        "retries_total",
        "counter",
        "Keys that were added after a failure",
    ),
    (
        "unfinished_work_seconds",
        "gauge",
        "Seconds of work in progress, summed over the keys",
    ),
    (
        "longest_running_processor_seconds",
        "gauge",
        "How long the oldest work in progress has taken",
    ),
];

impl Families {
    /// The text of all families that have figures.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for ((name, kind, help), lines) in FAMILIES.iter().zip(&self.lines) {
            if !lines.is_empty() {
                // Writing to a String does not fail.
                let _ = write!(
                    text,
                    "# HELP workqueue_{name} {help}\n# TYPE workqueue_{name} {kind}\n{lines}"
                );
            }
        }
        text
    }

    fn sample(&mut self, family: usize, queue: &str, value: f64) {
        let name = FAMILIES[family].0;
        let _ = writeln!(
            self.lines[family],
            "workqueue_{name}{{name=\"{queue}\"}} {value}"
        );
    }

    fn histogram(&mut self, family: usize, queue: &str, histogram: &Histogram) {
        let name = FAMILIES[family].0;
        let lines = &mut self.lines[family];
        for (bound, count) in BOUNDS.iter().zip(histogram.counts) {
            let _ = writeln!(
                lines,
                "workqueue_{name}_bucket{{name=\"{queue}\",le=\"{bound:?}\"}} {count}"
            );
        }
        let (count, sum) = (histogram.count, histogram.sum);
        let _ = writeln!(
            lines,
            "workqueue_{name}_bucket{{name=\"{queue}\",le=\"+Inf\"}} {count}\n\
             workqueue_{name}_sum{{name=\"{queue}\"}} {sum}\n\
             workqueue_{name}_count{{name=\"{queue}\"}} {count}"
        );
    }
}

/// The text of all these queues' figures.
#[must_use]
pub fn render(queues: &[&dyn QueueMetrics]) -> String {
    let mut families = Families::default();
    for queue in queues {
        queue.render(&mut families);
    }
    families.text()
}

/// The text of how many events were dropped because too many waited.
#[must_use]
pub fn dropped_events(count: u64) -> String {
    let name = "event_recorder_dropped_total";
    format!(
        "# HELP {name} Events that were not sent, as too many waited\n\
         # TYPE {name} counter\n{name} {count}\n"
    )
}

#[derive(Debug, Default)]
struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        for (bound, count) in BOUNDS.iter().zip(&mut self.counts) {
            if seconds <= *bound {
                *count += 1;
            }
        }
    }
}

/// What is counted about one queue.
#[derive(Debug)]
pub(crate) struct QueueFigures<K> {
    pub(crate) adds: u64,
    pub(crate) retries: u64,
    waited: Histogram,
    worked: Histogram,
    queued: HashMap<K, Duration>,
    working: HashMap<K, Duration>,
}

impl<K> Default for QueueFigures<K> {
    fn default() -> Self {
        Self {
            adds: 0,
            retries: 0,
            waited: Histogram::default(),
            worked: Histogram::default(),
            queued: HashMap::new(),
            working: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> QueueFigures<K> {
    pub(crate) fn queued(&mut self, now: Duration, key: &K) {
        self.queued.insert(key.clone(), now);
    }

    pub(crate) fn taken(&mut self, now: Duration, key: &K) {
        // A key whose delay ended was due when it was taken: somebody waits for that time.
        let since = self.queued.remove(key).unwrap_or(now);
        self.waited.observe(now.saturating_sub(since));
        self.working.insert(key.clone(), now);
    }

    pub(crate) fn done(&mut self, now: Duration, key: &K, again: bool) {
        if let Some(since) = self.working.remove(key) {
            self.worked.observe(now.saturating_sub(since));
        }
        if again {
            self.queued(now, key);
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counters stay exact up to 2^53, which is what Prometheus keeps"
    )]
    pub(crate) fn render(&self, queue: &str, depth: usize, now: Duration, into: &mut Families) {
        let running = self
            .working
            .values()
            .map(|since| now.saturating_sub(*since));
        let (sum, longest) = running.fold((Duration::ZERO, Duration::ZERO), |(sum, most), time| {
            (sum + time, most.max(time))
        });
        into.sample(0, queue, self.adds as f64);
        into.sample(1, queue, depth as f64);
        into.histogram(2, queue, &self.waited);
        into.histogram(3, queue, &self.worked);
        into.sample(4, queue, self.retries as f64);
        into.sample(5, queue, sum.as_secs_f64());
        into.sample(6, queue, longest.as_secs_f64());
    }
}
