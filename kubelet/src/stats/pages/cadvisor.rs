//! `/metrics/cadvisor`: everything of pods and containers.

use super::{COUNTER, GAUGE, Page, float, seconds, unix_seconds};
use crate::cgroup::Usage;
use crate::cgroup::stats::{Pressure, Psi};
use crate::metrics::render::Text;
use crate::stats::input::{ContainerReading, Packets, PodReading, Reading};

/// One family of `/metrics/cadvisor`: its name, kind, help and where its value is.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Usage) -> Option<f64>,
);

const CADVISOR: &[Family] = &[
    (
        "container_cpu_usage_seconds_total",
        COUNTER,
        "Cumulative cpu time consumed in seconds.",
        |u| u.cpu_nanos.map(seconds),
    ),
    (
        "container_cpu_cfs_periods_total",
        COUNTER,
        "Number of elapsed enforcement period intervals.",
        |u| u.throttling.map(|t| float(t.periods)),
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        COUNTER,
        "Number of throttled period intervals.",
        |u| u.throttling.map(|t| float(t.throttled_periods)),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        COUNTER,
        "Total time duration the container has been throttled.",
        |u| u.throttling.map(|t| seconds(t.throttled_nanos)),
    ),
    (
        "container_memory_usage_bytes",
        GAUGE,
        "Current memory usage in bytes, including all memory regardless of when it was accessed.",
        |u| u.memory.map(|m| float(m.usage)),
    ),
    (
        "container_memory_working_set_bytes",
        GAUGE,
        "Current working set in bytes.",
        |u| u.memory.map(|m| float(m.working_set)),
    ),
    (
        "container_memory_rss",
        GAUGE,
        "Size of RSS in bytes.",
        |u| u.memory.map(|m| float(m.rss)),
    ),
    (
        "container_memory_swap",
        GAUGE,
        "Container swap usage in bytes.",
        |u| u.swap_bytes.map(float),
    ),
    (
        "container_threads",
        GAUGE,
        "Number of threads running inside the container.",
        |u| u.pids.map(float),
    ),
    (
        "container_fs_reads_bytes_total",
        COUNTER,
        "Cumulative count of bytes read.",
        |u| u.io.map(|io| float(io.read_bytes)),
    ),
    (
        "container_fs_writes_bytes_total",
        COUNTER,
        "Cumulative count of bytes written.",
        |u| u.io.map(|io| float(io.written_bytes)),
    ),
    (
        "container_spec_memory_limit_bytes",
        GAUGE,
        "Memory limit for the container.",
        |u| u.memory.map(|m| float(m.limit.unwrap_or(0))),
    ),
    (
        "container_pressure_cpu_waiting_seconds_total",
        COUNTER,
        "Total time duration tasks in the container have waited due to CPU congestion.",
        |u| some(u, |p| p.cpu),
    ),
    (
        "container_pressure_cpu_stalled_seconds_total",
        COUNTER,
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
        |u| full(u, |p| p.cpu),
    ),
    (
        "container_pressure_memory_waiting_seconds_total",
        COUNTER,
        "Total time duration tasks in the container have waited due to memory congestion.",
        |u| some(u, |p| p.memory),
    ),
    (
        "container_pressure_memory_stalled_seconds_total",
        COUNTER,
        "Total time duration no tasks in the container could make progress due to memory congestion.",
        |u| full(u, |p| p.memory),
    ),
    (
        "container_pressure_io_waiting_seconds_total",
        COUNTER,
        "Total time duration tasks in the container have waited due to IO congestion.",
        |u| some(u, |p| p.io),
    ),
    (
        "container_pressure_io_stalled_seconds_total",
        COUNTER,
        "Total time duration no tasks in the container could make progress due to IO congestion.",
        |u| full(u, |p| p.io),
    ),
];

/// `/metrics/cadvisor`: by container, with the pod itself under an empty container name.
pub fn cadvisor(reading: &Reading, cores: u64) -> Text {
    let mut out = Text::default();
    let mut page = Page(&mut out);
    for (name, kind, help, value) in CADVISOR {
        let rows = reading.pods.iter().flat_map(|pod| {
            let containers = pod.containers.iter();
            let containers = containers
                .map(move |one| (labels(pod, Some(one)), one.usage.as_ref().and_then(value)));
            let whole = (labels(pod, None), pod.usage.as_ref().and_then(value));
            containers
                .chain([whole])
                .map(|(labels, value)| (labels, value, Some(reading.at)))
        });
        page.rows(name, kind, help, rows);
    }
    memory_failures(&mut page, reading);
    container_facts(&mut page, reading);
    network(&mut page, reading);
    packets(&mut page, reading);
    let memory = reading.node.memory.map(|memory| memory.total);
    page.one(
        "machine_memory_bytes",
        GAUGE,
        "Amount of memory installed on the machine.",
        memory,
        None,
    );
    page.one(
        "machine_cpu_cores",
        GAUGE,
        "Number of logical CPU cores.",
        Some(cores),
        None,
    );
    out
}

fn memory_failures(page: &mut Page<'_>, reading: &Reading) {
    let help = "Cumulative count of memory allocation failures.";
    let containers = reading
        .pods
        .iter()
        .flat_map(|pod| pod.containers.iter().map(move |one| (pod, one)));
    let rows = containers.flat_map(|(pod, one)| {
        let memory = one.usage.and_then(|usage| usage.memory);
        let kinds = [
            ("pgfault", memory.map(|memory| memory.page_faults)),
            ("pgmajfault", memory.map(|memory| memory.major_page_faults)),
        ];
        kinds.map(|(kind, count)| {
            let mut labels = labels(pod, Some(one));
            labels.extend([("failure_type", kind), ("scope", "container")]);
            (labels, count, Some(reading.at))
        })
    });
    page.rows("container_memory_failures_total", COUNTER, help, rows);
}

fn container_facts(page: &mut Page<'_>, reading: &Reading) {
    let containers = || {
        reading
            .pods
            .iter()
            .flat_map(|pod| pod.containers.iter().map(move |one| (pod, one)))
    };
    let started = containers().map(|(pod, one)| {
        let value = one.started.map(unix_seconds);
        (labels(pod, Some(one)), value, Some(reading.at))
    });
    page.rows(
        "container_start_time_seconds",
        GAUGE,
        "Start time of the container since unix epoch in seconds.",
        started,
    );
    let used = containers().map(|(pod, one)| {
        let bytes = one.writable.map(|(bytes, _)| bytes);
        (labels(pod, Some(one)), bytes, Some(reading.at))
    });
    page.rows(
        "container_fs_usage_bytes",
        GAUGE,
        "Number of bytes that are consumed by the container on this filesystem.",
        used,
    );
    let seen = containers().map(|(pod, one)| {
        (
            labels(pod, Some(one)),
            Some(unix_seconds(reading.at)),
            Some(reading.at),
        )
    });
    page.rows(
        "container_last_seen",
        GAUGE,
        "Last time a container was seen by the exporter",
        seen,
    );
}

fn network(page: &mut Page<'_>, reading: &Reading) {
    type Pick = fn(&keelson_cri::values::stats::InterfaceUsage) -> Option<u64>;
    let families: [(&str, &str, Pick); 4] = [
        (
            "container_network_receive_bytes_total",
            "Cumulative count of bytes received",
            |i| i.rx_bytes,
        ),
        (
            "container_network_receive_errors_total",
            "Cumulative count of errors encountered while receiving",
            |i| i.rx_errors,
        ),
        (
            "container_network_transmit_bytes_total",
            "Cumulative count of bytes transmitted",
            |i| i.tx_bytes,
        ),
        (
            "container_network_transmit_errors_total",
            "Cumulative count of errors encountered while transmitting",
            |i| i.tx_errors,
        ),
    ];
    for (name, help, pick) in families {
        let rows = reading.pods.iter().flat_map(|pod| {
            pod.interfaces.iter().map(move |interface| {
                let mut labels = labels(pod, None);
                labels.push(("interface", &*interface.name));
                (labels, pick(interface), Some(reading.at))
            })
        });
        page.rows(name, COUNTER, help, rows);
    }
}

fn packets(page: &mut Page<'_>, reading: &Reading) {
    type Pick = fn(&Packets) -> u64;
    let families: [(&str, &str, Pick); 4] = [
        (
            "container_network_receive_packets_total",
            "Cumulative count of packets received",
            |p| p.received,
        ),
        (
            "container_network_receive_packets_dropped_total",
            "Cumulative count of packets dropped while receiving",
            |p| p.receive_dropped,
        ),
        (
            "container_network_transmit_packets_total",
            "Cumulative count of packets transmitted",
            |p| p.sent,
        ),
        (
            "container_network_transmit_packets_dropped_total",
            "Cumulative count of packets dropped while transmitting",
            |p| p.send_dropped,
        ),
    ];
    for (name, help, pick) in families {
        let rows = reading.pods.iter().flat_map(|pod| {
            pod.packets.iter().map(move |(interface, packets)| {
                let mut labels = labels(pod, None);
                labels.push(("interface", interface));
                (labels, Some(pick(packets)), Some(reading.at))
            })
        });
        page.rows(name, COUNTER, help, rows);
    }
}

fn labels<'a>(
    pod: &'a PodReading,
    container: Option<&'a ContainerReading>,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("container", container.map_or("", |one| &one.name)),
        ("id", container.map_or(&pod.uid, |one| &one.id)),
        ("image", container.map_or("", |one| &one.image)),
        ("name", container.map_or("", |one| &one.id)),
        ("namespace", &pod.namespace),
        ("pod", &pod.name),
    ]
}

fn some(usage: &Usage, pick: fn(Pressure) -> Option<Psi>) -> Option<f64> {
    Some(float(pick(usage.pressure?)?.some.total_micros) / 1e6)
}

fn full(usage: &Usage, pick: fn(Pressure) -> Option<Psi>) -> Option<f64> {
    Some(float(pick(usage.pressure?)?.full.total_micros) / 1e6)
}
