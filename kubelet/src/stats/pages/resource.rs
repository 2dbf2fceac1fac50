//! `/metrics/resource`: CPU and memory of node, pods and containers.

use super::{COUNTER, GAUGE, Page, seconds, unix_seconds};
use crate::metrics::render::Text;
use crate::stats::summary::Summary;

/// `/metrics/resource`.
pub fn resource(summary: &Summary) -> Text {
    let mut out = Text::default();
    let node = &summary.node;
    let cpu = node
        .cpu
        .as_ref()
        .and_then(|cpu| cpu.usage_core_nano_seconds);
    let at = node.cpu.as_ref().map(|cpu| cpu.time.0);
    let mut page = Page(&mut out);
    page.one(
        "node_cpu_usage_seconds_total",
        COUNTER,
        "Cumulative cpu time consumed by the node in core-seconds",
        cpu.map(seconds),
        at,
    );
    let memory = node
        .memory
        .as_ref()
        .and_then(|memory| memory.working_set_bytes);
    page.one(
        "node_memory_working_set_bytes",
        GAUGE,
        "Current working set of the node in bytes",
        memory,
        at,
    );
    let swap = node.swap.as_ref().and_then(|swap| swap.swap_usage_bytes);
    page.one(
        "node_swap_usage_bytes",
        GAUGE,
        "Current swap usage of the node in bytes",
        swap,
        at,
    );
    container_rows(&mut page, summary);
    pod_rows(&mut page, summary);
    page.one(
        "resource_scrape_error",
        GAUGE,
        "1 if there was an error while getting container metrics, 0 otherwise",
        Some(0u64),
        None,
    );
    out
}

fn container_rows(page: &mut Page<'_>, summary: &Summary) {
    let containers = || {
        let pods = summary.pods.iter();
        pods.flat_map(|pod| pod.containers.iter().map(move |one| (&pod.pod_ref, one)))
    };
    page.rows(
        "container_start_time_seconds",
        GAUGE,
        "Start time of the container since unix epoch in seconds",
        containers().map(|(pod, one)| {
            let started = one.start_time.as_ref().map(|time| unix_seconds(time.0));
            (
                vec![
                    ("container", &*one.name),
                    ("pod", &*pod.name),
                    ("namespace", &*pod.namespace),
                ],
                started,
                None,
            )
        }),
    );
    page.rows(
        "container_cpu_usage_seconds_total",
        COUNTER,
        "Cumulative cpu time consumed by the container in core-seconds",
        containers().map(|(pod, one)| {
            let cpu = one.cpu.as_ref();
            let used = cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map(seconds);
            (
                vec![
                    ("container", &*one.name),
                    ("pod", &*pod.name),
                    ("namespace", &*pod.namespace),
                ],
                used,
                cpu.map(|cpu| cpu.time.0),
            )
        }),
    );
    page.rows(
        "container_memory_working_set_bytes",
        GAUGE,
        "Current working set of the container in bytes",
        containers().map(|(pod, one)| {
            let memory = one.memory.as_ref();
            let used = memory.and_then(|memory| memory.working_set_bytes);
            (
                vec![
                    ("container", &*one.name),
                    ("pod", &*pod.name),
                    ("namespace", &*pod.namespace),
                ],
                used,
                memory.map(|memory| memory.time.0),
            )
        }),
    );
    page.rows(
        "container_swap_usage_bytes",
        GAUGE,
        "Current amount of the container swap usage in bytes",
        containers().map(|(pod, one)| {
            let swap = one.swap.as_ref();
            let used = swap.and_then(|swap| swap.swap_usage_bytes);
            (
                vec![
                    ("container", &*one.name),
                    ("pod", &*pod.name),
                    ("namespace", &*pod.namespace),
                ],
                used,
                swap.map(|swap| swap.time.0),
            )
        }),
    );
}

fn pod_rows(page: &mut Page<'_>, summary: &Summary) {
    let pods = || summary.pods.iter();
    page.rows(
        "pod_cpu_usage_seconds_total",
        COUNTER,
        "Cumulative cpu time consumed by the pod in core-seconds",
        pods().map(|pod| {
            let cpu = pod.cpu.as_ref();
            let used = cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map(seconds);
            (
                vec![
                    ("pod", &*pod.pod_ref.name),
                    ("namespace", &*pod.pod_ref.namespace),
                ],
                used,
                cpu.map(|cpu| cpu.time.0),
            )
        }),
    );
    page.rows(
        "pod_memory_working_set_bytes",
        GAUGE,
        "Current working set of the pod in bytes",
        pods().map(|pod| {
            let memory = pod.memory.as_ref();
            let used = memory.and_then(|memory| memory.working_set_bytes);
            (
                vec![
                    ("pod", &*pod.pod_ref.name),
                    ("namespace", &*pod.pod_ref.namespace),
                ],
                used,
                memory.map(|memory| memory.time.0),
            )
        }),
    );
    page.rows(
        "pod_swap_usage_bytes",
        GAUGE,
        "Current amount of the pod swap usage in bytes",
        pods().map(|pod| {
            let swap = pod.swap.as_ref();
            let used = swap.and_then(|swap| swap.swap_usage_bytes);
            (
                vec![
                    ("pod", &*pod.pod_ref.name),
                    ("namespace", &*pod.pod_ref.namespace),
                ],
                used,
                swap.map(|swap| swap.time.0),
            )
        }),
    );
}
