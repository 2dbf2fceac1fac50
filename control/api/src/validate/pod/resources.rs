//! Requests and limits, of containers and of the pod as a whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::WireQuantity;
use crate::core::{Container, PodSpec, ResourceRequirements};
use crate::quantity::Quantity;
use crate::resources::{self, is_huge_page};
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

const NATIVE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn container(c: &Container, spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let Some(own) = &c.resources else { return };
    let path = path.child("resources");
    requirements(own, &path, errors);
    let claims: BTreeSet<_> = spec
        .resource_claims
        .iter()
        .flatten()
        .map(|c| &c.name)
        .collect();
    for (index, claim) in own.claims.iter().flatten().enumerate() {
        if !claims.contains(&claim.name) {
            let at = path.child("claims").index(index).child("name");
            errors.not_found(&at, claim.name.as_str());
        }
    }
}

pub(super) fn pod(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    if let Some(overhead) = &spec.overhead {
        amounts(overhead, &path.child("overhead"), errors);
    }
    let Some(own) = &spec.resources else { return };
    let path = path.child("resources");
    requirements(own, &path, errors);
    if own.claims.as_ref().is_some_and(|c| !c.is_empty()) {
        errors.forbidden(
            &path.child("claims"),
            "claims cannot be set for Resources at pod-level",
        );
    }
    let halves = [("limits", &own.limits), ("requests", &own.requests)];
    for (half, map) in halves {
        for name in map
            .iter()
            .flat_map(BTreeMap::keys)
            .filter(|n| !resources::is_pod_level(n))
        {
            let choices = ["cpu", "hugepages-", "memory"];
            errors.not_supported(&path.child(half).key(name), name, &choices);
        }
    }
    above_containers(spec, own, &path, errors);
}

/// The pod may not ask for less than its containers do together.
fn above_containers(
    spec: &PodSpec,
    own: &ResourceRequirements,
    path: &Path,
    errors: &mut ErrorList,
) {
    let requested = resources::container_requests(spec);
    for (name, amount) in resources::read(own.requests.as_ref()) {
        if let Some(sum) = requested.get(&name).filter(|sum| **sum > amount) {
            let why =
                format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.invalid(&path.child("requests").key(&name), amount.to_string(), why);
        }
    }
    let limits = resources::read(own.limits.as_ref());
    for container in spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
    {
        let of_container = container.resources.as_ref().and_then(|r| r.limits.as_ref());
        for (name, amount) in resources::read(of_container) {
            if let Some(limit) = limits.get(&name).filter(|limit| **limit < amount) {
                let why = format!(
                    "must be greater than or equal to the limit {amount} of container {:?}",
                    container.name
                );
                errors.invalid(&path.child("limits").key(&name), limit.to_string(), why);
            }
        }
    }
}

fn requirements(own: &ResourceRequirements, path: &Path, errors: &mut ErrorList) {
    let empty = BTreeMap::new();
    let limits = own.limits.as_ref().unwrap_or(&empty);
    let requests = own.requests.as_ref().unwrap_or(&empty);
    amounts(limits, &path.child("limits"), errors);
    amounts(requests, &path.child("requests"), errors);
    for (name, request) in resources::read(Some(requests)) {
        let at = path.child("requests");
        let limit = limits.get(&name).and_then(|l| Quantity::try_from(l).ok());
        match limit {
            Some(limit) if !may_overcommit(&name) && request != limit => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.invalid(&at, request.to_string(), why);
            }
            Some(limit) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.invalid(&at, request.to_string(), why);
            }
            None if !may_overcommit(&name) => {
                errors.required(
                    &path.child("limits"),
                    "Limit must be set for non overcommitable resources",
                );
            }
            _ => {}
        }
    }
    let asks = |wanted: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|n| wanted(n));
    if asks(is_huge_page) && !asks(|name| matches!(name, "cpu" | "memory")) {
        errors.forbidden(path, "HugePages require cpu or memory");
    }
}

/// Whether more may be limited to than is there.
fn may_overcommit(name: &str) -> bool {
    NATIVE.contains(&name) || (!name.contains('/') && !is_huge_page(name))
}

fn amounts(map: &BTreeMap<String, WireQuantity>, path: &Path, errors: &mut ErrorList) {
    for (name, amount) in map {
        let path = path.key(name);
        resource_name(name, &path, errors);
        let amount = match Quantity::try_from(amount) {
            Ok(amount) => amount,
            Err(error) => {
                errors.invalid(&path, amount.0.as_str(), error.to_string());
                continue;
            }
        };
        if amount.signum() < 0 {
            errors.invalid(
                &path,
                amount.to_string(),
                "must be greater than or equal to 0",
            );
        }
        let whole = amount == amount.rounded_up(0);
        if !whole && (name.contains('/') || is_huge_page(name)) {
            errors.invalid(&path, amount.to_string(), "must be an integer");
        }
        if let Some(size) = name.strip_prefix("hugepages-") {
            huge_pages(size, amount, &path, errors);
        }
    }
}

fn huge_pages(size: &str, amount: Quantity, path: &Path, errors: &mut ErrorList) {
    let size = Quantity::parse(size).map_or(0, |s| s.value());
    if size <= 0 || amount.value() % size != 0 {
        errors.invalid(
            path,
            amount.to_string(),
            "page size must be a divisor of the amount",
        );
    }
}

fn resource_name(name: &str, path: &Path, errors: &mut ErrorList) {
    errors.check(path, name, names::qualified_name(name));
    let known = NATIVE.contains(&name) || is_huge_page(name) || name.contains('/');
    if !known {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}
