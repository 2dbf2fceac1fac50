//! PodStatus from what is wanted, observed and remembered of a pod. Pure: it can be computed at
//! any time and changes nothing; times of transition are kept in memory by the reconciler.

mod conditions;
mod containers;
mod phase;
mod resources;

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use keelson_api::qos;

use crate::model::memory::Outcome;
use crate::model::{Life, Now, ObservedPod, PodMemory, PodSpec};

pub use conditions::{is_ours, is_passing, truths};

/// What the status of a pod says about its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The node's addresses, primary first, at most one per family.
    pub host_ips: Vec<IpAddr>,
    /// Name of the runtime, for `containerID` (`containerd`).
    pub runtime: Arc<str>,
    /// Read-only mounts can be made so all the way down.
    pub recursive_read_only: bool,
}

/// The inputs of a status, together.
#[derive(Clone, Copy)]
struct View<'a> {
    now: Now,
    pod: &'a Pod,
    spec: &'a PodSpec,
    observed: &'a ObservedPod,
    memory: &'a PodMemory,
    node: &'a NodeFacts,
}

/// The status of a pod now.
#[must_use]
pub fn pod_status(
    now: Now,
    pod: &Pod,
    spec: &PodSpec,
    observed: &ObservedPod,
    memory: &PodMemory,
    node: &NodeFacts,
) -> PodStatus {
    let view = View {
        now,
        pod,
        spec,
        observed,
        memory,
        node,
    };
    let basis = PodStatus {
        qos_class: Some(qos::class(pod).as_str().to_owned()),
        start_time: memory.start_time.map(Time),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    };
    match &memory.life {
        Life::Rejected { reason, message } => PodStatus {
            phase: Some("Failed".to_owned()),
            reason: Some(reason.clone()),
            message: Some(format!("Pod was rejected: {message}")),
            start_time: memory.start_time.or(Some(now.wall)).map(Time),
            ..basis
        },
        _ => of_accepted(&view, basis),
    }
}

fn of_accepted(view: &View<'_>, basis: PodStatus) -> PodStatus {
    let statuses = containers::all(view);
    let phase = phase::phase(view, &statuses);
    let conditions = conditions::all(view, phase);
    let ips = pod_ips(view);
    let (allocated_resources, resources) = resources::of_pod(view);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let outcome = view.memory.outcome.as_ref();
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: outcome.and_then(|o: &Outcome| some(&o.reason)),
        message: outcome.and_then(|o| some(&o.message)),
        conditions: Some(conditions),
        allocated_resources,
        resources,
        container_statuses: non_empty(statuses.main),
        init_container_statuses: non_empty(statuses.init),
        ephemeral_container_statuses: non_empty(statuses.ephemeral),
        host_ip: view.node.host_ips.first().map(IpAddr::to_string),
        host_ips: non_empty(as_strings(&view.node.host_ips, |ip| HostIP { ip })),
        pod_ip: ips.first().map(IpAddr::to_string),
        pod_ips: non_empty(as_strings(&ips, |ip| PodIP { ip })),
        ..basis
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn as_strings<T>(ips: &[IpAddr], wrap: impl Fn(String) -> T) -> Vec<T> {
    ips.iter().map(|ip| wrap(ip.to_string())).collect()
}

/// One address per family, the family of the node's primary address first.
fn pod_ips(view: &View<'_>) -> Vec<IpAddr> {
    if view.spec.host_network {
        return view.node.host_ips.clone();
    }
    let all = view
        .observed
        .newest_sandbox()
        .map(|s| s.ips.as_slice())
        .unwrap_or_default();
    let v6_first = view.node.host_ips.first().is_some_and(IpAddr::is_ipv6);
    let of_family = |v6: bool| all.iter().find(|ip| ip.is_ipv6() == v6);
    [of_family(v6_first), of_family(!v6_first)]
        .into_iter()
        .flatten()
        .copied()
        .collect()
}
