//! What a pod may ask of the kernel: sysctls, AppArmor.

use keelson_api::core::{AppArmorProfile, Pod, PodSpec};

use super::{NodeFacts, Verdict, reject};

/// Sysctls that are kept apart between pods and harm no one else.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The first thing that this node does not give.
pub(super) fn check(pod: &Pod, node: &NodeFacts) -> Option<Verdict> {
    let spec = pod.spec.as_ref()?;
    sysctls(spec, node).or_else(|| app_armor(spec, node))
}

fn sysctls(spec: &PodSpec, node: &NodeFacts) -> Option<Verdict> {
    let list = spec.security_context.as_ref()?.sysctls.as_ref()?;
    for sysctl in list {
        let name = sysctl.name.replace('/', ".");
        let on_host = |flag: Option<bool>, kind: &str| {
            (flag == Some(true))
                .then(|| format!("forbidden sysctl: {name:?} not allowed with host {kind} enabled"))
        };
        let why = match namespace(&name) {
            Some("net") => on_host(spec.host_network, "net"),
            Some(_) => on_host(spec.host_ipc, "ipc"),
            None => Some(format!("forbidden sysctl: {name:?} not allowlisted")),
        };
        let allowed = SAFE.contains(&name.as_str()) || allows(&node.allowed_unsafe_sysctls, &name);
        let why = why
            .or_else(|| (!allowed).then(|| format!("forbidden sysctl: {name:?} not allowlisted")));
        if let Some(message) = why {
            return Some(reject("SysctlForbidden", message));
        }
    }
    None
}

/// The namespace that keeps a sysctl apart; `None` for those of the whole node.
fn namespace(name: &str) -> Option<&'static str> {
    let ipc = name.starts_with("fs.mqueue.")
        || name.starts_with("kernel.shm")
        || name.starts_with("kernel.msg")
        || name == "kernel.sem";
    match name {
        name if name.starts_with("net.") => Some("net"),
        _ if ipc => Some("ipc"),
        _ => None,
    }
}

fn allows(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| {
        let pattern = pattern.replace('/', ".");
        match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        }
    })
}

/// A kernel without AppArmor runs what asks for no confinement, or for whatever is there.
fn app_armor(spec: &PodSpec, node: &NodeFacts) -> Option<Verdict> {
    let of_pod = spec
        .security_context
        .as_ref()
        .and_then(|c| c.app_armor_profile.as_ref());
    let containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let of_containers = containers.filter_map(|c| {
        c.security_context
            .as_ref()
            .and_then(|s| s.app_armor_profile.as_ref())
    });
    let needs = |profile: &AppArmorProfile| profile.type_ != "Unconfined";
    let asked = of_pod
        .into_iter()
        .chain(of_containers)
        .find(|profile| needs(profile))?;
    (!node.app_armor).then(|| {
        let message = format!("Cannot enforce AppArmor: AppArmor is not enabled on the host (profile type {:?} was asked for)", asked.type_);
        reject("AppArmor", message)
    })
}
