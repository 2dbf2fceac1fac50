//! Security contexts, host namespaces, sysctls.

use std::collections::BTreeSet;

use super::text;
use crate::core::{AppArmorProfile, PodSpec, SeccompProfile, SecurityContext};
use crate::validate::field::{ErrorList, Path};
use crate::validate::names;

const MAX_ID: i64 = i32::MAX as i64;

pub(super) fn pod(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let Some(context) = &spec.security_context else {
        return;
    };
    let ids = [
        ("fsGroup", context.fs_group),
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ];
    for (field, id) in ids {
        if let Some(id) = id {
            errors.range(&path.child(field), id, 0, MAX_ID);
        }
    }
    for (index, id) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.range(
            &path.child("supplementalGroups").index(index),
            *id,
            0,
            MAX_ID,
        );
    }
    let choices: [(&str, &Option<String>, &[&str]); 3] = [
        (
            "fsGroupChangePolicy",
            &context.fs_group_change_policy,
            &["Always", "OnRootMismatch"],
        ),
        (
            "supplementalGroupsPolicy",
            &context.supplemental_groups_policy,
            &["Merge", "Strict"],
        ),
        (
            "seLinuxChangePolicy",
            &context.se_linux_change_policy,
            &["MountOption", "Recursive"],
        ),
    ];
    for (field, value, known) in choices {
        if let Some(value) = value {
            errors.choice(&path.child(field), value, known);
        }
    }
    sysctls(spec, path, errors);
    if let Some(profile) = &context.seccomp_profile {
        seccomp(profile, &path.child("seccompProfile"), errors);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(profile, &path.child("appArmorProfile"), errors);
    }
}

fn sysctls(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    let list = spec
        .security_context
        .as_ref()
        .and_then(|c| c.sysctls.as_ref());
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list.into_iter().flatten().enumerate() {
        let path = path.child("sysctls").index(index).child("name");
        let dotted = sysctl.name.replace('/', ".");
        if sysctl.name.is_empty() {
            errors.required(&path, "");
        } else if !names::is_sysctl(&sysctl.name) {
            let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.invalid(&path, sysctl.name.as_str(), why);
        } else if !seen.insert(dotted.clone()) {
            errors.duplicate(&path, sysctl.name.as_str());
        }
        let of_network = dotted.starts_with("net.");
        let of_ipc = dotted.starts_with("fs.mqueue.")
            || dotted.starts_with("kernel.shm")
            || dotted.starts_with("kernel.msg")
            || dotted == "kernel.sem";
        if of_network && spec.host_network == Some(true) {
            errors.invalid(
                &path,
                sysctl.name.as_str(),
                "may not be specified when 'hostNetwork' is true",
            );
        }
        if of_ipc && spec.host_ipc == Some(true) {
            errors.invalid(
                &path,
                sysctl.name.as_str(),
                "may not be specified when 'hostIPC' is true",
            );
        }
    }
}

pub(super) fn container(
    context: &SecurityContext,
    spec: &PodSpec,
    path: &Path,
    errors: &mut ErrorList,
) {
    let ids = [
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ];
    for (field, id) in ids {
        if let Some(id) = id {
            errors.range(&path.child(field), id, 0, MAX_ID);
        }
    }
    if let Some(proc_mount) = &context.proc_mount {
        errors.choice(
            &path.child("procMount"),
            proc_mount,
            &["Default", "Unmasked"],
        );
        if proc_mount == "Unmasked" && spec.host_users != Some(false) {
            let why = "`hostUsers` must be false to use `Unmasked`";
            errors.invalid(&path.child("procMount"), proc_mount.as_str(), why);
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(profile, &path.child("seccompProfile"), errors);
    }
    if let Some(profile) = &context.app_armor_profile {
        app_armor(profile, &path.child("appArmorProfile"), errors);
    }
    if context.allow_privilege_escalation == Some(false) {
        let added = context.capabilities.as_ref().and_then(|c| c.add.as_ref());
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(path, serde_json::Value::Null, why);
        }
        let admin = |name: &String| matches!(name.as_str(), "CAP_SYS_ADMIN" | "SYS_ADMIN");
        if added.is_some_and(|list| list.iter().any(admin)) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(path, serde_json::Value::Null, why);
        }
    }
}

fn seccomp(profile: &SeccompProfile, path: &Path, errors: &mut ErrorList) {
    let local = text(profile.localhost_profile.as_ref());
    let known = ["Localhost", "RuntimeDefault", "Unconfined"];
    profile_source(&profile.type_, local, &known, path, errors);
    if profile.type_ == "Localhost" && !local.is_empty() {
        super::containers::local_path(local, &path.child("localhostProfile"), errors);
    }
}

fn app_armor(profile: &AppArmorProfile, path: &Path, errors: &mut ErrorList) {
    let local = text(profile.localhost_profile.as_ref());
    let known = ["Localhost", "RuntimeDefault", "Unconfined"];
    profile_source(&profile.type_, local, &known, path, errors);
    if local.len() > 4095 {
        errors.too_long(&path.child("localhostProfile"), 4095);
    }
}

fn profile_source(kind: &str, local: &str, known: &[&str], path: &Path, errors: &mut ErrorList) {
    match (kind, local.is_empty()) {
        ("", _) => errors.required(&path.child("type"), "type is required"),
        ("Localhost", true) => {
            errors.required(
                &path.child("localhostProfile"),
                "must be set when type is Localhost",
            );
        }
        ("Localhost", false) | (_, true) => errors.choice(&path.child("type"), kind, known),
        (_, false) => {
            errors.choice(&path.child("type"), kind, known);
            let why = "can only be set when type is Localhost";
            errors.invalid(&path.child("localhostProfile"), local, why);
        }
    }
}

/// Which namespaces of the host may be combined with what.
pub(super) fn namespaces(spec: &PodSpec, path: &Path, errors: &mut ErrorList) {
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, why);
    }
    if spec.host_users == Some(false) {
        let host = [
            ("hostPID", spec.host_pid),
            ("hostNetwork", spec.host_network),
            ("hostIPC", spec.host_ipc),
        ];
        for (field, value) in host {
            if value == Some(true) {
                errors.forbidden(&path.child(field), "when `hostUsers` is false");
            }
        }
    }
    if spec.host_network != Some(true) {
        return;
    }
    let lists = [
        ("containers", Some(&spec.containers)),
        ("initContainers", spec.init_containers.as_ref()),
    ];
    for (field, list) in lists {
        for (index, container) in list.into_iter().flatten().enumerate() {
            let path = path.child(field).index(index).child("ports");
            for (at, port) in container.ports.iter().flatten().enumerate() {
                let host_port = port.host_port.unwrap_or_default();
                if host_port != port.container_port {
                    let path = path.index(at).child("hostPort");
                    errors.invalid(
                        &path,
                        host_port,
                        "must match `containerPort` when `hostNetwork` is true",
                    );
                }
            }
        }
    }
}
