//! The table that is printed in the end.

use std::fmt;
use std::time::Duration;

/// Rows of what was measured, some with a bar.
#[derive(Default)]
pub struct Table(Vec<Row>);

struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bar: Option<f64>,
}

impl Table {
    /// A figure by itself.
    pub fn row(&mut self, what: &str, value: f64, unit: &'static str) {
        self.0.push(Row {
            what: what.to_owned(),
            value,
            unit,
            bar: None,
        });
    }

    /// A figure that should not be above `bar`.
    pub fn at_most(&mut self, what: &str, value: f64, bar: f64, unit: &'static str) {
        self.0.push(Row {
            what: what.to_owned(),
            value,
            unit,
            bar: Some(bar),
        });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| what | measured | at most | |")?;
        writeln!(out, "|---|---|---|---|")?;
        for Row {
            what,
            value,
            unit,
            bar,
        } in &self.0
        {
            let (limit, verdict) = match bar {
                None => (String::new(), ""),
                Some(bar) if value <= bar => (format!("{bar} {unit}"), "ok"),
                Some(bar) => (format!("{bar} {unit}"), "MISSED"),
            };
            writeln!(out, "| {what} | {value:.2} {unit} | {limit} | {verdict} |")?;
        }
        Ok(())
    }
}

/// The middle of some times.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
