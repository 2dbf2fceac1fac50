//! How much an object uses, in the words of quotas. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Subject;
use crate::quantity::Quantity;
use crate::resources::{self, Amounts};
use crate::{core, fields};

/// Kinds that are counted under their own name too, as they were before `count/` was.
const PLAIN: [&str; 7] = [
    "pods",
    "services",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "replicationcontrollers",
    "resourcequotas",
];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const OF_DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// What can be asked for and limited, per pod.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// What every container must say where it is counted.
const MUST_SAY: [&str; 6] = [
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];

fn count_name(subject: Subject<'_>) -> String {
    if subject.group.is_empty() {
        format!("count/{}", subject.resource)
    } else {
        format!("count/{}.{}", subject.resource, subject.group)
    }
}

/// Whether objects of this kind use what the name stands for.
#[must_use]
pub fn counts(subject: Subject<'_>, name: &str) -> bool {
    if name == count_name(subject) {
        return true;
    }
    match (subject.group, subject.resource) {
        ("", "pods") => name == "pods" || is_compute(name),
        ("", "services") => matches!(
            name,
            "services" | "services.nodeports" | "services.loadbalancers"
        ),
        ("", "persistentvolumeclaims") => {
            matches!(name, "persistentvolumeclaims" | "requests.storage") || name.contains(OF_CLASS)
        }
        ("resource.k8s.io", "resourceclaims") => name.ends_with(OF_DEVICES),
        ("", plain) => name == plain && PLAIN.contains(&plain),
        _ => false,
    }
}

fn is_compute(name: &str) -> bool {
    let bare = name
        .strip_prefix("requests.")
        .or_else(|| name.strip_prefix("limits."))
        .unwrap_or(name);
    let extended = name.starts_with("requests.") && bare.contains('/');
    COMPUTE.contains(&bare)
        || (resources::is_huge_page(bare) && !name.starts_with("limits."))
        || extended
}

/// The group and the plural of the kind whose objects use what the name stands for.
#[must_use]
pub fn subject_of(name: &str) -> Option<Subject<'_>> {
    let (group, resource) = if let Some(kind) = name.strip_prefix("count/") {
        let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
        (group, resource)
    } else if name.starts_with("services.") {
        ("", "services")
    } else if name == "requests.storage" || name.contains(OF_CLASS) {
        ("", "persistentvolumeclaims")
    } else if name.ends_with(OF_DEVICES) {
        ("resource.k8s.io", "resourceclaims")
    } else if PLAIN.contains(&name) {
        ("", name)
    } else if is_compute(name) {
        ("", "pods")
    } else {
        return None;
    };
    Some(Subject { group, resource })
}

/// What the object uses.
#[must_use]
pub fn of(subject: Subject<'_>, object: &Value) -> Amounts {
    let one = Quantity::from_units(1);
    let mut used = Amounts::from([(count_name(subject), one)]);
    match (subject.group, subject.resource) {
        ("", "pods") => pod(object, &mut used),
        ("", "services") => service(object, &mut used),
        ("", "persistentvolumeclaims") => claim(object, &mut used),
        ("resource.k8s.io", "resourceclaims") => devices(object, &mut used),
        ("", plain) if PLAIN.contains(&plain) => drop(used.insert(plain.to_owned(), one)),
        _ => {}
    }
    used
}

/// A pod that has ended holds nothing any more.
fn pod(object: &Value, used: &mut Amounts) {
    if matches!(
        fields::text(object, "/status/phase"),
        "Succeeded" | "Failed"
    ) {
        return;
    }
    used.insert("pods".to_owned(), Quantity::from_units(1));
    let typed: core::Pod = fields::typed(object);
    compute(
        &resources::pod_requests(&typed),
        &resources::pod_limits(&typed),
        used,
    );
}

fn compute(requests: &Amounts, limits: &Amounts, used: &mut Amounts) {
    for (name, amount) in requests {
        let extended = name.contains('/');
        if COMPUTE.contains(&name.as_str()) || resources::is_huge_page(name) {
            used.insert(name.clone(), *amount);
            used.insert(format!("requests.{name}"), *amount);
        } else if extended {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits
        .iter()
        .filter(|(name, _)| COMPUTE.contains(&name.as_str()))
    {
        used.insert(format!("limits.{name}"), *amount);
    }
}

fn service(object: &Value, used: &mut Amounts) {
    let ports = i64::try_from(fields::list(object, "/spec/ports").len()).unwrap_or(i64::MAX);
    let given = fields::list(object, "/spec/ports")
        .iter()
        .filter(|port| fields::number(port, "/nodePort").unwrap_or(0) != 0);
    let given = i64::try_from(given.count()).unwrap_or(i64::MAX);
    let (mut node_ports, mut balancers) = (0, 0);
    match fields::text(object, "/spec/type") {
        "NodePort" => node_ports = ports,
        "LoadBalancer" => {
            balancers = 1;
            let without =
                fields::flag(object, "/spec/allocateLoadBalancerNodePorts") == Some(false);
            node_ports = if without { given } else { ports };
        }
        _ => {}
    }
    used.insert("services".to_owned(), Quantity::from_units(1));
    used.insert(
        "services.nodeports".to_owned(),
        Quantity::from_units(node_ports),
    );
    used.insert(
        "services.loadbalancers".to_owned(),
        Quantity::from_units(balancers),
    );
}

fn claim(object: &Value, used: &mut Amounts) {
    let one = Quantity::from_units(1);
    let class = fields::annotation(object, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| fields::text(object, "/spec/storageClassName"));
    used.insert("persistentvolumeclaims".to_owned(), one);
    if !class.is_empty() {
        used.insert(format!("{class}{OF_CLASS}persistentvolumeclaims"), one);
    }
    let asked = Quantity::parse(fields::text(object, "/spec/resources/requests/storage"));
    let given = Quantity::parse(fields::text(object, "/status/allocatedResources/storage"));
    let Ok(asked) = asked else {
        return;
    };
    // While a claim shrinks back from a failed expansion, what has been set aside still counts.
    let storage = given.map_or(asked, |given| given.max(asked));
    used.insert("requests.storage".to_owned(), storage);
    if !class.is_empty() {
        used.insert(format!("{class}{OF_CLASS}requests.storage"), storage);
    }
}

/// Devices per class; of several choices for one request, the largest of each class.
fn devices(object: &Value, used: &mut Amounts) {
    const ALL: i64 = 32;
    let amount = |request: &Value| match fields::text(request, "/allocationMode") {
        "All" => ALL,
        _ => fields::number(request, "/count").unwrap_or(1),
    };
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for request in fields::list(object, "/spec/devices/requests") {
        let mut largest: BTreeMap<&str, i64> = BTreeMap::new();
        let exactly = std::iter::once(fields::value(request, "/exactly"));
        for choice in exactly.chain(fields::list(request, "/firstAvailable")) {
            let most = largest
                .entry(fields::text(choice, "/deviceClassName"))
                .or_default();
            *most = amount(choice).max(*most);
        }
        for (class, count) in largest.into_iter().filter(|(class, _)| !class.is_empty()) {
            *sums.entry(class).or_default() += count;
        }
    }
    for (class, count) in sums {
        used.insert(format!("{class}{OF_DEVICES}"), Quantity::from_units(count));
    }
}

/// What containers do not say and must, where it is counted: `must specify X for: a,b; ...`.
#[must_use]
pub fn missing(subject: Subject<'_>, object: &Value, counted: &[&str]) -> Option<String> {
    let required: BTreeSet<&str> = counted
        .iter()
        .copied()
        .filter(|name| MUST_SAY.contains(name))
        .collect();
    if subject.resource != "pods" || !subject.group.is_empty() || required.is_empty() {
        return None;
    }
    let spec = fields::value(object, "/spec");
    let whole = said(spec);
    let mut lacking: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (field, _, container) in fields::containers(spec) {
        let own = said(container);
        for name in required
            .iter()
            .filter(|name| !own.contains_key(**name) && !whole.contains_key(**name))
        {
            if field != "ephemeralContainers" {
                lacking
                    .entry(name)
                    .or_default()
                    .insert(fields::text(container, "/name"));
            }
        }
    }
    let texts: Vec<String> = lacking
        .into_iter()
        .map(|(name, containers)| {
            format!(
                "{name} for: {}",
                containers.into_iter().collect::<Vec<_>>().join(",")
            )
        })
        .collect();
    (!texts.is_empty()).then(|| format!("must specify {}", texts.join("; ")))
}

fn said(holder: &Value) -> Amounts {
    let read = |path: &str| super::amounts(holder, path);
    let mut used = Amounts::new();
    compute(
        &read("/resources/requests"),
        &read("/resources/limits"),
        &mut used,
    );
    used
}

#[cfg(test)]
mod tests {
    use super::{counts, subject_of};

    #[test]
    fn each_name_is_of_a_kind_that_counts_it() {
        let check = |name: &str, expected: &str| {
            let subject = subject_of(name).unwrap();
            let kind = format!("{}.{}", subject.resource, subject.group);
            assert_eq!(kind, expected, "{name}");
            assert!(counts(subject, name), "{name}");
        };
        for name in [
            "pods",
            "cpu",
            "limits.memory",
            "requests.ephemeral-storage",
            "count/pods",
        ] {
            check(name, "pods.");
        }
        check("requests.example.com/gpu", "pods.");
        check("requests.hugepages-2Mi", "pods.");
        check("services.nodeports", "services.");
        check("requests.storage", "persistentvolumeclaims.");
        check(
            "gold.storageclass.storage.k8s.io/requests.storage",
            "persistentvolumeclaims.",
        );
        check(
            "fast.deviceclass.resource.k8s.io/devices",
            "resourceclaims.resource.k8s.io",
        );
        check("configmaps", "configmaps.");
        check("count/deployments.apps", "deployments.apps");
        check("count/widgets.example.com", "widgets.example.com");
        assert_eq!(subject_of("nonsense"), None);
    }
}
