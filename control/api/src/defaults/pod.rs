//! The defaults of a Pod.
//!
//! Decides what a silent field means, in upstream's order: containers first, then what follows
//! from them. Quantities come out in canonical form; malformed ones are left for `validate`.

use std::collections::BTreeMap;

use super::fill;
use super::volume;
use crate::WireQuantity;
use crate::core::{
    Container, ContainerPort, EnvVar, EphemeralContainer, HTTPGetAction, Lifecycle, Pod, PodSpec,
    Probe, ResourceRequirements,
};
use crate::image_reference::default_pull_policy;
use crate::quantity::Quantity;
use crate::resources;

/// Where a container's last words are read from.
const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
/// How long a pod may take to end, in seconds.
const TERMINATION_GRACE_PERIOD: i64 = 30;

/// Fills in every default of a pod.
pub fn apply(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        apply_spec(spec);
    }
}

/// Fills in every default of a pod's spec, as in a pod or in a template.
pub fn apply_spec(spec: &mut PodSpec) {
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        apply_container(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        apply_ephemeral(container);
    }
    for v in spec.volumes.iter_mut().flatten() {
        volume::apply(v);
    }
    fill::text(&mut spec.dns_policy, "ClusterFirst");
    fill::text(&mut spec.restart_policy, "Always");
    fill::text(&mut spec.scheduler_name, "default-scheduler");
    fill::absent(
        &mut spec.termination_grace_period_seconds,
        TERMINATION_GRACE_PERIOD,
    );
    fill::absent(&mut spec.enable_service_links, true);
    fill::absent(
        &mut spec.security_context,
        crate::core::PodSecurityContext::default(),
    );
    mirror_service_account(spec);
    if let Some(overhead) = &mut spec.overhead {
        canonical(overhead);
    }
    apply_pod_resources(spec);
    if spec.host_network == Some(true) {
        host_network_ports(spec);
    }
}

/// The deprecated `serviceAccount` and `serviceAccountName` say the same.
fn mirror_service_account(spec: &mut PodSpec) {
    let named = |name: &Option<String>| name.clone().filter(|n| !n.is_empty());
    let account = named(&spec.service_account_name).or_else(|| named(&spec.service_account));
    if account.is_some() {
        spec.service_account_name.clone_from(&account);
        spec.service_account = account;
    }
}

/// A port on the host network is the host's port.
fn host_network_ports(spec: &mut PodSpec) {
    let containers = spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten());
    for port in containers.flat_map(|c| c.ports.iter_mut().flatten()) {
        fill::number(&mut port.host_port, port.container_port);
    }
}

fn apply_container(container: &mut Container) {
    let image = container.image.as_deref().unwrap_or_default();
    fill::text(&mut container.image_pull_policy, default_pull_policy(image));
    fill::text(
        &mut container.termination_message_path,
        TERMINATION_MESSAGE_PATH,
    );
    fill::text(&mut container.termination_message_policy, "File");
    apply_ports(&mut container.ports);
    apply_env(&mut container.env);
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    probes.into_iter().flatten().for_each(apply_probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        apply_lifecycle(lifecycle);
    }
    if let Some(resources) = &mut container.resources {
        apply_resources(resources);
    }
}

fn apply_ephemeral(container: &mut EphemeralContainer) {
    let image = container.image.as_deref().unwrap_or_default();
    fill::text(&mut container.image_pull_policy, default_pull_policy(image));
    fill::text(
        &mut container.termination_message_path,
        TERMINATION_MESSAGE_PATH,
    );
    fill::text(&mut container.termination_message_policy, "File");
    apply_ports(&mut container.ports);
    apply_env(&mut container.env);
}

fn apply_ports(ports: &mut Option<Vec<ContainerPort>>) {
    for port in ports.iter_mut().flatten() {
        fill::text(&mut port.protocol, "TCP");
    }
}

fn apply_env(env: &mut Option<Vec<EnvVar>>) {
    let sources = env
        .iter_mut()
        .flatten()
        .filter_map(|var| var.value_from.as_mut());
    for source in sources {
        if let Some(field) = &mut source.field_ref {
            fill::text(&mut field.api_version, "v1");
        }
        if let Some(resource) = &mut source.resource_field_ref {
            fill::absent(&mut resource.divisor, WireQuantity("0".to_owned()));
        }
        if let Some(file) = &mut source.file_key_ref {
            fill::absent(&mut file.optional, false);
        }
    }
}

fn apply_probe(probe: &mut Probe) {
    fill::number(&mut probe.timeout_seconds, 1);
    fill::number(&mut probe.period_seconds, 10);
    fill::number(&mut probe.success_threshold, 1);
    fill::number(&mut probe.failure_threshold, 3);
    if let Some(http) = &mut probe.http_get {
        apply_http(http);
    }
    if let Some(grpc) = &mut probe.grpc {
        fill::absent(&mut grpc.service, String::new());
    }
}

fn apply_lifecycle(lifecycle: &mut Lifecycle) {
    let handlers = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
    for http in handlers
        .into_iter()
        .flatten()
        .filter_map(|h| h.http_get.as_mut())
    {
        apply_http(http);
    }
}

fn apply_http(http: &mut HTTPGetAction) {
    fill::text(&mut http.path, "/");
    fill::text(&mut http.scheme, "HTTP");
}

/// Requests that are missing are the limits.
fn apply_resources(resources: &mut ResourceRequirements) {
    if let Some(limits) = &mut resources.limits {
        canonical(limits);
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
    if let Some(requests) = &mut resources.requests {
        canonical(requests);
    }
}

/// Amounts in canonical form, no finer than a thousandth.
fn canonical(amounts: &mut BTreeMap<String, WireQuantity>) {
    for amount in amounts.values_mut() {
        if let Ok(quantity) = Quantity::try_from(&*amount) {
            *amount = quantity.rounded_up(-3).to_wire();
        }
    }
}

/// Resources of the pod as a whole: huge page limits follow the containers; missing requests are
/// the sum of the containers', or else the limits.
fn apply_pod_resources(spec: &mut PodSpec) {
    let Some(mut own) = spec.resources.take() else {
        return;
    };
    if let Some(limits) = &mut own.limits {
        canonical(limits);
    }
    if let Some(requests) = &mut own.requests {
        canonical(requests);
    }
    huge_page_limits(spec, &mut own);
    if own.limits.as_ref().is_some_and(|limits| !limits.is_empty()) {
        pod_requests(spec, &mut own);
    }
    spec.resources = Some(own);
}

fn huge_page_limits(spec: &PodSpec, own: &mut ResourceRequirements) {
    let of_containers = resources::container_limits(spec);
    for (name, limit) in of_containers
        .iter()
        .filter(|(n, _)| resources::is_huge_page(n))
    {
        let requested = own.requests.as_ref().is_some_and(|r| r.contains_key(name));
        if !requested {
            let limits = own.limits.get_or_insert_default();
            limits
                .entry(name.clone())
                .or_insert_with(|| limit.to_wire());
        }
    }
}

fn pod_requests(spec: &PodSpec, own: &mut ResourceRequirements) {
    let requests = own.requests.get_or_insert_default();
    for (name, amount) in resources::container_requests(spec) {
        if resources::is_pod_level(&name) && !resources::is_huge_page(&name) {
            requests.entry(name).or_insert_with(|| amount.to_wire());
        }
    }
    for (name, limit) in own.limits.iter().flatten() {
        if resources::is_pod_level(name) {
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
}

#[cfg(test)]
mod tests;
