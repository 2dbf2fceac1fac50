//! Prometheus text format 0.0.4. Pure, but for reading the registry's atomics.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::family::{Description, Histogram, Page};
use super::names::{ALL, AnyFamily};

/// The content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every family of the table that belongs on `page` and has a series.
pub fn registry(page: Page, out: &mut Text) {
    for family in ALL {
        match family {
            AnyFamily::Counter(counter) if counter.description().page == page => {
                let mut first = true;
                counter.each(|values, sample| {
                    let description = counter.description();
                    out.head_once(&mut first, description, "counter");
                    let number = sample.load(Ordering::Relaxed);
                    out.line(description.name, &labels(description, values), &number);
                });
            }
            AnyFamily::Gauge(gauge) if gauge.description().page == page => {
                let mut first = true;
                gauge.each(|values, sample| {
                    let description = gauge.description();
                    out.head_once(&mut first, description, "gauge");
                    let number = f64::from_bits(sample.load(Ordering::Relaxed));
                    out.line(description.name, &labels(description, values), &number);
                });
            }
            AnyFamily::Histogram(family) if family.description().page == page => {
                histogram(family, out);
            }
            _ => {}
        }
    }
}

fn histogram(family: &Histogram, out: &mut Text) {
    let description = family.description();
    let bounds: Vec<String> = family.buckets().iter().map(f64::to_string).collect();
    let mut first = true;
    family.each(|values, sample| {
        out.head_once(&mut first, description, "histogram");
        let of_series = labels(description, values);
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        let mut count = 0;
        for (bound, cumulated) in bounds.zip(sample.cumulated()) {
            let mut with_bound = of_series.clone();
            with_bound.push(("le", bound));
            out.line_of(description.name, "_bucket", &with_bound, &cumulated, None);
            count = cumulated;
        }
        out.line_of(description.name, "_sum", &of_series, &sample.sum(), None);
        out.line_of(description.name, "_count", &of_series, &count, None);
    });
}

fn labels<'a>(description: &Description, values: &'a [Box<str>]) -> Vec<(&'static str, &'a str)> {
    let values = values.iter().map(|value| &**value);
    description.labels.iter().copied().zip(values).collect()
}

/// A page being written.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// The finished page.
    pub fn finish(self) -> String {
        self.0
    }

    /// The two lines that come before the samples of a family.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} ");
        escape(&mut self.0, help, false);
        let _ = writeln!(self.0, "\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn Number) {
        self.line_of(name, "", labels, value, None);
    }

    /// One sample taken at a known time.
    pub fn line_at(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: &dyn Number,
        at: Timestamp,
    ) {
        self.line_of(name, "", labels, value, Some(at));
    }

    fn head_once(&mut self, first: &mut bool, description: &Description, kind: &str) {
        if std::mem::take(first) {
            self.head(description.name, kind, description.help);
        }
    }

    fn line_of(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: &dyn Number,
        at: Option<Timestamp>,
    ) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(&mut self.0, text, true);
            self.0.push('"');
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        value.write(&mut self.0);
        if let Some(at) = at {
            let _ = write!(self.0, " {}", at.as_millisecond());
        }
        self.0.push('\n');
    }
}

/// A sample's value.
pub trait Number {
    /// Appends it in the format's notation.
    fn write(&self, out: &mut String);
}

impl Number for u64 {
    fn write(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl Number for f64 {
    fn write(&self, out: &mut String) {
        let _ = match *self {
            f64::INFINITY => write!(out, "+Inf"),
            f64::NEG_INFINITY => write!(out, "-Inf"),
            number if number.is_nan() => write!(out, "NaN"),
            number => write!(out, "{number}"),
        };
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn samples_and_escapes() {
        let mut text = Text::default();
        text.head("x_total", "counter", "a \\ b\nc \"d\"");
        text.line("x_total", &[("a", "q\"\\\n"), ("b", "")], &3u64);
        text.line("x_total", &[], &0.25);
        text.line("x_total", &[], &f64::INFINITY);
        let at = Timestamp::from_millisecond(1500).unwrap();
        text.line_at("x_total", &[], &1u64, at);
        assert_eq!(
            text.finish(),
            "# HELP x_total a \\\\ b\\nc \"d\"\n# TYPE x_total counter\n\
             x_total{a=\"q\\\"\\\\\\n\",b=\"\"} 3\nx_total 0.25\nx_total +Inf\nx_total 1 1500\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulated_and_only_on_its_page() {
        let labels = ["Startup", "c", "render-test", "n"];
        names::PROBER_PROBE_DURATION_SECONDS.observe(&labels, 0.02);
        names::PROBER_PROBE_DURATION_SECONDS.observe(&labels, 60.0);
        let mut text = Text::default();
        registry(Page::Probes, &mut text);
        let page = text.finish();
        let series = r#"probe_type="Startup",container="c",pod="render-test",namespace="n""#;
        for line in [
            format!("prober_probe_duration_seconds_bucket{{{series},le=\"0.01\"}} 0"),
            format!("prober_probe_duration_seconds_bucket{{{series},le=\"0.025\"}} 1"),
            format!("prober_probe_duration_seconds_bucket{{{series},le=\"+Inf\"}} 2"),
            format!("prober_probe_duration_seconds_sum{{{series}}} 60.02"),
            format!("prober_probe_duration_seconds_count{{{series}}} 2"),
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        let mut other = Text::default();
        registry(Page::Kubelet, &mut other);
        assert!(!other.finish().contains("prober_"));
    }
}
