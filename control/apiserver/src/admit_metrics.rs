//! How long admission takes, and how often it refuses: histograms under upstream's names.
//!
//! Counts only; when something begins and ends is known to those who call.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;

use crate::admit::webhook::Kind;
use crate::admit::{Operation, Phase};

const CONTROLLER: &str = "apiserver_admission_controller_admission_duration_seconds";
const WEBHOOK: &str = "apiserver_admission_webhook_admission_duration_seconds";
const STEP: &str = "apiserver_admission_step_admission_duration_seconds";
const BOUNDS: [f64; 5] = [0.005, 0.025, 0.1, 0.5, 1.0];
const WEBHOOK_BOUNDS: [f64; 5] = [0.005, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: [u64; 5],
    all: u64,
    sum: f64,
}

/// Metric, name, type, operation, rejected.
type Series = (
    &'static str,
    Cow<'static, str>,
    &'static str,
    Operation,
    bool,
);

/// All series that have been seen.
#[derive(Debug, Default)]
pub(crate) struct AdmitMetrics(Mutex<BTreeMap<Series, Histogram>>);

fn bounds(metric: &str) -> [f64; 5] {
    if metric == WEBHOOK {
        WEBHOOK_BOUNDS
    } else {
        BOUNDS
    }
}

impl AdmitMetrics {
    fn observe(&self, series: Series, took: Duration) {
        let (bounds, took) = (bounds(series.0), took.as_secs_f64());
        let mut all = self.0.lock();
        let histogram = all.entry(series).or_default();
        for (count, bound) in histogram.counts.iter_mut().zip(bounds) {
            *count += u64::from(took <= bound);
        }
        histogram.all += 1;
        histogram.sum += took;
    }

    /// A plugin has decided.
    pub(crate) fn plugin(
        &self,
        name: &'static str,
        phase: Phase,
        operation: Operation,
        rejected: bool,
        took: Duration,
    ) {
        let kind = phase.as_str();
        self.observe((CONTROLLER, name.into(), kind, operation, rejected), took);
    }

    /// A webhook has answered, or failed.
    pub(crate) fn webhook(
        &self,
        name: &str,
        kind: Kind,
        operation: Operation,
        rejected: bool,
        took: Duration,
    ) {
        self.observe(
            (
                WEBHOOK,
                name.to_owned().into(),
                kind.as_str(),
                operation,
                rejected,
            ),
            took,
        );
    }

    /// All plugins of a phase have decided.
    pub(crate) fn step(&self, phase: Phase, operation: Operation, rejected: bool, took: Duration) {
        self.observe((STEP, "".into(), phase.as_str(), operation, rejected), took);
    }

    /// All series in Prometheus's text format.
    pub(crate) fn render(&self, out: &mut String) {
        let all = self.0.lock();
        let mut last = "";
        for ((metric, name, kind, operation, rejected), histogram) in all.iter() {
            if *metric != last {
                // Writing into a string cannot fail.
                let _ = writeln!(
                    out,
                    "# HELP {metric} Admission latency in seconds.\n# TYPE {metric} histogram"
                );
                last = metric;
            }
            let own = if name.is_empty() {
                String::new()
            } else {
                format!("name=\"{name}\",")
            };
            let labels =
                format!("{own}operation=\"{operation}\",rejected=\"{rejected}\",type=\"{kind}\"");
            for (bound, count) in bounds(metric).iter().zip(histogram.counts) {
                let _ = writeln!(out, "{metric}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let Histogram { all, sum, .. } = histogram;
            let _ = writeln!(out, "{metric}_bucket{{{labels},le=\"+Inf\"}} {all}");
            let _ = writeln!(
                out,
                "{metric}_sum{{{labels}}} {sum}\n{metric}_count{{{labels}}} {all}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_rendered() {
        let metrics = AdmitMetrics::default();
        metrics.plugin(
            "Priority",
            Phase::Mutate,
            Operation::Create,
            false,
            Duration::from_millis(10),
        );
        metrics.plugin(
            "Priority",
            Phase::Mutate,
            Operation::Create,
            false,
            Duration::from_secs(2),
        );
        metrics.step(
            Phase::Validate,
            Operation::Update,
            true,
            Duration::from_millis(1),
        );
        let mut text = String::new();
        metrics.render(&mut text);
        let series = "{name=\"Priority\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"";
        assert!(
            text.contains(&format!("{CONTROLLER}_bucket{series},le=\"0.005\"}} 0\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("{CONTROLLER}_bucket{series},le=\"0.025\"}} 1\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("{CONTROLLER}_count{series}}} 2\n")),
            "{text}"
        );
        assert!(text.contains(&format!(
            "{STEP}_count{{operation=\"UPDATE\",rejected=\"true\",type=\"validate\"}} 1\n"
        )));
    }
}
