//! What an evicted pod's status says, in upstream's words.

use std::collections::BTreeSet;

use keelson_api::core::Pod;
use keelson_api::quantity::Quantity;

use super::{Condition, Observations, Resource, Threshold};

/// A container that uses more than it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// Its name.
    pub container: String,
    /// What it uses.
    pub usage: u64,
    /// What it asked for.
    pub request: u64,
}

/// Why a pod went.
#[must_use]
pub fn evicted(threshold: &Threshold, observed: &Observations, offenders: &[Offender]) -> String {
    let resource = threshold.signal.resource();
    let mut text = format!("The node was low on resource: {}. ", resource.as_str());
    if let Some(reading) = observed.get(&threshold.signal) {
        let quantity = amount(resource, threshold.amount.of(reading.capacity));
        let available = amount(resource, reading.available);
        text += &format!("Threshold quantity: {quantity}, available: {available}. ");
    }
    for Offender {
        container,
        usage,
        request,
    } in offenders
    {
        let (usage, request) = (amount(resource, *usage), amount(resource, *request));
        let what = resource.as_str();
        text += &format!(
            "Container {container} was using {usage}, request is {request}, \
             has larger consumption of {what}. "
        );
    }
    text
}

/// Why a pod is not taken while the node is under pressure.
#[must_use]
pub fn refused(conditions: &BTreeSet<Condition>) -> String {
    let names: Vec<_> = conditions.iter().map(|c| c.as_str()).collect();
    format!("The node had condition: [{}]. ", names.join(" "))
}

/// What a container asked for of a resource.
#[must_use]
pub fn requested(pod: &Pod, container: &str, resource: Resource) -> u64 {
    let spec = pod.spec.as_ref();
    let all = spec.into_iter().flat_map(|spec| {
        let first = spec.init_containers.iter().flatten();
        first.chain(&spec.containers)
    });
    let mut named = all.filter(|c| c.name == container);
    let asked = named
        .next()
        .and_then(|c| c.resources.as_ref()?.requests.as_ref());
    let text = asked.and_then(|requests| requests.get(resource.as_str()));
    let quantity = text.and_then(|text| Quantity::try_from(text).ok());
    quantity
        .and_then(|quantity| u64::try_from(quantity.value()).ok())
        .unwrap_or(0)
}

fn amount(resource: Resource, value: u64) -> Quantity {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    match resource {
        Resource::Memory => Quantity::from_bytes(value - value % 1024),
        Resource::EphemeralStorage => Quantity::from_bytes(value),
        Resource::Inodes | Resource::Pids => Quantity::from_units(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Amount, Reading, Signal};
    use super::*;

    #[test]
    fn names_the_threshold_and_the_offenders() {
        let threshold = Threshold {
            signal: Signal::MemoryAvailable,
            amount: Amount::Exact(100 << 20),
            grace: None,
            min_reclaim: None,
        };
        let reading = Reading {
            available: 50 << 20,
            capacity: 1 << 30,
        };
        let observed = Observations::from([(Signal::MemoryAvailable, reading)]);
        let offender = Offender {
            container: "app".to_owned(),
            usage: (1 << 30) + 5,
            request: 0,
        };
        assert_eq!(
            evicted(&threshold, &observed, &[offender]),
            "The node was low on resource: memory. \
             Threshold quantity: 100Mi, available: 50Mi. \
             Container app was using 1Gi, request is 0, has larger consumption of memory. "
        );
    }

    #[test]
    fn names_the_conditions() {
        let all = BTreeSet::from([Condition::PidPressure, Condition::DiskPressure]);
        let expected = "The node had condition: [DiskPressure PIDPressure]. ";
        assert_eq!(refused(&all), expected);
    }
}
