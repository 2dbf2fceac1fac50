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

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Default)]
struct Series {
    codes: BTreeMap<u16, u64>,
    counts: [u64; BOUNDS.len()],
    all: u64,
    sum: f64,
}

/// All series that have been seen.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics {
    series: Mutex<BTreeMap<Labels, Series>>,
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

impl Labels {
    /// The labels of a request. Paths and resources that are not served share a series, so that
    /// callers cannot make more of them; only `known` ones are named.
    pub(crate) fn of(info: &RequestInfo, known: bool) -> Self {
        match info {
            RequestInfo::Resource(request) if known => Self {
                verb: reported(request.verb, &request.subresource),
                group: request.group.clone(),
                version: request.version.clone(),
                resource: request.resource.clone(),
                subresource: request.subresource.clone(),
                scope: match (request.name.is_empty(), request.namespace.is_empty()) {
                    (false, _) => "resource",
                    (true, false) => "namespace",
                    (true, true) => "cluster",
                },
            },
            _ => Self {
                verb: "OTHER",
                group: String::new(),
                version: String::new(),
                resource: String::new(),
                subresource: String::new(),
                scope: "",
            },
        }
    }

    fn write(&self) -> String {
        format!(
            "verb=\"{}\",group=\"{}\",version=\"{}\",resource=\"{}\",subresource=\"{}\",scope=\"{}\",component=\"apiserver\"",
            self.verb, self.group, self.version, self.resource, self.subresource, self.scope
        )
    }
}

impl RequestMetrics {
    /// A request begins.
    pub(crate) fn begin(&self, reads: bool) -> Going<'_> {
        let going = if reads { &self.reading } else { &self.changing };
        going.fetch_add(1, Ordering::Relaxed);
        Going(going)
    }

    /// A request was answered; the time of those that are long by nature says nothing.
    pub(crate) fn done(&self, labels: Labels, code: u16, took: Option<Duration>) {
        let mut all = self.series.lock();
        let series = all.entry(labels).or_default();
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
        let all = self.series.lock();
        let _ = writeln!(out, "# TYPE {TOTAL} counter");
        for (labels, series) in &*all {
            for (code, count) in &series.codes {
                let _ = writeln!(out, "{TOTAL}{{{},code=\"{code}\"}} {count}", labels.write());
            }
        }
        let _ = writeln!(out, "# TYPE {TOOK} histogram");
        for (labels, series) in &*all {
            let labels = labels.write();
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
        metrics.done(
            Labels::of(&info, true),
            200,
            Some(Duration::from_millis(30)),
        );
        metrics.done(Labels::of(&info, false), 404, None);
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
