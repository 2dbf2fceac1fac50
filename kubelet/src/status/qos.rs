//! The QoS class of a pod.

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use keelson_api::quantity::Quantity;
use keelson_api::resources::{Amounts, read};

/// `status.qosClass`: `Guaranteed` when every container (or the pod as a whole) limits cpu and
/// memory and asks for just that, `BestEffort` when none asks for or limits either, else
/// `Burstable`.
#[must_use]
pub fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else {
        return "BestEffort";
    };
    if let Some(whole) = spec.resources.as_ref().filter(|whole| says_anything(whole)) {
        return if is_guaranteed(whole) {
            "Guaranteed"
        } else {
            "Burstable"
        };
    }
    let none = ResourceRequirements::default();
    let each: Vec<&ResourceRequirements> = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .map(|c| c.resources.as_ref().unwrap_or(&none))
        .collect();
    if !each.iter().any(|r| says_anything(r)) {
        "BestEffort"
    } else if each.iter().all(|r| is_guaranteed(r)) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Amounts of cpu and memory that are not zero.
fn counted(
    amounts: Option<&std::collections::BTreeMap<String, keelson_api::WireQuantity>>,
) -> Amounts {
    let mut amounts = read(amounts);
    amounts.retain(|name, amount| {
        matches!(name.as_str(), "cpu" | "memory") && *amount != Quantity::default()
    });
    amounts
}

fn says_anything(r: &ResourceRequirements) -> bool {
    !counted(r.requests.as_ref()).is_empty() || !counted(r.limits.as_ref()).is_empty()
}

fn is_guaranteed(r: &ResourceRequirements) -> bool {
    let (requests, limits) = (counted(r.requests.as_ref()), counted(r.limits.as_ref()));
    let met = |name: &str| {
        let limit = limits.get(name);
        limit.is_some()
            && requests
                .get(name)
                .is_none_or(|request| Some(request) == limit)
    };
    met("cpu") && met("memory")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes() {
        let check = |spec: serde_json::Value, expected: &str| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec.clone()})).unwrap();
            assert_eq!(qos_class(&pod), expected, "{spec}");
        };
        let c = |resources: serde_json::Value| json!({"name": "c", "resources": resources});
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let same = json!({
            "limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "1000m", "memory": "1024Mi"}
        });
        let less = json!({
            "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}
        });
        check(json!({"containers": [c(json!({}))]}), "BestEffort");
        check(json!({"containers": [c(full.clone())]}), "Guaranteed");
        check(json!({"containers": [c(same.clone())]}), "Guaranteed");
        check(json!({"containers": [c(less)]}), "Burstable");
        check(
            json!({"containers": [c(full.clone()), c(json!({}))]}),
            "Burstable",
        );
        check(
            json!({"containers": [c(full.clone())], "initContainers": [c(json!({}))]}),
            "Burstable",
        );
        check(
            json!({"containers": [c(json!({"requests": {"cpu": "0"}}))]}),
            "BestEffort",
        );
        check(
            json!({"containers": [c(json!({}))], "resources": full}),
            "Guaranteed",
        );
    }
}
