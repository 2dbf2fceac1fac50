//! Figures of the scheduler under upstream's names, as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Upper bounds in seconds: from 1 ms on, doubling.
const BOUNDS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384,
];

/// Times, sorted into buckets.
#[derive(Clone, Debug, Default)]
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
            *count += u64::from(seconds <= *bound);
        }
    }

    fn render(&self, name: &str, labels: &str, into: &mut String) {
        let (open, close) = if labels.is_empty() {
            (String::new(), String::new())
        } else {
            (format!("{labels},"), format!("{{{labels}}}"))
        };
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            // Writing to a String does not fail.
            let _ = writeln!(into, "{name}_bucket{{{open}le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (self.count, self.sum);
        let _ = writeln!(
            into,
            "{name}_bucket{{{open}le=\"+Inf\"}} {count}\n{name}_sum{close} {sum}\n{name}_count{close} {count}"
        );
    }
}

fn family(name: &str, kind: &str, help: &str) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The pod was bound.
    Scheduled,
    /// No node would do.
    Unschedulable,
    /// Something went wrong.
    Error,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Unschedulable => "unschedulable",
            Self::Error => "error",
        }
    }
}

/// All figures.
#[derive(Debug, Default)]
pub struct Metrics {
    attempts: BTreeMap<(Outcome, String), Histogram>,
    algorithm: Histogram,
    waiting: Histogram,
    /// Pods that wait: active, backing off, unschedulable, gated.
    pub pending: [usize; 4],
    /// Preemptions that were begun.
    pub preemptions: u64,
    /// Pods that had to go.
    pub victims: u64,
    /// Nodes and placed pods.
    pub cached: [usize; 2],
    /// Pods that each plugin refused.
    pub refused_by: BTreeMap<&'static str, u64>,
    /// Bindings under way.
    pub binding: usize,
}

impl Metrics {
    /// An attempt of a profile ended after so long.
    pub fn attempt(&mut self, outcome: Outcome, profile: &str, took: Duration) {
        let key = (outcome, profile.to_owned());
        self.attempts.entry(key).or_default().observe(took);
    }

    /// A decision took so long.
    pub fn decided(&mut self, took: Duration) {
        self.algorithm.observe(took);
    }

    /// A pod was bound so long after it came.
    pub fn bound_after(&mut self, waited: Duration) {
        self.waiting.observe(waited);
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut all = family(
            "scheduler_schedule_attempts_total",
            "counter",
            "Attempts to schedule pods, by result and profile",
        );
        for ((outcome, profile), times) in &self.attempts {
            let (result, count) = (outcome.name(), times.count);
            let _ = writeln!(
                all,
                "scheduler_schedule_attempts_total{{profile=\"{profile}\",result=\"{result}\"}} {count}"
            );
        }
        all += &family(
            "scheduler_scheduling_attempt_duration_seconds",
            "histogram",
            "How long attempts took, decision and binding",
        );
        for ((outcome, profile), times) in &self.attempts {
            let labels = format!("profile=\"{profile}\",result=\"{}\"", outcome.name());
            times.render(
                "scheduler_scheduling_attempt_duration_seconds",
                &labels,
                &mut all,
            );
        }
        let name = "scheduler_scheduling_algorithm_duration_seconds";
        all += &family(name, "histogram", "How long decisions took");
        self.algorithm.render(name, "", &mut all);
        let name = "scheduler_pod_scheduling_sli_duration_seconds";
        all += &family(
            name,
            "histogram",
            "How long pods waited until they were bound",
        );
        self.waiting.render(name, "", &mut all);
        all += &family(
            "scheduler_pending_pods",
            "gauge",
            "Pods that wait, by queue",
        );
        for (queue, count) in ["active", "backoff", "unschedulable", "gated"]
            .iter()
            .zip(self.pending)
        {
            let _ = writeln!(all, "scheduler_pending_pods{{queue=\"{queue}\"}} {count}");
        }
        all += &family(
            "scheduler_preemption_attempts_total",
            "counter",
            "Preemptions begun",
        );
        let _ = writeln!(
            all,
            "scheduler_preemption_attempts_total {}",
            self.preemptions
        );
        all += &family(
            "scheduler_preemption_victims_total",
            "counter",
            "Pods that had to go",
        );
        let _ = writeln!(all, "scheduler_preemption_victims_total {}", self.victims);
        all += &family("scheduler_cache_size", "gauge", "What is in the cache");
        for (kind, count) in ["nodes", "pods"].iter().zip(self.cached) {
            let _ = writeln!(all, "scheduler_cache_size{{type=\"{kind}\"}} {count}");
        }
        all += &family("scheduler_goroutines", "gauge", "Tasks under way");
        let _ = writeln!(
            all,
            "scheduler_goroutines{{operation=\"binding\"}} {}",
            self.binding
        );
        let name = "scheduler_unschedulable_pods";
        all += &family(name, "counter", "Refusals by plugin");
        for (plugin, count) in &self.refused_by {
            let _ = writeln!(all, "{name}{{plugin=\"{plugin}\"}} {count}");
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_upstreams_names() {
        let mut metrics = Metrics {
            pending: [1, 2, 3, 4],
            ..Metrics::default()
        };
        metrics.attempt(
            Outcome::Scheduled,
            "default-scheduler",
            Duration::from_millis(3),
        );
        metrics.decided(Duration::from_millis(1));
        let text = metrics.text();
        for line in [
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
            "scheduler_pending_pods{queue=\"gated\"} 4",
            "scheduler_scheduling_algorithm_duration_seconds_count 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.004\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
