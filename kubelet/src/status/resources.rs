//! What of CPU and memory containers and the pod really have, beside what was allotted to them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use keelson_api::WireQuantity;
use keelson_api::resources::pod_requests;

use crate::cgroup::plan::shares;
use crate::model::memory::ContainerMemory;
use crate::model::{ObservedContainer, Resources};

use super::View;

type Amounts = Option<BTreeMap<String, WireQuantity>>;

/// Of the pod as a whole, where it says so itself: what it was allotted, and what it has.
pub(super) fn of_pod(view: &View<'_>) -> (Amounts, Option<ResourceRequirements>) {
    let spec = view.pod.spec.as_ref();
    let Some(own) = spec.and_then(|spec| spec.resources.as_ref()) else {
        return (None, None);
    };
    let requests = pod_requests(view.pod);
    let wire = |(name, amount): (_, keelson_api::quantity::Quantity)| {
        (name, WireQuantity(amount.to_string()))
    };
    let allotted = requests.into_iter().map(wire).collect();
    let wanted = view.spec.resources;
    let has = view.memory.cgroup.unwrap_or(wanted);
    (Some(allotted), Some(corrected(own, wanted, has)))
}

/// The resources of a container: those that it was allotted, with the numbers that are in force.
/// A container that does not run has none to tell.
pub(super) fn of_container(
    allotted: &ResourceRequirements,
    mem: &ContainerMemory,
    container: &ObservedContainer,
) -> Option<ResourceRequirements> {
    let wanted = Resources::of(Some(allotted));
    let mut has = mem.given.unwrap_or(wanted);
    if let Some(limits) = container.limits.filter(|_| container.is_live()) {
        let asked = if has.cpu_request == 0 {
            has.cpu_limit
        } else {
            has.cpu_request
        };
        if limits.cpu_shares > 0 && limits.cpu_shares != shares(asked) {
            has.cpu_request = limits.cpu_shares * 1000 / 1024;
        }
        // What is below the least quota has that one.
        if limits.cpu > 0 && has.cpu_limit.max(10) != limits.cpu {
            has.cpu_limit = limits.cpu;
        }
        if limits.memory > 0 {
            has.memory_limit = limits.memory;
        }
    }
    Some(corrected(allotted, wanted, has))
}

/// What was allotted, with those amounts exchanged that are others in truth.
fn corrected(
    allotted: &ResourceRequirements,
    wanted: Resources,
    has: Resources,
) -> ResourceRequirements {
    let mut shown = allotted.clone();
    let mut correct = |limit: bool, name: &str, wanted: u64, has: u64| {
        if wanted == has {
            return;
        }
        let amounts = match limit {
            true => &mut shown.limits,
            false => &mut shown.requests,
        };
        let amounts = amounts.get_or_insert_default();
        let text = match name {
            _ if has == 0 => {
                amounts.remove(name);
                return;
            }
            "cpu" if !has.is_multiple_of(1000) => format!("{has}m"),
            "cpu" => (has / 1000).to_string(),
            _ => in_binary(has),
        };
        amounts.insert(name.to_owned(), WireQuantity(text));
    };
    correct(false, "cpu", wanted.cpu_request, has.cpu_request);
    correct(true, "cpu", wanted.cpu_limit, has.cpu_limit);
    correct(false, "memory", wanted.memory_request, has.memory_request);
    correct(true, "memory", wanted.memory_limit, has.memory_limit);
    shown
}

/// Bytes in the largest binary unit that tells them whole.
fn in_binary(bytes: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let fits = units
        .into_iter()
        .find(|(shift, _)| bytes.is_multiple_of(1 << shift));
    fits.map_or_else(
        || bytes.to_string(),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(allotted: Value, has: Resources, expected: Value) {
        let allotted: ResourceRequirements = serde_json::from_value(allotted).unwrap();
        let wanted = Resources::of(Some(&allotted));
        let shown = corrected(&allotted, wanted, has);
        assert_eq!(json!(shown), expected);
    }

    #[test]
    fn shows_what_is_in_force() {
        let allotted = || {
            json!({"requests": {"cpu": "0.5", "memory": "64Mi", "x.io/a": "1"},
                "limits": {"memory": "128Mi"}})
        };
        let has = Resources {
            cpu_request: 500,
            cpu_limit: 0,
            memory_request: 64 << 20,
            memory_limit: 128 << 20,
        };
        check(allotted(), has, allotted());
        let has = Resources {
            cpu_request: 1500,
            cpu_limit: 2000,
            memory_limit: 100 << 20,
            ..has
        };
        check(
            allotted(),
            has,
            json!({"requests": {"cpu": "1500m", "memory": "64Mi", "x.io/a": "1"},
                "limits": {"cpu": "2", "memory": "100Mi"}}),
        );
    }
}
