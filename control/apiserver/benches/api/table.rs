//! The table that is printed in the end.

use std::fmt;

/// Rows of what was measured, some with a bar.
#[derive(Default)]
pub struct Table(Vec<Row>);

enum Bar {
    None,
    Most(f64),
    Least(f64),
}

struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bar: Bar,
}

impl Table {
    fn add(&mut self, what: &str, value: f64, unit: &'static str, bar: Bar) {
        let what = what.to_owned();
        // A run that is cut short has told what it found.
        eprintln!("{what}: {value:.2} {unit}");
        self.0.push(Row {
            what,
            value,
            unit,
            bar,
        });
    }

    /// A figure by itself.
    pub fn row(&mut self, what: &str, value: f64, unit: &'static str) {
        self.add(what, value, unit, Bar::None);
    }

    /// A figure that should not be above `bar`.
    pub fn at_most(&mut self, what: &str, value: f64, bar: f64, unit: &'static str) {
        self.add(what, value, unit, Bar::Most(bar));
    }

    /// A figure that should not be below `bar`.
    pub fn at_least(&mut self, what: &str, value: f64, bar: f64, unit: &'static str) {
        self.add(what, value, unit, Bar::Least(bar));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| what | measured | bar | |")?;
        writeln!(out, "|---|---|---|---|")?;
        for Row {
            what,
            value,
            unit,
            bar,
        } in &self.0
        {
            let (limit, met) = match bar {
                Bar::None => (String::new(), None),
                Bar::Most(bar) => (format!("at most {bar:.0} {unit}"), Some(value <= bar)),
                Bar::Least(bar) => (format!("at least {bar:.0} {unit}"), Some(value >= bar)),
            };
            let verdict = met.map_or("", |met| if met { "ok" } else { "MISSED" });
            writeln!(out, "| {what} | {value:.2} {unit} | {limit} | {verdict} |")?;
        }
        Ok(())
    }
}
