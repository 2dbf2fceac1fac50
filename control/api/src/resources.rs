//! What a pod asks for as a whole: containers, sidecars, init containers, overhead, and the
//! resources said of the pod itself.
//!
//! Decides sums only; whether they fit somewhere is for admission and scheduling. Amounts that
//! cannot be read count as nothing: `validate` refuses them earlier.

use std::collections::BTreeMap;

use crate::WireQuantity;
use crate::core::{Container, Pod, PodSpec, ResourceRequirements};
use crate::quantity::Quantity;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// Reads the amounts of an object.
#[must_use]
pub fn read(amounts: Option<&BTreeMap<String, WireQuantity>>) -> Amounts {
    amounts
        .into_iter()
        .flatten()
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::try_from(amount).ok()?)))
        .collect()
}

/// Whether the resource is a size of huge pages.
#[must_use]
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether the resource can be said of a pod as a whole.
#[must_use]
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// Whether an init container is a sidecar: started in order, then kept running.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Which half of the requirements is summed.
#[derive(Clone, Copy)]
enum Half {
    Requests,
    Limits,
}

impl Half {
    fn of(self, requirements: Option<&ResourceRequirements>) -> Amounts {
        let half = requirements.and_then(|r| match self {
            Self::Requests => r.requests.as_ref(),
            Self::Limits => r.limits.as_ref(),
        });
        read(half)
    }
}

/// Adds each amount of `more` to `sum`.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *sum.entry(name.clone()).or_default() += *amount;
    }
}

/// Raises each amount of `most` to that of `other`.
fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let held = most.entry(name.clone()).or_insert(*amount);
        if *amount > *held {
            *held = *amount;
        }
    }
}

/// The most that all containers ask for at one time. Init containers run one after the other,
/// each beside the sidecars started before it; the others run together.
fn of_containers(spec: &PodSpec, half: Half) -> Amounts {
    let mut running = Amounts::new();
    for container in &spec.containers {
        add(&mut running, &half.of(container.resources.as_ref()));
    }
    let mut sidecars = Amounts::new();
    let mut starting = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let own = half.of(container.resources.as_ref());
        if is_sidecar(container) {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, &sidecars);
            raise(&mut starting, &beside);
        }
    }
    raise(&mut running, &starting);
    running
}

/// What the containers request together, without overhead or pod-level resources.
#[must_use]
pub fn container_requests(spec: &PodSpec) -> Amounts {
    of_containers(spec, Half::Requests)
}

/// What the containers are limited to together, without overhead or pod-level resources.
#[must_use]
pub fn container_limits(spec: &PodSpec) -> Amounts {
    of_containers(spec, Half::Limits)
}

/// What the pod requests: pod-level amounts win over the containers' sums; overhead is added.
#[must_use]
pub fn pod_requests(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else {
        return Amounts::new();
    };
    let mut sum = container_requests(spec);
    overlay_pod_level(spec, Half::Requests, &mut sum);
    add(&mut sum, &read(spec.overhead.as_ref()));
    sum
}

/// What the pod is limited to. Overhead is added only to limits that exist.
#[must_use]
pub fn pod_limits(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else {
        return Amounts::new();
    };
    let mut sum = container_limits(spec);
    overlay_pod_level(spec, Half::Limits, &mut sum);
    for (name, amount) in read(spec.overhead.as_ref()) {
        if let Some(limit) = sum.get_mut(&name) {
            *limit += amount;
        }
    }
    sum
}

fn overlay_pod_level(spec: &PodSpec, half: Half, sum: &mut Amounts) {
    for (name, amount) in half.of(spec.resources.as_ref()) {
        if is_pod_level(&name) {
            sum.insert(name, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{pod_limits, pod_requests};
    use crate::core::Pod;

    fn pod(spec: serde_json::Value) -> Pod {
        let value = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
        serde_json::from_value(value).unwrap()
    }

    fn cpu(request: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": request}, "limits": {"cpu": request}}})
    }

    fn sidecar(request: &str) -> serde_json::Value {
        let mut container = cpu(request);
        container["restartPolicy"] = json!("Always");
        container
    }

    #[test]
    fn sums_what_runs_at_one_time() {
        let cases = [
            (json!({"containers": [cpu("1"), cpu("2")]}), "3"),
            (
                json!({"containers": [cpu("1")], "initContainers": [cpu("2"), cpu("3")]}),
                "3",
            ),
            (
                json!({"containers": [cpu("3")], "initContainers": [cpu("1")]}),
                "3",
            ),
            (
                json!({"containers": [cpu("1")], "initContainers": [sidecar("2"), cpu("2")]}),
                "4",
            ),
            (
                json!({"containers": [cpu("1")], "initContainers": [cpu("2"), sidecar("2")]}),
                "3",
            ),
            (
                json!({"containers": [cpu("1")], "overhead": {"cpu": "100m"}}),
                "1100m",
            ),
            (
                json!({"containers": [cpu("1")], "resources": {"requests": {"cpu": "4"}}}),
                "4",
            ),
            (
                json!({
                    "containers": [cpu("1")], "overhead": {"cpu": "1"},
                    "resources": {"requests": {"cpu": "4"}},
                }),
                "5",
            ),
        ];
        for (spec, expected) in cases {
            let got = pod_requests(&pod(spec.clone()))["cpu"].to_string();
            assert_eq!(got, expected, "{spec}");
        }
    }

    #[test]
    fn adds_overhead_to_limits_that_exist() {
        let spec = json!({"containers": [cpu("1")], "overhead": {"cpu": "1", "memory": "1Gi"}});
        let limits = pod_limits(&pod(spec));
        assert_eq!(limits["cpu"].to_string(), "2");
        assert!(!limits.contains_key("memory"));
    }
}
