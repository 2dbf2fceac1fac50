//! What the DNS server counts, by CoreDNS's names, as text for Prometheus. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::wire::{Code, kind};

/// Upper bounds: a quarter of a millisecond, doubled fifteen times.
const BUCKETS: usize = 16;
const FIRST: f64 = 0.000_25;
const SERVER: &str = "server=\"dns://:53\",zone=\".\",view=\"\"";

/// Times in buckets.
#[derive(Debug, Default, Clone)]
struct Times {
    buckets: [u64; BUCKETS],
    sum: f64,
    count: u64,
}

impl Times {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.sum += seconds;
        self.count += 1;
        let bounds = std::iter::successors(Some(FIRST), |bound| Some(bound * 2.0));
        let place = bounds.take(BUCKETS).position(|bound| seconds <= bound);
        if let Some(place) = place {
            self.buckets[place] += 1;
        }
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let _ = writeln!(out, "# TYPE {name} histogram");
        let (mut bound, mut below) = (FIRST, 0);
        for count in self.buckets {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
            bound *= 2.0;
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum{{{labels}}} {}", self.sum);
        let _ = writeln!(out, "{name}_count{{{labels}}} {}", self.count);
    }
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entrance {
    /// By TCP, or by UDP.
    pub tcp: bool,
    /// From an IPv6 address.
    pub v6: bool,
}

/// All of it.
#[derive(Debug, Default, Clone)]
pub struct Metrics {
    requests: BTreeMap<(Entrance, &'static str), u64>,
    responses: BTreeMap<Code, u64>,
    times: Times,
    /// Answers out of the cache: that something is there, that nothing is.
    pub hits: [u64; 2],
    /// Questions that others had to be asked.
    pub misses: u64,
    /// Old answers, because nobody gave a new one.
    pub served_stale: u64,
    /// Questions turned away because too many waited for others.
    pub rejected: u64,
    /// What others took to answer.
    forwarded: Times,
    /// Of these, how many did not.
    pub failures: u64,
}

impl Metrics {
    /// A question and its answer.
    pub fn answered(&mut self, entrance: Entrance, kind: u16, code: Code, time: Duration) {
        *self.requests.entry((entrance, name(kind))).or_default() += 1;
        *self.responses.entry(code).or_default() += 1;
        self.times.observe(time);
    }

    /// A question to others.
    pub fn forwarded(&mut self, time: Duration, answered: bool) {
        self.forwarded.observe(time);
        self.failures += u64::from(!answered);
    }

    /// The text of /metrics; `entries` is how many answers are kept.
    #[must_use]
    pub fn text(&self, entries: usize) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# TYPE coredns_dns_requests_total counter");
        for ((entrance, kind), count) in &self.requests {
            let proto = if entrance.tcp { "tcp" } else { "udp" };
            let family = if entrance.v6 { "2" } else { "1" };
            let _ = writeln!(
                out,
                "coredns_dns_requests_total{{{SERVER},family=\"{family}\",proto=\"{proto}\",type=\"{kind}\"}} {count}"
            );
        }
        let _ = writeln!(out, "# TYPE coredns_dns_responses_total counter");
        for (code, count) in &self.responses {
            let code = rcode(*code);
            let _ = writeln!(
                out,
                "coredns_dns_responses_total{{{SERVER},rcode=\"{code}\",plugin=\"\"}} {count}"
            );
        }
        self.times
            .write("coredns_dns_request_duration_seconds", SERVER, &mut out);
        let proxy = "proxy_name=\"forward\"";
        self.forwarded
            .write("coredns_proxy_request_duration_seconds", proxy, &mut out);
        let (success, denial) = ("type=\"success\",", "type=\"denial\",");
        let mut count = |name: &str, kind: &str, labels: &str, value: u64| {
            let _ = writeln!(
                out,
                "# TYPE {name} {kind}\n{name}{{{labels}{SERVER}}} {value}"
            );
        };
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        count("coredns_cache_entries", "gauge", "", entries);
        count("coredns_cache_misses_total", "counter", "", self.misses);
        count(
            "coredns_cache_served_stale_total",
            "counter",
            "",
            self.served_stale,
        );
        count(
            "coredns_forward_max_concurrent_rejects_total",
            "counter",
            "",
            self.rejected,
        );
        count(
            "coredns_proxy_healthcheck_failures_total",
            "counter",
            "",
            self.failures,
        );
        count("coredns_cache_hits_total", "counter", success, self.hits[0]);
        let hits = self.hits[1];
        let _ = writeln!(out, "coredns_cache_hits_total{{{denial}{SERVER}}} {hits}");
        out
    }
}

fn name(number: u16) -> &'static str {
    match number {
        kind::A => "A",
        kind::AAAA => "AAAA",
        kind::CNAME => "CNAME",
        kind::NS => "NS",
        kind::PTR => "PTR",
        kind::SOA => "SOA",
        kind::SRV => "SRV",
        kind::TXT => "TXT",
        _ => "other",
    }
}

fn rcode(code: Code) -> &'static str {
    match code {
        Code::NoError => "NOERROR",
        Code::FormErr => "FORMERR",
        Code::ServFail => "SERVFAIL",
        Code::NxDomain => "NXDOMAIN",
        Code::NotImp => "NOTIMP",
        Code::Refused => "REFUSED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_corednss_names() {
        let mut metrics = Metrics::default();
        let entrance = Entrance {
            tcp: false,
            v6: false,
        };
        metrics.answered(
            entrance,
            kind::A,
            Code::NxDomain,
            Duration::from_micros(300),
        );
        let text = metrics.text(3);
        for line in [
            "coredns_dns_requests_total{server=\"dns://:53\",zone=\".\",view=\"\",family=\"1\",proto=\"udp\",type=\"A\"} 1",
            "coredns_dns_responses_total{server=\"dns://:53\",zone=\".\",view=\"\",rcode=\"NXDOMAIN\",plugin=\"\"} 1",
            "coredns_dns_request_duration_seconds_bucket{server=\"dns://:53\",zone=\".\",view=\"\",le=\"0.0005\"} 1",
            "coredns_cache_entries{server=\"dns://:53\",zone=\".\",view=\"\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
