//! Whether a pod that runs may have other resources, and which of several that ask is first.

use keelson_api::core::{Container, Pod, PodSpec};
use keelson_api::qos::{self, QosClass};
use keelson_api::quantity::Quantity;
use keelson_api::resources::{Amounts, pod_requests};

use super::NodeFacts;
use super::fit::{shortage_text, shortages};
use crate::model::Resources;

/// What becomes of a wish for other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResizeVerdict {
    /// The pod may have them.
    Grant,
    /// Not while the other pods are there (`Deferred`).
    Defer(String),
    /// Never on this node (`Infeasible`).
    Refuse(String),
}

/// Judges what a pod asks for anew, beside the others that were admitted and have not ended.
#[must_use]
pub fn resize(pod: &Pod, node: &NodeFacts, others: &[&Pod]) -> ResizeVerdict {
    let requests = pod_requests(pod);
    for (resource, count) in [
        ("memory", Quantity::value as fn(&Quantity) -> i64),
        ("cpu", Quantity::milli_value),
    ] {
        let (Some(asked), Some(capacity)) =
            (requests.get(resource), node.allocatable.get(resource))
        else {
            continue;
        };
        if asked > capacity {
            return ResizeVerdict::Refuse(format!(
                "Node didn't have enough capacity: {resource}, requested: {}, capacity: {}",
                count(asked),
                count(capacity)
            ));
        }
    }
    let short = shortages(pod, node, others);
    match short.iter().find(|short| is_resizable(&short.name)) {
        Some(short) => ResizeVerdict::Defer(shortage_text(short)),
        None => ResizeVerdict::Grant,
    }
}

fn is_resizable(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory")
}

/// Sorts those that wait, first come first: who asks for no more than it has, then by priority,
/// by class, and by how long it has waited.
pub fn rank<T: Ord>(held: &Pod, wanted: &Pod, since: T) -> impl Ord + use<T> {
    let (has, wants) = (pod_requests(held), pod_requests(wanted));
    let amount = |of: &Amounts, name: &str| of.get(name).copied().unwrap_or_default();
    let more = |name: &str| amount(&wants, name) > amount(&has, name);
    let priority = wanted.spec.as_ref().and_then(|spec| spec.priority);
    (
        more("cpu") || more("memory"),
        std::cmp::Reverse(priority.unwrap_or(0)),
        qos::class(wanted) != QosClass::Guaranteed,
        since,
    )
}

/// The pod as it is wanted with the resources that it has; `None` if those are what is wanted.
#[must_use]
pub fn holding(wanted: &Pod, held: &Pod) -> Option<Pod> {
    let (new, old) = (wanted.spec.as_ref()?, held.spec.as_ref()?);
    let (before, after) = (each(old), each(new));
    let has = |name: &str| before.iter().find(|c| c.name == name);
    let kept = |c: &&Container| {
        let resources = |c: &Container| Resources::of(c.resources.as_ref());
        has(&c.name).is_none_or(|old| resources(old) == resources(c))
    };
    let whole = |spec: &PodSpec| Resources::of(spec.resources.as_ref());
    if after.iter().all(kept) && whole(old) == whole(new) {
        return None;
    }
    let mut pod = wanted.clone();
    let spec = pod.spec.as_mut()?;
    spec.resources.clone_from(&old.resources);
    for c in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        if let Some(old) = has(&c.name) {
            c.resources.clone_from(&old.resources);
        }
    }
    Some(pod)
}

fn each(spec: &PodSpec) -> Vec<&Container> {
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use keelson_api::quantity::Quantity;
    use serde_json::json;

    use super::*;

    fn pod(cpu: &str, memory: &str) -> Pod {
        let requests = json!({"cpu": cpu, "memory": memory});
        let container = json!({"name": "c", "resources": {"requests": requests}});
        serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap()
    }

    fn node() -> NodeFacts {
        let amounts = [("cpu", "4"), ("memory", "4Gi"), ("pods", "2")];
        let amounts =
            amounts.map(|(name, amount)| (name.to_owned(), Quantity::parse(amount).unwrap()));
        NodeFacts {
            allocatable: amounts.into(),
            ..NodeFacts::default()
        }
    }

    #[test]
    fn a_wish_is_granted_put_off_or_refused() {
        let other = pod("1", "1Gi");
        let check = |cpu: &str, memory: &str, expected: ResizeVerdict| {
            let verdict = resize(&pod(cpu, memory), &node(), &[&other]);
            assert_eq!(verdict, expected, "{cpu} {memory}");
        };
        check("3", "3Gi", ResizeVerdict::Grant);
        check(
            "3500m",
            "1Gi",
            ResizeVerdict::Defer(
                "Node didn't have enough resource: cpu, requested: 3500, used: 1000, capacity: 4000"
                    .to_owned(),
            ),
        );
        check(
            "5",
            "1Gi",
            ResizeVerdict::Refuse(
                "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000".to_owned(),
            ),
        );
        check(
            "5",
            "5Gi",
            ResizeVerdict::Refuse(
                "Node didn't have enough capacity: memory, requested: 5368709120, capacity: 4294967296"
                    .to_owned(),
            ),
        );
    }

    #[test]
    fn who_asks_for_less_comes_first() {
        let (small, large) = (pod("1", "1Gi"), pod("2", "1Gi"));
        let mut important = large.clone();
        important.spec.as_mut().unwrap().priority = Some(10);
        assert!(rank(&large, &small, 9) < rank(&small, &important, 1));
        let first = |a: &Pod, at: u32, b: &Pod, bt: u32| {
            assert!(rank(&small, a, at) < rank(&small, b, bt));
        };
        first(&important, 9, &large, 1);
        first(&large, 1, &large, 9);
    }

    #[test]
    fn an_edit_keeps_the_resources_that_a_pod_has() {
        let (mut wanted, held) = (pod("2", "1Gi"), pod("1", "1Gi"));
        wanted.metadata.generation = Some(2);
        let kept = holding(&wanted, &held).unwrap();
        assert_eq!(kept.metadata, wanted.metadata);
        assert_eq!(kept.spec, held.spec);
        assert_eq!(holding(&pod("1000m", "1Gi"), &held), None);
    }
}
