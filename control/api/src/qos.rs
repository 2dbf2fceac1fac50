//! The quality of service class of a pod.

use std::fmt;

use crate::core::{Pod, PodSpec, ResourceRequirements};
use crate::resources::{self, Amounts};

/// How well a pod is treated when resources run short, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosClass {
    /// No container asks for anything.
    BestEffort,
    /// Something is asked for, but not everything is limited to what it asks for.
    Burstable,
    /// Every container is limited to exactly the CPU and memory it asks for.
    Guaranteed,
}

impl QosClass {
    /// The name in `status.qosClass`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "BestEffort",
            Self::Burstable => "Burstable",
            Self::Guaranteed => "Guaranteed",
        }
    }
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of a pod, from its requests and limits of CPU and memory. Resources of the pod as a
/// whole decide alone where they are given.
#[must_use]
pub fn class(pod: &Pod) -> QosClass {
    let Some(spec) = &pod.spec else {
        return QosClass::BestEffort;
    };
    let mut all_limited = true;
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for requirements in deciding(spec) {
        let own = counted(requirements.and_then(|r| r.limits.as_ref()));
        all_limited &= own.len() == 2;
        resources::add(&mut limits, &own);
        let own = counted(requirements.and_then(|r| r.requests.as_ref()));
        resources::add(&mut requests, &own);
    }
    if requests.is_empty() && limits.is_empty() {
        QosClass::BestEffort
    } else if all_limited && requests == limits {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

/// The requirements that decide: the pod's own, or those of every container.
fn deciding(spec: &PodSpec) -> Vec<Option<&ResourceRequirements>> {
    let said = |r: &&ResourceRequirements| r.requests.is_some() || r.limits.is_some();
    if let Some(own) = spec.resources.as_ref().filter(said) {
        return vec![Some(own)];
    }
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    containers.map(|c| c.resources.as_ref()).collect()
}

/// CPU and memory that are more than nothing.
fn counted(amounts: Option<&std::collections::BTreeMap<String, crate::WireQuantity>>) -> Amounts {
    let mut amounts = resources::read(amounts);
    amounts.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && amount.signum() > 0);
    amounts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::class;

    fn check(spec: Value, expected: &str) {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
        let pod = serde_json::from_value(pod).unwrap();
        assert_eq!(class(&pod).as_str(), expected, "{pod:?}");
    }

    fn container(resources: Value) -> Value {
        json!({"name": "c", "resources": resources})
    }

    #[test]
    fn follows_cpu_and_memory_of_every_container() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let full = container(json!({"limits": both, "requests": both}));
        let same =
            container(json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": both}));
        let cases = [
            (json!({"containers": [container(json!({}))]}), "BestEffort"),
            (json!({"containers": [{"name": "c"}]}), "BestEffort"),
            (
                json!({"containers": [container(json!({"requests": {"cpu": "0"}}))]}),
                "BestEffort",
            ),
            (
                json!({"containers": [container(json!({"limits": {"x.com/gpu": 1}}))]}),
                "BestEffort",
            ),
            (json!({"containers": [full]}), "Guaranteed"),
            (json!({"containers": [same, full]}), "Guaranteed"),
            (
                json!({"containers": [full, container(json!({}))]}),
                "Burstable",
            ),
            (
                json!({"containers": [full], "initContainers": [container(json!({}))]}),
                "Burstable",
            ),
            (
                json!({"containers": [container(json!({"requests": {"cpu": "1"}}))]}),
                "Burstable",
            ),
            (
                json!({"containers": [container(json!({"limits": both}))]}),
                "Burstable",
            ),
            (
                json!({
                    "containers": [container(json!({}))],
                    "resources": {"limits": both, "requests": both},
                }),
                "Guaranteed",
            ),
        ];
        for (spec, expected) in cases {
            check(spec, expected);
        }
    }
}
