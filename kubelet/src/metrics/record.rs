//! Recording that takes more than one family.

use std::time::Duration;

use tokio::time::Instant;

use super::names;

/// One finished call to the runtime: `run_podsandbox`, `create_container`, `pull_image` and so on.
pub fn runtime_operation(operation: &str, took: Duration, failed: bool) {
    names::RUNTIME_OPERATIONS_TOTAL.inc(&[operation]);
    names::RUNTIME_OPERATIONS_DURATION_SECONDS.observe_duration(&[operation], took);
    if failed {
        names::RUNTIME_OPERATIONS_ERRORS_TOTAL.inc(&[operation]);
    }
}

/// Makes one call to the runtime and records it. A call that is dropped half-way is not counted.
///
/// # Errors
/// Those of the call.
pub async fn measured<T, E>(
    operation: &str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let began = Instant::now();
    let outcome = call.await;
    runtime_operation(operation, began.elapsed(), outcome.is_err());
    outcome
}

/// Works on cgroups and records how long that took: `create`, `update` or `destroy`.
pub fn cgroup_work<T>(operation: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = work();
    names::CGROUP_MANAGER_DURATION_SECONDS.observe_duration(&[operation], began.elapsed());
    outcome
}

/// One finished attempt to run a sandbox; `handler` is empty for the default runtime.
pub fn sandbox_run(handler: &str, took: Duration, failed: bool) {
    names::RUN_PODSANDBOX_DURATION_SECONDS.observe_duration(&[handler], took);
    names::STARTED_PODS_TOTAL.inc(&[]);
    if failed {
        names::RUN_PODSANDBOX_ERRORS_TOTAL.inc(&[handler]);
        names::STARTED_PODS_ERRORS_TOTAL.inc(&[]);
    }
}

/// One finished probe.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// `Liveness`, `Readiness` or `Startup`.
    pub kind: &'a str,
    /// `successful`, `failed` or `unknown`.
    pub result: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's UID.
    pub pod_uid: &'a str,
}

/// Counts one finished probe.
pub fn probe(probe: &Probe<'_>, took: Duration) {
    let Probe {
        kind,
        result,
        container,
        pod,
        namespace,
        pod_uid,
    } = *probe;
    names::PROBER_PROBE_DURATION_SECONDS.observe_duration(&[kind, container, pod, namespace], took);
    names::PROBER_PROBE_TOTAL.inc(&[kind, result, container, pod, namespace, pod_uid]);
}

/// Drops the series of a pod that is gone.
pub fn forget_pod(namespace: &str, name: &str, uid: &str) {
    names::PROBER_PROBE_TOTAL.forget(&[("pod_uid", uid)]);
    names::PROBER_PROBE_DURATION_SECONDS.forget(&[("namespace", namespace), ("pod", name)]);
}

/// The size class of an image, as the label of pull durations wants it.
pub fn image_size_class(bytes: u64) -> &'static str {
    const MIB: u64 = 1 << 20;
    match bytes {
        0 => "N/A",
        b if b < 10 * MIB => "0-10MB",
        b if b < 100 * MIB => "10MB-100MB",
        b if b < 500 * MIB => "100MB-500MB",
        b if b < 1024 * MIB => "500MB-1GB",
        b if b < 5 * 1024 * MIB => "1GB-5GB",
        b if b < 10 * 1024 * MIB => "5GB-10GB",
        b if b < 20 * 1024 * MIB => "10GB-20GB",
        b if b < 30 * 1024 * MIB => "20GB-30GB",
        b if b < 40 * 1024 * MIB => "30GB-40GB",
        b if b < 60 * 1024 * MIB => "40GB-60GB",
        b if b < 100 * 1024 * MIB => "60GB-100GB",
        _ => "GT100GB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_operation_counts_twice() {
        runtime_operation("test_operation", Duration::from_millis(3), false);
        runtime_operation("test_operation", Duration::from_millis(3), true);
        let labels = ["test_operation"];
        assert_eq!(names::RUNTIME_OPERATIONS_TOTAL.value(&labels), 2);
        assert_eq!(names::RUNTIME_OPERATIONS_ERRORS_TOTAL.value(&labels), 1);
    }

    #[tokio::test]
    async fn a_measured_call_is_counted_by_its_outcome() {
        let ok: Result<u8, ()> = measured("test_measured", async { Ok(1) }).await;
        let failed: Result<u8, ()> = measured("test_measured", async { Err(()) }).await;
        assert_eq!((ok, failed), (Ok(1), Err(())));
        let labels = ["test_measured"];
        assert_eq!(names::RUNTIME_OPERATIONS_TOTAL.value(&labels), 2);
        assert_eq!(names::RUNTIME_OPERATIONS_ERRORS_TOTAL.value(&labels), 1);
    }

    #[test]
    fn a_forgotten_pod_leaves_no_probe_series() {
        let one = Probe {
            kind: "Liveness",
            result: "failed",
            container: "app",
            pod: "gone",
            namespace: "default",
            pod_uid: "uid-gone",
        };
        let namesake = Probe {
            namespace: "other",
            pod_uid: "uid-other",
            ..one
        };
        probe(&one, Duration::from_millis(1));
        probe(&namesake, Duration::from_millis(1));
        let labels = ["Liveness", "failed", "app", "gone", "default", "uid-gone"];
        assert_eq!(names::PROBER_PROBE_TOTAL.value(&labels), 1);
        forget_pod("default", "gone", "uid-gone");
        let mut left = Vec::new();
        names::PROBER_PROBE_DURATION_SECONDS.each(|values, _| {
            if values[2].as_ref() == "gone" {
                left.push(values[3].to_string());
            }
        });
        assert_eq!(left, ["other"]);
    }

    #[test]
    fn size_classes() {
        for (bytes, class) in [
            (0, "N/A"),
            (1, "0-10MB"),
            (10 << 20, "10MB-100MB"),
            (u64::MAX, "GT100GB"),
        ] {
            assert_eq!(image_size_class(bytes), class);
        }
    }
}
