//! How many requests there were and how long they took, under upstream's names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::route::{RequestInfo, Verb};

const TOTAL: &str = "apiserver_request_total";
const TOOK: &str = "apiserver_request_duration_seconds";
const GOING: &str = "apiserver_current_inflight_requests";
const BOUNDS: [f64; 10] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 2.0, 6.0, 30.0];

/// What requests are told apart by, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels<'a> {
    verb: &'static str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    scope: &'static str,
}

#[derive(Debug, Default)]
struct Series {
    codes: BTreeMap<u16, u64>,
    counts: [u64; BOUNDS.len()],
    all: u64,
    sum: f64,
}

/// One series: what its requests have in common, and what was counted.
#[derive(Debug)]
struct Row {
    verb: &'static str,
    place: [Box<str>; 4],
    scope: &'static str,
    series: Series,
}

/// All series that have been seen, and where each is in the order of their labels.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    order: Vec<usize>,
}

/// Which series a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesOf(usize);

/// All series that have been seen.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics {
    rows: Mutex<Rows>,
    reading: AtomicI64,
    changing: AtomicI64,
}

/// A request that is being handled; it is counted until this is dropped.
pub(crate) struct Going<'a>(&'a AtomicI64);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What upstream's metrics call a verb: the method, but for what reads or removes many.
fn reported(verb: Verb, subresource: &str) -> &'static str {
    if matches!(subresource, "exec" | "attach" | "portforward" | "proxy") {
        return "CONNECT";
    }
    match verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
    }
}

impl<'a> Labels<'a> {
    /// The labels of a request. Paths and resources that are not served share a series, so that
    /// callers cannot make more of them; only `known` ones are named.
    fn of(info: &'a RequestInfo, known: bool) -> Self {
        match info {
            RequestInfo::Resource(request) if known => Self {
                verb: reported(request.verb, &request.subresource),
                group: &request.group,
                version: &request.version,
                resource: &request.resource,
                subresource: &request.subresource,
                scope: match (request.name.is_empty(), request.namespace.is_empty()) {
                    (false, _) => "resource",
                    (true, false) => "namespace",
                    (true, true) => "cluster",
                },
            },
            _ => Self {
                verb: "OTHER",
                group: "",
                version: "",
                resource: "",
                subresource: "",
                scope: "",
            },
        }
    }

    fn to_row(self) -> Row {
        let place = [self.group, self.version, self.resource, self.subresource];
        Row {
            verb: self.verb,
            place: place.map(Into::into),
            scope: self.scope,
            series: Series::default(),
        }
    }

    fn write(&self) -> String {
        format!(
            "verb=\"{}\",group=\"{}\",version=\"{}\",resource=\"{}\",subresource=\"{}\",scope=\"{}\",component=\"apiserver\"",
            self.verb, self.group, self.version, self.resource, self.subresource, self.scope
        )
    }
}

impl Row {
    fn labels(&self) -> Labels<'_> {
        let [group, version, resource, subresource] = &self.place;
        Labels {
            verb: self.verb,
            group,
            version,
            resource,
            subresource,
            scope: self.scope,
        }
    }
}

impl Rows {
    /// The series of these labels, which nothing is made for once it is there.
    fn find(&mut self, labels: Labels<'_>) -> usize {
        let rows = &self.rows;
        let at = self
            .order
            .binary_search_by(|at| rows[*at].labels().cmp(&labels));
        at.map(|at| self.order[at]).unwrap_or_else(|place| {
            self.rows.push(labels.to_row());
            self.order.insert(place, self.rows.len() - 1);
            self.rows.len() - 1
        })
    }

    fn sorted(&self) -> impl Iterator<Item = (String, &Series)> {
        let rows = self.order.iter().map(|at| &self.rows[*at]);
        rows.map(|row| (row.labels().write(), &row.series))
    }
}

impl RequestMetrics {
    /// A request begins.
    pub(crate) fn begin(&self, reads: bool) -> Going<'_> {
        let going = if reads { &self.reading } else { &self.changing };
        going.fetch_add(1, Ordering::Relaxed);
        Going(going)
    }

    /// The series of a request. Paths and resources that are not served share one.
    pub(crate) fn series(&self, info: &RequestInfo, known: bool) -> SeriesOf {
        SeriesOf(self.rows.lock().find(Labels::of(info, known)))
    }

    /// A request was answered; the time of those that are long by nature says nothing.
    pub(crate) fn done(&self, SeriesOf(at): SeriesOf, code: u16, took: Option<Duration>) {
        let mut all = self.rows.lock();
        let Some(Row { series, .. }) = all.rows.get_mut(at) else {
            return;
        };
        *series.codes.entry(code).or_default() += 1;
        let Some(took) = took.map(|took| took.as_secs_f64()) else {
            return;
        };
        for (count, bound) in series.counts.iter_mut().zip(BOUNDS) {
            *count += u64::from(took <= bound);
        }
        series.all += 1;
        series.sum += took;
    }

    /// The page.
    pub(crate) fn render(&self, out: &mut String) {
        let all = self.rows.lock();
        let _ = writeln!(out, "# TYPE {TOTAL} counter");
        for (labels, series) in all.sorted() {
            for (code, count) in &series.codes {
                let _ = writeln!(out, "{TOTAL}{{{labels},code=\"{code}\"}} {count}");
            }
        }
        let _ = writeln!(out, "# TYPE {TOOK} histogram");
        for (labels, series) in all.sorted() {
            for (count, bound) in series.counts.iter().zip(BOUNDS) {
                let _ = writeln!(out, "{TOOK}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "{TOOK}_bucket{{{labels},le=\"+Inf\"}} {}", series.all);
            let _ = writeln!(out, "{TOOK}_sum{{{labels}}} {}", series.sum);
            let _ = writeln!(out, "{TOOK}_count{{{labels}}} {}", series.all);
        }
        let _ = writeln!(out, "# TYPE {GOING} gauge");
        let kinds = [("readOnly", &self.reading), ("mutating", &self.changing)];
        for (kind, count) in kinds {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(out, "{GOING}{{request_kind=\"{kind}\"}} {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{self, Query};

    #[test]
    fn requests_are_counted_by_what_they_ask_for() {
        let metrics = RequestMetrics::default();
        let info = route::resolve("GET", "/api/v1/namespaces/a/pods/b", &Query::default());
        let going = metrics.begin(true);
        let (known, unknown) = (metrics.series(&info, true), metrics.series(&info, false));
        assert_eq!(known, metrics.series(&info, true));
        metrics.done(known, 200, Some(Duration::from_millis(30)));
        metrics.done(unknown, 404, None);
        let mut page = String::new();
        metrics.render(&mut page);
        drop(going);
        let labels = "verb=\"GET\",group=\"\",version=\"v1\",resource=\"pods\",subresource=\"\",scope=\"resource\",component=\"apiserver\"";
        for line in [
            format!("{TOTAL}{{{labels},code=\"200\"}} 1"),
            format!("{TOOK}_bucket{{{labels},le=\"0.025\"}} 0"),
            format!("{TOOK}_bucket{{{labels},le=\"0.05\"}} 1"),
            format!("{GOING}{{request_kind=\"readOnly\"}} 1"),
        ] {
            assert!(page.contains(&line), "{line} in {page}");
        }
        assert!(page.contains("verb=\"OTHER\""));
    }
}
