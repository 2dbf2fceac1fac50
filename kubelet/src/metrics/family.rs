//! The three kinds of metric family. Series are kept sorted by their label values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

/// The page that shows a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/metrics`.
    Kubelet,
    /// `/metrics/probes`.
    Probes,
}

/// What a family is called and means.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// The full name, unit and all.
    pub name: &'static str,
    /// One sentence for the reader of the page.
    pub help: &'static str,
    /// The label names, in the order of the values given when recording.
    pub labels: &'static [&'static str],
    /// The page that shows it.
    pub page: Page,
}

/// A family whose samples only grow.
pub struct Counter(Family<AtomicU64>);

/// A family whose samples are set.
pub struct Gauge(Family<AtomicU64>);

/// A family of distributions over fixed buckets.
pub struct Histogram {
    family: Family<Distribution>,
    buckets: &'static [f64],
}

/// Counts by bucket, their sum and number. The buckets are not cumulated here.
#[derive(Debug)]
pub struct Distribution {
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// Label values of one series and its sample.
type Series<T> = (Box<[Box<str>]>, Arc<T>);

struct Family<T> {
    description: Description,
    series: RwLock<Vec<Series<T>>>,
}

impl<T> Family<T> {
    const fn new(description: Description) -> Self {
        Self {
            description,
            series: RwLock::new(Vec::new()),
        }
    }

    fn with(&self, values: &[&str], fresh: impl FnOnce() -> T) -> Arc<T> {
        debug_assert_eq!(values.len(), self.description.labels.len());
        if let Ok(found) = position(&self.series.read(), values) {
            return found;
        }
        let mut series = self.series.write();
        match position(&series, values) {
            Ok(found) => found,
            Err(place) => {
                let values = values.iter().map(|value| Box::from(*value)).collect();
                let sample = Arc::new(fresh());
                series.insert(place, (values, Arc::clone(&sample)));
                sample
            }
        }
    }

    fn forget(&self, object: &[(&str, &str)]) {
        let labels = self.description.labels;
        let is_one = |values: &[Box<str>], (label, value): &(&str, &str)| {
            let index = labels.iter().position(|name| name == label);
            index.is_some_and(|index| &*values[index] == *value)
        };
        let mut series = self.series.write();
        series.retain(|(values, _)| !object.iter().all(|one| is_one(values, one)));
    }

    fn each(&self, mut visit: impl FnMut(&[Box<str>], &T)) {
        for (values, sample) in self.series.read().iter() {
            visit(values, sample);
        }
    }
}

fn position<T>(series: &[Series<T>], values: &[&str]) -> Result<Arc<T>, usize> {
    series
        .binary_search_by(|(known, _)| known.iter().map(|v| &**v).cmp(values.iter().copied()))
        .map(|index| Arc::clone(&series[index].1))
}

macro_rules! shared {
    ($kind:ident, $sample:ty, $($family:tt)+) => {
        impl $kind {
            /// What the family is called and means.
            pub fn description(&self) -> &Description {
                &self.$($family)+.description
            }

            /// Drops every series that has all of these values, by label; for objects that are
            /// gone.
            pub fn forget(&self, object: &[(&str, &str)]) {
                self.$($family)+.forget(object);
            }

            /// Visits every series with its label values.
            pub fn each(&self, visit: impl FnMut(&[Box<str>], &$sample)) {
                self.$($family)+.each(visit);
            }
        }
    };
}

shared!(Counter, AtomicU64, 0);
shared!(Gauge, AtomicU64, 0);
shared!(Histogram, Distribution, family);

impl Counter {
    /// An empty family.
    pub const fn new(description: Description) -> Self {
        Self(Family::new(description))
    }

    /// Counts one for these label values.
    pub fn inc(&self, values: &[&str]) {
        self.add(values, 1);
    }

    /// Counts several for these label values.
    pub fn add(&self, values: &[&str], amount: u64) {
        let sample = self.0.with(values, AtomicU64::default);
        sample.fetch_add(amount, Ordering::Relaxed);
    }

    /// The count for these label values.
    pub fn value(&self, values: &[&str]) -> u64 {
        let sample = self.0.with(values, AtomicU64::default);
        sample.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// An empty family.
    pub const fn new(description: Description) -> Self {
        Self(Family::new(description))
    }

    /// Sets the sample for these label values.
    pub fn set(&self, values: &[&str], sample: f64) {
        let cell = self.0.with(values, || AtomicU64::new(0f64.to_bits()));
        cell.store(sample.to_bits(), Ordering::Relaxed);
    }

    /// Moves the sample for these label values up or down.
    pub fn add(&self, values: &[&str], difference: f64) {
        let cell = self.0.with(values, || AtomicU64::new(0f64.to_bits()));
        add_float(&cell, difference);
    }

    /// Replaces all series, so that what is gone is shown no more.
    pub fn replace<'a>(&self, samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
        self.0.series.write().clear();
        for (values, sample) in samples {
            self.set(&values, sample);
        }
    }
}

impl Histogram {
    /// An empty family over ascending upper bounds.
    pub const fn new(description: Description, buckets: &'static [f64]) -> Self {
        Self {
            family: Family::new(description),
            buckets,
        }
    }

    /// Adds one value.
    pub fn observe(&self, values: &[&str], value: f64) {
        let sample = self.family.with(values, || Distribution::new(self.buckets));
        let bucket = self.buckets.partition_point(|bound| *bound < value);
        sample.counts[bucket].fetch_add(1, Ordering::Relaxed);
        add_float(&sample.sum, value);
    }

    /// Adds one duration, in seconds.
    pub fn observe_duration(&self, values: &[&str], duration: Duration) {
        self.observe(values, duration.as_secs_f64());
    }

    /// The upper bounds, ascending, without infinity.
    pub fn buckets(&self) -> &'static [f64] {
        self.buckets
    }
}

impl Distribution {
    fn new(buckets: &[f64]) -> Self {
        Self {
            counts: (0..=buckets.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::new(0f64.to_bits()),
        }
    }

    /// The number of values at or below each bound, infinity last.
    pub fn cumulated(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().scan(0, |total, count| {
            *total += count.load(Ordering::Relaxed);
            Some(*total)
        })
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

fn add_float(cell: &AtomicU64, difference: f64) {
    let mut seen = cell.load(Ordering::Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + difference).to_bits();
        match cell.compare_exchange_weak(seen, sum, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(newer) => seen = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTION: Description = Description {
        name: "x",
        help: "x",
        labels: &["a", "b"],
        page: Page::Kubelet,
    };

    #[test]
    fn series_stay_sorted_and_can_be_forgotten() {
        let counter = Counter::new(DESCRIPTION);
        for values in [["z", "1"], ["a", "2"], ["a", "1"], ["z", "1"]] {
            counter.inc(&values);
        }
        let mut seen = Vec::new();
        counter.each(|values, n| seen.push((values.join("/"), n.load(Ordering::Relaxed))));
        assert_eq!(
            seen,
            [("a/1".into(), 1), ("a/2".into(), 1), ("z/1".into(), 2)]
        );
        counter.forget(&[("a", "a")]);
        counter.forget(&[("nothing", "z")]);
        assert_eq!(counter.value(&["z", "1"]), 2);
        assert_eq!(counter.value(&["a", "1"]), 0);
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_that_bucket() {
        let histogram = Histogram::new(DESCRIPTION, &[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 9.0] {
            histogram.observe(&["x", "y"], value);
        }
        histogram.each(|_, sample| {
            assert_eq!(sample.cumulated().collect::<Vec<_>>(), [2, 3, 4]);
            assert!((sample.sum() - 12.0).abs() < 1e-9);
        });
    }

    #[test]
    fn replace_drops_what_is_gone() {
        let gauge = Gauge::new(DESCRIPTION);
        gauge.set(&["a", "b"], 1.0);
        gauge.add(&["a", "b"], 2.5);
        gauge.replace([(vec!["c", "d"], 4.0)]);
        let mut seen = Vec::new();
        gauge.each(|values, bits| {
            seen.push((
                values.join("/"),
                f64::from_bits(bits.load(Ordering::Relaxed)),
            ));
        });
        assert_eq!(seen, [("c/d".to_owned(), 4.0)]);
    }
}
