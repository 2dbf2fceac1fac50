//! What `baseline` forbids: ways out of the container that are known. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Pod, Violation, named, quoted, setters, violation};
use crate::admit::fields;

/// Capabilities that containers have anyway.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Settings of the kernel that concern the pod alone, and since which version they may be set.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

const SELINUX: [(&str, u32); 5] = [
    ("", 0),
    ("container_t", 0),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_engine_t", 31),
];

/// All violations, in the order of the checks' names. `stricter` leaves out what `restricted`
/// checks in a stricter way.
pub(super) fn violations(pod: &Pod<'_>, minor: u32, stricter: bool) -> Vec<Violation> {
    let unless_stricter =
        |check: fn(&Pod<'_>) -> Option<Violation>| if stricter { None } else { check(pod) };
    let all = [
        app_armor(pod),
        unless_stricter(capabilities),
        host_namespaces(pod),
        unless_stricter(host_paths),
        host_ports(pod),
        if minor >= 34 { probe_hosts(pod) } else { None },
        privileged(pod),
        proc_mount(pod),
        selinux(pod, minor),
        if minor >= 19 {
            unless_stricter(seccomp)
        } else {
            None
        },
        sysctls(pod, minor),
        host_process(pod),
    ];
    all.into_iter().flatten().collect()
}

fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    fn profile(holder: &Value) -> Option<&str> {
        fields::optional_text(holder, "/securityContext/appArmorProfile/type")
    }
    let forbidden = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let mut values = BTreeSet::new();
    let own = profile(pod.spec).filter(|kind| forbidden(kind));
    values.extend(own.map(str::to_owned));
    let containers = pod.those(|container| profile(container).is_some_and(forbidden));
    values.extend(
        pod.containers()
            .filter_map(profile)
            .filter(|kind| forbidden(kind))
            .map(str::to_owned),
    );
    let fine = |value: &str| {
        value.is_empty() || value == "runtime/default" || value.starts_with("localhost/")
    };
    let annotations: Vec<String> = fields::text_map(pod.metadata, "/annotations")
        .into_iter()
        .filter(|(key, value)| key.starts_with(ANNOTATION) && !fine(value))
        .map(|(key, value)| {
            let text = format!("{key}={value:?}");
            values.insert(value);
            text
        })
        .collect();
    let mut all: Vec<String> = setters(own.is_some(), &containers).into_iter().collect();
    if !annotations.is_empty() {
        let plural = if annotations.len() == 1 { "" } else { "s" };
        all.push(format!("annotation{plural} {}", annotations.join(", ")));
    }
    if all.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().collect();
    let reason = if values.len() == 1 {
        "forbidden AppArmor profile"
    } else {
        "forbidden AppArmor profiles"
    };
    violation(
        reason,
        format!(
            "{} must not set AppArmor profile type to {}",
            all.join(" and "),
            quoted(&values)
        ),
    )
}

fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let forbidden = |container: &Value| -> BTreeSet<String> {
        let added = fields::texts(container, "/securityContext/capabilities/add");
        added
            .filter(|name| !CAPABILITIES.contains(name))
            .map(str::to_owned)
            .collect()
    };
    let containers = pod.those(|container| !forbidden(container).is_empty());
    if containers.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(forbidden).collect();
    let all: Vec<String> = all.into_iter().collect();
    let who = named("container", &containers);
    let detail = format!(
        "{who} must not include {} in securityContext.capabilities.add",
        quoted(&all)
    );
    violation("non-default capabilities", detail)
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let found: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| pod.spec[**field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if found.is_empty() {
        return None;
    }
    violation("host namespaces", found.join(", "))
}

fn host_paths(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = fields::list(pod.spec, "/volumes").iter();
    let found: Vec<&str> = volumes
        .filter(|volume| !fields::value(volume, "/hostPath").is_null())
        .map(|volume| fields::text(volume, "/name"))
        .collect();
    if found.is_empty() {
        return None;
    }
    violation("hostPath volumes", named("volume", &found))
}

fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let used = |container: &Value| -> Vec<i64> {
        let ports = fields::list(container, "/ports").iter();
        ports
            .filter_map(|port| fields::number(port, "/hostPort"))
            .filter(|port| *port != 0)
            .collect()
    };
    let containers = pod.those(|container| !used(container).is_empty());
    if containers.is_empty() {
        return None;
    }
    let ports: BTreeSet<String> = pod
        .containers()
        .flat_map(used)
        .map(|port| port.to_string())
        .collect();
    let (verb, plural) = (
        if containers.len() == 1 { "uses" } else { "use" },
        if ports.len() == 1 { "" } else { "s" },
    );
    let ports: Vec<String> = ports.into_iter().collect();
    let detail = format!(
        "{} {verb} hostPort{plural} {}",
        named("container", &containers),
        ports.join(", ")
    );
    violation("hostPort", detail)
}

fn probe_hosts(pod: &Pod<'_>) -> Option<Violation> {
    const HANDLERS: [&str; 5] = [
        "/livenessProbe",
        "/readinessProbe",
        "/startupProbe",
        "/lifecycle/postStart",
        "/lifecycle/preStop",
    ];
    let hosts = |container: &Value| -> Vec<String> {
        let handlers = HANDLERS.iter().map(|path| fields::value(container, path));
        let hosts = handlers.flat_map(|handler| {
            ["/httpGet/host", "/tcpSocket/host"].map(|path| fields::text(handler, path))
        });
        hosts
            .filter(|host| !host.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let containers = pod.those(|container| !hosts(container).is_empty());
    if containers.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    let (verb, plural) = (
        if containers.len() == 1 { "uses" } else { "use" },
        if all.len() == 1 { "" } else { "s" },
    );
    let all: Vec<String> = all.into_iter().collect();
    let detail = format!(
        "{} {verb} probe or lifecycle host{plural} {}",
        named("container", &containers),
        quoted(&all)
    );
    violation("probe or lifecycle host", detail)
}

fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let found =
        pod.those(|container| fields::flag(container, "/securityContext/privileged") == Some(true));
    if found.is_empty() {
        return None;
    }
    violation(
        "privileged",
        format!(
            "{} must not set securityContext.privileged=true",
            named("container", &found)
        ),
    )
}

fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let kind = |container: &Value| {
        let found = fields::optional_text(container, "/securityContext/procMount")?;
        (found != "Default").then(|| found.to_owned())
    };
    let found = pod.those(|container| kind(container).is_some());
    if found.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = pod.containers().filter_map(kind).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let detail = format!(
        "{} must not set securityContext.procMount to {}",
        named("container", &found),
        quoted(&kinds)
    );
    violation("procMount", detail)
}

fn selinux(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    fn options(holder: &Value) -> &Value {
        fields::value(holder, "/securityContext/seLinuxOptions")
    }
    let bad_type = |holder: &Value| {
        let kind = fields::text(options(holder), "/type");
        !SELINUX
            .iter()
            .any(|(known, since)| *known == kind && *since <= minor)
    };
    let sets = |holder: &Value, field: &str| !fields::text(options(holder), field).is_empty();
    let bad = |holder: &Value| bad_type(holder) || sets(holder, "/user") || sets(holder, "/role");
    let who = setters(bad(pod.spec), &pod.those(bad))?;
    let holders = || std::iter::once(pod.spec).chain(pod.containers());
    let types: BTreeSet<&str> = holders()
        .filter(|h| bad_type(h))
        .map(|h| fields::text(options(h), "/type"))
        .collect();
    let types: Vec<&str> = types.into_iter().collect();
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(named("type", &types));
    }
    for field in ["user", "role"] {
        if holders().any(|holder| sets(holder, &format!("/{field}"))) {
            data.push(format!("{field} may not be set"));
        }
    }
    violation(
        "seLinuxOptions",
        format!(
            "{who} set forbidden securityContext.seLinuxOptions: {}",
            data.join("; ")
        ),
    )
}

fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |holder: &Value| {
        fields::text(holder, "/securityContext/seccompProfile/type") == "Unconfined"
    };
    let who = setters(bad(pod.spec), &pod.those(bad))?;
    violation(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to \"Unconfined\""),
    )
}

fn sysctls(pod: &Pod<'_>, minor: u32) -> Option<Violation> {
    let allowed = |name: &str| {
        SYSCTLS
            .iter()
            .any(|(known, since)| *known == name && *since <= minor)
    };
    let all = fields::list(pod.spec, "/securityContext/sysctls").iter();
    let found: Vec<&str> = all
        .map(|one| fields::text(one, "/name"))
        .filter(|name| !allowed(name))
        .collect();
    if found.is_empty() {
        return None;
    }
    violation("forbidden sysctls", found.join(", "))
}

fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let bad = |holder: &Value| {
        fields::flag(holder, "/securityContext/windowsOptions/hostProcess") == Some(true)
    };
    let who = setters(bad(pod.spec), &pod.those(bad))?;
    violation(
        "hostProcess",
        format!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
