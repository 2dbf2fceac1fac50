//! Containers of all three kinds: names, images, ports, mounts, and what only some may have.

use std::collections::{BTreeMap, BTreeSet};

use super::volumes::VolumeKind;
use super::{env, probes, resources, security, text};
use crate::core::{Container, ContainerPort, PodSpec, VolumeDevice, VolumeMount};
use crate::resources::is_sidecar;
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

/// Volumes of the pod by name.
pub(super) type Volumes = BTreeMap<String, VolumeKind>;

pub(super) fn validate(spec: &PodSpec, path: &Path, volumes: &Volumes, errors: &mut ErrorList) {
    if spec.containers.is_empty() {
        errors.required(&path.child("containers"), "");
    }
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let path = path.child("containers").index(index);
        name(&container.name, &path, &mut names, errors);
        common(container, spec, &path, volumes, errors);
        restart(container, &path, errors);
        ports(
            container.ports.as_ref(),
            &path.child("ports"),
            &mut host_ports,
            errors,
        );
        lifecycle_and_probes(container, &path, errors);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = path.child("initContainers").index(index);
        name(&container.name, &path, &mut names, errors);
        common(container, spec, &path, volumes, errors);
        restart(container, &path, errors);
        init(container, &path, &mut host_ports, errors);
    }
    ephemeral(spec, path, &mut names, errors);
}

fn name(name: &str, path: &Path, seen: &mut BTreeSet<String>, errors: &mut ErrorList) {
    let path = path.child("name");
    if name.is_empty() {
        errors.required(&path, "");
        return;
    }
    errors.check(&path, name, names::dns_label(name));
    if !seen.insert(name.to_owned()) {
        errors.duplicate(&path, name);
    }
}

/// What holds for regular and init containers alike.
fn common(c: &Container, spec: &PodSpec, path: &Path, volumes: &Volumes, errors: &mut ErrorList) {
    image(text(c.image.as_ref()), &path.child("image"), errors);
    let policy = text(c.image_pull_policy.as_ref());
    match policy {
        "" => errors.required(&path.child("imagePullPolicy"), ""),
        _ => {
            let choices = ["Always", "IfNotPresent", "Never"];
            errors.choice(&path.child("imagePullPolicy"), policy, &choices);
        }
    }
    let policy = text(c.termination_message_policy.as_ref());
    let choices = ["File", "FallbackToLogsOnError"];
    errors.choice(&path.child("terminationMessagePolicy"), policy, &choices);
    env::validate(c, volumes, path, errors);
    mounts(c, path, volumes, errors);
    resources::container(c, spec, path, errors);
    if let Some(context) = &c.security_context {
        security::container(context, spec, &path.child("securityContext"), errors);
    }
}

fn image(image: &str, path: &Path, errors: &mut ErrorList) {
    if image.is_empty() {
        errors.required(path, "");
    } else if image.trim() != image {
        errors.invalid(path, image, "must not have leading or trailing whitespace");
    }
}

fn restart(c: &Container, path: &Path, errors: &mut ErrorList) {
    let policy = c.restart_policy.as_deref();
    if let Some(policy) = policy {
        let choices = ["Always", "OnFailure", "Never"];
        errors.choice(&path.child("restartPolicy"), policy, &choices);
    }
    let rules = c.restart_policy_rules.as_deref().unwrap_or_default();
    let path = path.child("restartPolicyRules");
    if !rules.is_empty() && policy.is_none() {
        errors.required(
            &path,
            "must specify restartPolicy when restart rules are used",
        );
    }
    if rules.len() > 20 {
        errors.too_many(&path, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        errors.choice(
            &path.child("action"),
            &rule.action,
            &["Restart", "RestartAllContainers"],
        );
        let Some(codes) = &rule.exit_codes else {
            errors.required(&path.child("exitCodes"), "must be specified");
            continue;
        };
        let path = path.child("exitCodes");
        errors.choice(&path.child("operator"), &codes.operator, &["In", "NotIn"]);
        let count = codes.values.as_ref().map_or(0, Vec::len);
        if count > 255 {
            errors.too_many(&path.child("values"), count, 255);
        }
    }
}

fn lifecycle_and_probes(c: &Container, path: &Path, errors: &mut ErrorList) {
    if let Some(lifecycle) = &c.lifecycle {
        probes::lifecycle(lifecycle, c, &path.child("lifecycle"), errors);
    }
    probes::validate(c, path, errors);
}

/// Init containers that end have no probes and no hooks.
fn init(c: &Container, path: &Path, host_ports: &mut HostPorts, errors: &mut ErrorList) {
    if is_sidecar(c) {
        ports(c.ports.as_ref(), &path.child("ports"), host_ports, errors);
        lifecycle_and_probes(c, path, errors);
        return;
    }
    // One after the other: their host ports do not collide with each other.
    ports(
        c.ports.as_ref(),
        &path.child("ports"),
        &mut HostPorts::new(),
        errors,
    );
    let never = [
        ("lifecycle", c.lifecycle.is_some()),
        ("livenessProbe", c.liveness_probe.is_some()),
        ("readinessProbe", c.readiness_probe.is_some()),
        ("startupProbe", c.startup_probe.is_some()),
    ];
    for (field, set) in never {
        if set {
            let why = "may not be set for init containers without restartPolicy=Always";
            errors.forbidden(&path.child(field), why);
        }
    }
}

fn ephemeral(spec: &PodSpec, path: &Path, seen: &mut BTreeSet<String>, errors: &mut ErrorList) {
    let targets: BTreeSet<_> = spec.containers.iter().map(|c| c.name.as_str()).collect();
    for (index, c) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = path.child("ephemeralContainers").index(index);
        name(&c.name, &path, seen, errors);
        image(text(c.image.as_ref()), &path.child("image"), errors);
        if let Some(target) = c.target_container_name.as_ref().filter(|t| !t.is_empty())
            && !targets.contains(target.as_str())
        {
            errors.not_found(&path.child("targetContainerName"), target.as_str());
        }
        let never = [
            ("ports", c.ports.is_some()),
            ("lifecycle", c.lifecycle.is_some()),
            ("livenessProbe", c.liveness_probe.is_some()),
            ("readinessProbe", c.readiness_probe.is_some()),
            ("startupProbe", c.startup_probe.is_some()),
            (
                "resources",
                c.resources
                    .as_ref()
                    .is_some_and(|r| *r != Default::default()),
            ),
            ("restartPolicy", c.restart_policy.is_some()),
        ];
        for (field, set) in never {
            if set {
                let why = "cannot be set for an Ephemeral Container";
                errors.forbidden(&path.child(field), why);
            }
        }
        let sub_paths = c.volume_mounts.iter().flatten().enumerate();
        for (at, mount) in sub_paths {
            if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
                let path = path.child("volumeMounts").index(at).child("subPath");
                errors.forbidden(&path, "cannot be set for an Ephemeral Container");
            }
        }
    }
}

/// Protocol, address and number of host ports that are taken.
type HostPorts = BTreeSet<(String, String, i32)>;

fn ports(
    ports: Option<&Vec<ContainerPort>>,
    path: &Path,
    host_ports: &mut HostPorts,
    errors: &mut ErrorList,
) {
    let mut seen = BTreeSet::new();
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let path = path.index(index);
        if let Some(name) = port.name.as_ref().filter(|n| !n.is_empty()) {
            errors.check(&path.child("name"), name, names::port_name(name));
            if !seen.insert(name) {
                errors.duplicate(&path.child("name"), name.as_str());
            }
        }
        match port.container_port {
            0 => errors.required(&path.child("containerPort"), ""),
            number => errors.range(&path.child("containerPort"), number.into(), 1, 65_535),
        }
        let protocol = text(port.protocol.as_ref());
        match protocol {
            "" => errors.required(&path.child("protocol"), ""),
            _ => errors.choice(&path.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
        }
        let address = text(port.host_ip.as_ref());
        if !address.is_empty() {
            errors.check(&path.child("hostIP"), address, names::ip_address(address));
        }
        let number = port.host_port.unwrap_or_default();
        if number != 0 {
            errors.range(&path.child("hostPort"), number.into(), 1, 65_535);
            if !host_ports.insert((protocol.to_owned(), address.to_owned(), number)) {
                errors.duplicate(&path.child("hostPort"), number);
            }
        }
    }
}

fn mounts(c: &Container, path: &Path, volumes: &Volumes, errors: &mut ErrorList) {
    let devices: &[VolumeDevice] = c.volume_devices.as_deref().unwrap_or_default();
    let device_names: BTreeSet<_> = devices.iter().map(|d| d.name.as_str()).collect();
    let device_paths: BTreeSet<_> = devices.iter().map(|d| d.device_path.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (index, mount) in c.volume_mounts.iter().flatten().enumerate() {
        let path = path.child("volumeMounts").index(index);
        if mount.name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if !volumes.contains_key(&mount.name) {
            errors.not_found(&path.child("name"), mount.name.as_str());
        }
        if device_names.contains(mount.name.as_str()) {
            let why = "must not already exist in volumeDevices";
            errors.invalid(&path.child("name"), mount.name.as_str(), why);
        }
        if mount.mount_path.is_empty() {
            errors.required(&path.child("mountPath"), "");
        } else if !seen.insert(mount.mount_path.as_str()) {
            let why = "must be unique";
            errors.invalid(&path.child("mountPath"), mount.mount_path.as_str(), why);
        }
        if device_paths.contains(mount.mount_path.as_str()) {
            let why = "must not already exist as a path in volumeDevices";
            errors.invalid(&path.child("mountPath"), mount.mount_path.as_str(), why);
        }
        mount_options(mount, c, &path, errors);
    }
    for (index, device) in devices.iter().enumerate() {
        let path = path.child("volumeDevices").index(index);
        match volumes.get(&device.name) {
            _ if device.name.is_empty() => errors.required(&path.child("name"), ""),
            Some(VolumeKind::Claim) => {}
            Some(_) => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid(&path.child("name"), device.name.as_str(), why);
            }
            None => errors.not_found(&path.child("name"), device.name.as_str()),
        }
        if device.device_path.is_empty() {
            errors.required(&path.child("devicePath"), "");
        } else {
            relative_or_clean(&device.device_path, &path.child("devicePath"), errors);
        }
    }
}

fn mount_options(mount: &VolumeMount, c: &Container, path: &Path, errors: &mut ErrorList) {
    let sub_path = text(mount.sub_path.as_ref());
    let expression = text(mount.sub_path_expr.as_ref());
    if !sub_path.is_empty() {
        local_path(sub_path, &path.child("subPath"), errors);
    }
    if !expression.is_empty() {
        if !sub_path.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&path.child("subPathExpr"), expression, why);
        }
        local_path(expression, &path.child("subPathExpr"), errors);
    }
    if let Some(propagation) = &mount.mount_propagation {
        let at = path.child("mountPropagation");
        errors.choice(
            &at,
            propagation,
            &["None", "HostToContainer", "Bidirectional"],
        );
        let privileged = c.security_context.as_ref().and_then(|s| s.privileged) == Some(true);
        if propagation == "Bidirectional" && !privileged {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.forbidden(&at, why);
        }
    }
    let recursive = text(mount.recursive_read_only.as_ref());
    if !recursive.is_empty() && recursive != "Disabled" {
        let at = path.child("recursiveReadOnly");
        errors.choice(&at, recursive, &["Disabled", "IfPossible", "Enabled"]);
        if mount.read_only != Some(true) {
            errors.forbidden(&at, "may only be specified when readOnly is true");
        }
        if !matches!(mount.mount_propagation.as_deref(), None | Some("None")) {
            let why = "may only be specified when mountPropagation is None or not specified";
            errors.forbidden(&at, why);
        }
    }
}

/// A path below a volume: relative, and never above it.
pub(super) fn local_path(text: &str, path: &Path, errors: &mut ErrorList) {
    if text.starts_with('/') {
        errors.invalid(path, text, "must be a relative path");
    }
    relative_or_clean(text, path, errors);
}

/// A path that does not go up.
pub(super) fn relative_or_clean(text: &str, path: &Path, errors: &mut ErrorList) {
    if text.split('/').any(|part| part == "..") {
        errors.invalid(path, text, "must not contain '..'");
    }
}
