//! What a pod requests as a whole. Init containers run one after the other, each beside the
//! sidecars started before it; the others run together. What is said of the pod itself wins.

use super::{Container, ContainerStatus, Spec, listed, says};
use crate::model::{Amounts, Kind};

/// What counts in scores for a container that requests nothing: a tenth of a core, 200 MiB.
const UNSAID: (i64, i64) = (100, 200 * 1024 * 1024);

/// What is requested.
pub(super) fn requests(spec: &Spec, statuses: &[ContainerStatus]) -> Amounts {
    total(spec, |container| own(container, statuses))
}

/// Thousandths of a core and bytes as scores count them.
pub(super) fn scored(spec: &Spec, statuses: &[ContainerStatus]) -> (i64, i64) {
    let total = total(spec, |container| {
        let mut amounts = own(container, statuses);
        let requests = &container.resources.requests;
        if !says(requests, &Kind::Cpu) {
            amounts.cpu = UNSAID.0;
        }
        if !says(requests, &Kind::Memory) {
            amounts.memory = UNSAID.1;
        }
        amounts
    });
    (total.cpu, total.memory)
}

/// A container's requests, or what it was given already where that is more.
fn own(container: &Container, statuses: &[ContainerStatus]) -> Amounts {
    let mut amounts = listed(&container.resources.requests);
    let mut given = statuses.iter();
    if let Some(status) = given.find(|status| status.name == container.name) {
        amounts.raise(&listed(&status.allocated_resources));
    }
    amounts
}

fn total(spec: &Spec, own: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&own(container), 1);
    }
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in &spec.init_containers {
        let amounts = own(container);
        if container.is_sidecar() {
            running.add(&amounts, 1);
            sidecars.add(&amounts, 1);
            starting.raise(&sidecars);
        } else {
            let mut beside = amounts;
            beside.add(&sidecars, 1);
            starting.raise(&beside);
        }
    }
    running.raise(&starting);
    if let Some(pod) = &spec.resources {
        for (kind, amount) in listed(&pod.requests).iter() {
            let counts = match &kind {
                Kind::Cpu | Kind::Memory => true,
                Kind::Ephemeral => false,
                Kind::Other(name) => name.text().starts_with("hugepages-"),
            };
            if counts && says(&pod.requests, &kind) {
                *running.place(kind) = amount;
            }
        }
    }
    running.add(&listed(&spec.overhead), 1);
    running
}
