//! `/metrics/resource` and `/metrics/cadvisor` from what was read. Pure.

use jiff::Timestamp;

use crate::metrics::render::{Number, Text};

mod cadvisor;
mod resource;

pub use cadvisor::cadvisor;
pub use resource::resource;

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A page that leaves out families without a sample.
struct Page<'a>(&'a mut Text);

type Row<'a, N> = (Vec<(&'a str, &'a str)>, Option<N>, Option<Timestamp>);

impl Page<'_> {
    fn one<N: Number>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        value: Option<N>,
        at: Option<Timestamp>,
    ) {
        self.rows(name, kind, help, [(Vec::new(), value, at)]);
    }

    fn rows<'a, N: Number>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        rows: impl IntoIterator<Item = Row<'a, N>>,
    ) {
        let mut first = true;
        for (labels, value, at) in rows {
            let Some(value) = value else {
                continue;
            };
            if std::mem::take(&mut first) {
                self.0.head(name, kind, help);
            }
            match at {
                Some(at) => self.0.line_at(name, &labels, &value, at),
                None => self.0.line(name, &labels, &value),
            }
        }
    }
}

fn seconds(nanos: u64) -> f64 {
    float(nanos) / 1e9
}

fn unix_seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "the text format carries floats")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::assemble::{assemble, tests::reading};
    use super::super::input::LastCpu;
    use super::*;

    fn has(page: &str, line: &str) {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }

    #[test]
    fn resource_page() {
        let page = resource(&assemble(&reading(), &LastCpu::default())).finish();
        for line in [
            "# TYPE node_cpu_usage_seconds_total counter",
            "node_cpu_usage_seconds_total 9 100000",
            "node_memory_working_set_bytes 500 100000",
            "container_cpu_usage_seconds_total{container=\"app\",pod=\"web\",namespace=\"default\"} 3 100000",
            "container_memory_working_set_bytes{container=\"app\",pod=\"web\",namespace=\"default\"} 100 100000",
            "container_start_time_seconds{container=\"app\",pod=\"web\",namespace=\"default\"} 51",
            "pod_memory_working_set_bytes{pod=\"web\",namespace=\"default\"} 150 100000",
            "pod_swap_usage_bytes{pod=\"web\",namespace=\"default\"} 5 100000",
            "resource_scrape_error 0",
        ] {
            has(&page, line);
        }
    }

    #[test]
    fn cadvisor_page() {
        let page = cadvisor(&reading(), 2).finish();
        let container = r#"container="app",id="c1",image="example/app:1",name="c1",namespace="default",pod="web""#;
        let pod = r#"container="",id="u1",image="",name="",namespace="default",pod="web""#;
        for line in [
            format!("container_cpu_usage_seconds_total{{{container}}} 3 100000"),
            format!("container_cpu_usage_seconds_total{{{pod}}} 4 100000"),
            format!("container_memory_rss{{{container}}} 70 100000"),
            format!("container_fs_usage_bytes{{{container}}} 30 100000"),
            format!(
                "container_memory_failures_total{{{container},failure_type=\"pgfault\",scope=\"container\"}} 3 100000"
            ),
            format!("container_network_receive_bytes_total{{{pod},interface=\"eth0\"}} 11 100000"),
            format!(
                "container_network_receive_packets_total{{{pod},interface=\"eth0\"}} 21 100000"
            ),
            format!(
                "container_network_transmit_packets_dropped_total{{{pod},interface=\"eth0\"}} 2 100000"
            ),
            "machine_memory_bytes 1000".to_owned(),
            "machine_cpu_cores 2".to_owned(),
        ] {
            has(&page, &line);
        }
        assert!(
            !page.contains("container_pressure_"),
            "no pressure was read"
        );
    }
}
