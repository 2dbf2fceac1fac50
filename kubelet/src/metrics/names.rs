//! The one table of metric families: name, type, labels, buckets, help. Names, types and labels
//! are upstream's. A family stands here only if the node agent really measures it.

use super::family::{Counter, Description, Gauge, Histogram, Page};

/// Any family, for those who walk the whole table.
#[derive(Clone, Copy)]
pub enum AnyFamily {
    /// A counter.
    Counter(&'static Counter),
    /// A gauge.
    Gauge(&'static Gauge),
    /// A histogram.
    Histogram(&'static Histogram),
}

/// From 5 ms to 10 s, for what should take well under a second.
const QUICK: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// 14 steps of 2.5 from 5 ms, for calls to the runtime.
const RUNTIME: &[f64] = &[
    0.005,
    0.0125,
    0.03125,
    0.078_125,
    0.195_312_5,
    0.488_281_25,
    1.220_703_125,
    3.051_757_812_5,
    7.629_394_531_25,
    19.073_486_328_125,
    47.683_715_820_312_5,
    119.209_289_550_781_25,
    298.023_223_876_953_1,
    745.058_059_692_382_8,
];
/// From half a second to an hour, for the start of pods and the pause between two looks.
const POD_START: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0,
    300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
/// From a second to ten minutes and more, for pulls of images.
const PULL: &[f64] = &[
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 180.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

macro_rules! families {
    ($($kind:ident $page:ident $constant:ident = $name:literal [$($label:literal),*]
       $(buckets $buckets:ident)?, $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $constant: $kind = $kind::new(
                Description {
                    name: $name,
                    help: $help,
                    labels: &[$($label),*],
                    page: Page::$page,
                },
                $($buckets)?
            );
        )*

        /// The whole table.
        pub static ALL: &[AnyFamily] = &[$(AnyFamily::$kind(&$constant)),*];

        #[cfg(test)]
        pub(super) const CONSTANTS: &[&str] = &[$(stringify!($constant)),*];
    };
}

families! {
    Gauge Kubelet NODE_NAME = "kubelet_node_name" ["node"], "The node's name. The count is always 1.";
    Gauge Kubelet RUNNING_PODS = "kubelet_running_pods" [], "Number of pods that have a running pod sandbox.";
    Gauge Kubelet RUNNING_CONTAINERS = "kubelet_running_containers" ["container_state"], "Number of containers by state.";
    Gauge Kubelet DESIRED_PODS = "kubelet_desired_pods" ["static"], "Number of pods the kubelet is told to run.";
    Gauge Kubelet ACTIVE_PODS = "kubelet_active_pods" ["static"], "Number of pods that count when a new pod is admitted.";
    Gauge Kubelet PLEG_LAST_SEEN_SECONDS = "kubelet_pleg_last_seen_seconds" [], "Unix time of the last look at the whole runtime.";
    Gauge Kubelet CGROUP_VERSION = "kubelet_cgroup_version" [], "The cgroup version in use: 1 or 2.";
    Counter Kubelet RUNTIME_OPERATIONS_TOTAL = "kubelet_runtime_operations_total" ["operation_type"], "Cumulative number of runtime operations by type.";
    Counter Kubelet RUNTIME_OPERATIONS_ERRORS_TOTAL = "kubelet_runtime_operations_errors_total" ["operation_type"], "Cumulative number of failed runtime operations by type.";
    Histogram Kubelet RUNTIME_OPERATIONS_DURATION_SECONDS = "kubelet_runtime_operations_duration_seconds" ["operation_type"] buckets RUNTIME, "Duration in seconds of runtime operations by type.";
    Histogram Kubelet RUN_PODSANDBOX_DURATION_SECONDS = "kubelet_run_podsandbox_duration_seconds" ["runtime_handler"] buckets QUICK, "Duration in seconds of starting a sandbox, by runtime handler.";
    Counter Kubelet RUN_PODSANDBOX_ERRORS_TOTAL = "kubelet_run_podsandbox_errors_total" ["runtime_handler"], "Cumulative number of sandboxes that failed to start, by runtime handler.";
    Counter Kubelet STARTED_PODS_TOTAL = "kubelet_started_pods_total" [], "Cumulative number of pods started.";
    Counter Kubelet STARTED_PODS_ERRORS_TOTAL = "kubelet_started_pods_errors_total" [], "Cumulative number of errors when starting pods.";
    Counter Kubelet STARTED_CONTAINERS_TOTAL = "kubelet_started_containers_total" ["container_type"], "Cumulative number of containers started.";
    Counter Kubelet STARTED_CONTAINERS_ERRORS_TOTAL = "kubelet_started_containers_errors_total" ["container_type", "code"], "Cumulative number of errors when starting containers.";
    Histogram Kubelet POD_START_DURATION_SECONDS = "kubelet_pod_start_duration_seconds" [] buckets POD_START, "Duration in seconds from first seeing a pod to its start.";
    Histogram Kubelet PLEG_RELIST_DURATION_SECONDS = "kubelet_pleg_relist_duration_seconds" [] buckets QUICK, "Duration in seconds of a look at the whole runtime.";
    Histogram Kubelet PLEG_RELIST_INTERVAL_SECONDS = "kubelet_pleg_relist_interval_seconds" [] buckets POD_START, "Seconds between looks at the whole runtime.";
    Histogram Kubelet CGROUP_MANAGER_DURATION_SECONDS = "kubelet_cgroup_manager_duration_seconds" ["operation_type"] buckets QUICK, "Duration in seconds of work on cgroups.";
    Histogram Kubelet IMAGE_PULL_DURATION_SECONDS = "kubelet_image_pull_duration_seconds" ["image_size_in_bytes"] buckets PULL, "Duration in seconds of image pulls by size.";
    Counter Kubelet IMAGE_GARBAGE_COLLECTED_TOTAL = "kubelet_image_garbage_collected_total" ["reason"], "Cumulative number of images removed to free disk or for their age.";
    Counter Kubelet ADMISSION_REJECTIONS_TOTAL = "kubelet_admission_rejections_total" ["reason"], "Cumulative number of pods that the node did not take, by reason.";
    Counter Kubelet EVICTIONS = "kubelet_evictions" ["eviction_signal"], "Cumulative number of pods ended for using too much, by signal.";
    Counter Kubelet HTTP_REQUESTS_TOTAL = "kubelet_http_requests_total" ["method", "path", "server_type", "long_running"], "Number of HTTP requests received.";
    Histogram Kubelet HTTP_REQUESTS_DURATION_SECONDS = "kubelet_http_requests_duration_seconds" ["method", "path", "server_type", "long_running"] buckets QUICK, "Seconds to answer HTTP requests.";
    Gauge Kubelet HTTP_INFLIGHT_REQUESTS = "kubelet_http_inflight_requests" ["method", "path", "server_type", "long_running"], "Number of HTTP requests being answered.";
    Counter Probes PROBER_PROBE_TOTAL = "prober_probe_total" ["probe_type", "result", "container", "pod", "namespace", "pod_uid"], "Cumulative number of probes of a container by result.";
    Histogram Probes PROBER_PROBE_DURATION_SECONDS = "prober_probe_duration_seconds" ["probe_type", "container", "pod", "namespace"] buckets QUICK, "Duration in seconds of a probe.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn sources(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if !path.ends_with("metrics/names.rs") {
                into.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// Nothing is shown that nobody measures.
    #[test]
    fn every_family_is_recorded_somewhere() {
        let mut texts = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let used = |constant: &&&str| {
            let mention = format!("names::{constant}");
            !texts.iter().any(|text| text.contains(&mention))
        };
        let unused: Vec<_> = CONSTANTS.iter().filter(used).collect();
        assert!(unused.is_empty(), "never recorded: {unused:?}");
    }

    #[test]
    fn names_are_unique_and_end_as_their_kind_asks() {
        let mut seen = BTreeSet::new();
        for family in ALL {
            let (name, ok) = match family {
                AnyFamily::Counter(f) => {
                    let name = f.description().name;
                    // Upstream's one counter without the ending.
                    (
                        name,
                        name.ends_with("_total") || name == "kubelet_evictions",
                    )
                }
                AnyFamily::Gauge(f) => (f.description().name, true),
                AnyFamily::Histogram(f) => {
                    let ascending = f.buckets().is_sorted() && !f.buckets().is_empty();
                    (f.description().name, ascending)
                }
            };
            assert!(ok && seen.insert(name), "{name}");
        }
    }
}
