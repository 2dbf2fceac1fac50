//! Users, groups, capabilities, namespaces and kernel confinement: `securityContext` of pod and
//! container as the runtime takes it.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSecurityContext, PodSpec, SELinuxOptions, SeccompProfile,
    SecurityContext,
};
use keelson_cri::config::{
    Capability, IdMapping, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile,
    SupplementalGroupsPolicy, UserNamespace,
};

use super::SpecError;
use crate::user_namespaces::IdRange;

/// Kernel files that a container must not read, unless `procMount` is `Unmasked`.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Kernel files that a container must not write, unless `procMount` is `Unmasked`.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The user that an image names for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Its number, when the image gives one.
    pub uid: Option<i64>,
    /// Its name, when the image gives a name instead.
    pub username: String,
}

/// Security settings of the pod that do not come from its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// `seccompDefault`: without a profile of its own a container gets the runtime's.
    pub seccomp_default: bool,
    /// Folder of `Localhost` seccomp profiles (`/var/lib/kubelet/seccomp`).
    pub seccomp_root: String,
    /// Extra groups from mounted volumes.
    pub volume_groups: Vec<i64>,
    /// The ids of the host behind a pod with `hostUsers: false`; `None`: the host's own.
    pub ids: Option<IdRange>,
}

impl Confinement {
    /// The same for a pod with ids of its own.
    #[must_use]
    pub fn with_ids(&self, ids: Option<IdRange>) -> Self {
        Self {
            ids,
            ..self.clone()
        }
    }

    /// How ids inside of the pod map to ids of the host; none without a user namespace.
    #[must_use]
    pub fn id_mappings(&self) -> Vec<IdMapping> {
        let mapping = |ids: IdRange| IdMapping {
            host_id: ids.first,
            container_id: 0,
            length: ids.length,
        };
        self.ids.map(mapping).into_iter().collect()
    }
}

/// Namespaces of the sandbox or of one container.
#[must_use]
pub fn namespaces(
    pod: &PodSpec,
    target: Option<&str>,
    confinement: &Confinement,
) -> NamespaceOption {
    let node_or = |node: Option<bool>, otherwise| match node {
        Some(true) => NamespaceMode::Node,
        _ => otherwise,
    };
    let shared_pid = match pod.share_process_namespace {
        Some(true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    let pid = match target {
        Some(_) => NamespaceMode::Target,
        None => node_or(pod.host_pid, shared_pid),
    };
    NamespaceOption {
        network: node_or(pod.host_network, NamespaceMode::Pod).into(),
        pid: pid.into(),
        ipc: node_or(pod.host_ipc, NamespaceMode::Pod).into(),
        target_id: target.unwrap_or_default().to_owned(),
        userns_options: Some(user_namespace(confinement)),
    }
}

fn user_namespace(confinement: &Confinement) -> UserNamespace {
    let mode = match confinement.ids {
        Some(_) => NamespaceMode::Pod,
        None => NamespaceMode::Node,
    };
    UserNamespace {
        mode: mode.into(),
        uids: confinement.id_mappings(),
        gids: confinement.id_mappings(),
    }
}

/// Security context of the sandbox.
#[must_use]
pub fn sandbox_security(
    pod: &PodSpec,
    privileged: bool,
    confinement: &Confinement,
) -> LinuxSandboxSecurityContext {
    let empty = PodSecurityContext::default();
    let own = pod.security_context.as_ref().unwrap_or(&empty);
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, None, confinement)),
        selinux_options: own.se_linux_options.as_ref().map(selinux),
        run_as_user: own.run_as_user.map(number),
        run_as_group: own.run_as_group.map(number),
        supplemental_groups: groups(own, confinement),
        supplemental_groups_policy: groups_policy(own).into(),
        privileged,
        // The sandbox's own process is ours and needs nothing: the runtime's profile always.
        seccomp: Some(profile(ProfileType::RuntimeDefault, "")),
        ..Default::default()
    }
}

/// Security context of a container; checks `runAsNonRoot` against the image's user.
///
/// # Errors
/// [`SpecError::RunsAsRoot`], and [`SpecError::Invalid`] for a profile that can't be used.
pub fn container_security(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    confinement: &Confinement,
    target: Option<&str>,
) -> Result<LinuxContainerSecurityContext, SpecError> {
    let empty_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty_spec);
    let (empty_pod, empty_own) = (PodSecurityContext::default(), SecurityContext::default());
    let pod_wide = spec.security_context.as_ref().unwrap_or(&empty_pod);
    let own = container.security_context.as_ref().unwrap_or(&empty_own);

    let run_as_user = own.run_as_user.or(pod_wide.run_as_user);
    if own.run_as_non_root.or(pod_wide.run_as_non_root) == Some(true) {
        refuse_root(&container.name, run_as_user, image)?;
    }
    let privileged = own.privileged.unwrap_or(false);
    let user = run_as_user.or(image.uid);
    let masks = own.proc_mount.as_deref() != Some("Unmasked") && !privileged;
    let paths = |list: &[&str]| match masks {
        true => list.iter().map(ToString::to_string).collect(),
        false => Vec::new(),
    };
    Ok(LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(|wanted| Capability {
            add_capabilities: wanted.add.clone().unwrap_or_default(),
            drop_capabilities: wanted.drop.clone().unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged,
        namespace_options: Some(namespaces(spec, target, confinement)),
        selinux_options: own
            .se_linux_options
            .as_ref()
            .or(pod_wide.se_linux_options.as_ref())
            .map(selinux),
        run_as_user: user.map(number),
        run_as_username: if user.is_none() {
            image.username.clone()
        } else {
            String::new()
        },
        run_as_group: own.run_as_group.or(pod_wide.run_as_group).map(number),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        supplemental_groups: groups(pod_wide, confinement),
        supplemental_groups_policy: groups_policy(pod_wide).into(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp(
            own,
            pod_wide,
            privileged,
            confinement,
            &container.name,
        )?),
        apparmor: app_armor(own, pod_wide, privileged, &container.name)?,
        ..Default::default()
    })
}

fn refuse_root(container: &str, user: Option<i64>, image: &ImageUser) -> Result<(), SpecError> {
    let refuse = |detail: String| {
        Err(SpecError::RunsAsRoot {
            container: container.to_owned(),
            detail,
        })
    };
    match (user, image.uid) {
        (Some(0), _) => refuse("container's runAsUser breaks non-root policy".to_owned()),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => refuse("image will run as root".to_owned()),
        (None, Some(_)) => Ok(()),
        (None, None) if image.username.is_empty() => refuse("image will run as root".to_owned()),
        (None, None) => refuse(format!(
            "image has non-numeric user ({}), cannot verify user is non-root",
            image.username
        )),
    }
}

fn number(value: i64) -> Int64Value {
    Int64Value { value }
}

fn groups(pod: &PodSecurityContext, confinement: &Confinement) -> Vec<i64> {
    let own = pod.supplemental_groups.iter().flatten();
    let mut all: Vec<i64> = own
        .chain(&pod.fs_group)
        .chain(&confinement.volume_groups)
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn groups_policy(pod: &PodSecurityContext) -> SupplementalGroupsPolicy {
    match pod.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}

fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: options.user.clone().unwrap_or_default(),
        role: options.role.clone().unwrap_or_default(),
        r#type: options.type_.clone().unwrap_or_default(),
        level: options.level.clone().unwrap_or_default(),
    }
}

fn profile(kind: ProfileType, localhost: &str) -> SecurityProfile {
    SecurityProfile {
        profile_type: kind.into(),
        localhost_ref: localhost.to_owned(),
    }
}

fn seccomp(
    own: &SecurityContext,
    pod: &PodSecurityContext,
    privileged: bool,
    confinement: &Confinement,
    container: &str,
) -> Result<SecurityProfile, SpecError> {
    let wanted = own
        .seccomp_profile
        .as_ref()
        .or(pod.seccomp_profile.as_ref());
    let Some(SeccompProfile {
        type_,
        localhost_profile,
    }) = wanted
    else {
        let kind = match confinement.seccomp_default && !privileged {
            true => ProfileType::RuntimeDefault,
            false => ProfileType::Unconfined,
        };
        return Ok(profile(kind, ""));
    };
    match (type_.as_str(), localhost_profile) {
        ("RuntimeDefault", _) => Ok(profile(ProfileType::RuntimeDefault, "")),
        ("Unconfined", _) => Ok(profile(ProfileType::Unconfined, "")),
        ("Localhost", Some(name)) if inside(name) => {
            let path = format!("{}/{name}", confinement.seccomp_root);
            Ok(profile(ProfileType::Localhost, &path))
        }
        _ => Err(SpecError::Invalid {
            field: format!("securityContext.seccompProfile of container {container}"),
            detail: "use RuntimeDefault, Unconfined, or Localhost with a localhostProfile that \
                     is a path below the seccomp folder"
                .to_owned(),
        }),
    }
}

fn inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn app_armor(
    own: &SecurityContext,
    pod: &PodSecurityContext,
    privileged: bool,
    container: &str,
) -> Result<Option<SecurityProfile>, SpecError> {
    let wanted = own
        .app_armor_profile
        .as_ref()
        .or(pod.app_armor_profile.as_ref());
    let Some(AppArmorProfile {
        type_,
        localhost_profile,
    }) = wanted
    else {
        return Ok(None);
    };
    if privileged {
        return Ok(None);
    }
    match (type_.as_str(), localhost_profile) {
        ("RuntimeDefault", _) => Ok(Some(profile(ProfileType::RuntimeDefault, ""))),
        ("Unconfined", _) => Ok(Some(profile(ProfileType::Unconfined, ""))),
        ("Localhost", Some(name)) if !name.is_empty() => {
            Ok(Some(profile(ProfileType::Localhost, name)))
        }
        _ => Err(SpecError::Invalid {
            field: format!("securityContext.appArmorProfile of container {container}"),
            detail: "use RuntimeDefault, Unconfined, or Localhost with a localhostProfile"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_root(user: Option<i64>, uid: Option<i64>, name: &str, expected: Option<&str>) {
        let image = ImageUser {
            uid,
            username: name.to_owned(),
        };
        let refused = refuse_root("c", user, &image)
            .err()
            .map(|error| error.to_string());
        assert_eq!(
            refused.is_some(),
            expected.is_some(),
            "{user:?} {uid:?} {name:?}"
        );
        if let (Some(text), Some(part)) = (refused, expected) {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn run_as_non_root_is_verified() {
        check_root(Some(0), None, "", Some("runAsUser breaks"));
        check_root(Some(7), Some(0), "", None);
        check_root(None, Some(0), "", Some("image will run as root"));
        check_root(None, Some(5), "", None);
        check_root(None, None, "", Some("image will run as root"));
        check_root(None, None, "www", Some("non-numeric user (www)"));
    }

    #[test]
    fn localhost_profiles_stay_inside() {
        for (path, fits) in [
            ("a/b.json", true),
            ("/etc/x", false),
            ("a/../../x", false),
            ("", false),
        ] {
            assert_eq!(inside(path), fits, "{path}");
        }
    }

    #[test]
    fn user_namespaces_carry_the_ids_of_the_pod() {
        let of = |ids| {
            let confinement = Confinement::default().with_ids(ids);
            let asked = namespaces(&PodSpec::default(), None, &confinement);
            asked.userns_options.unwrap()
        };
        let node = of(None);
        assert_eq!(node.mode, i32::from(NamespaceMode::Node));
        assert!(node.uids.is_empty() && node.gids.is_empty());
        let own = of(Some(IdRange {
            first: 131_072,
            length: 65_536,
        }));
        assert_eq!(own.mode, i32::from(NamespaceMode::Pod));
        let mapping = IdMapping {
            host_id: 131_072,
            container_id: 0,
            length: 65_536,
        };
        assert_eq!(own.uids, [mapping]);
        assert_eq!(own.gids, own.uids);
    }

    #[test]
    fn process_namespaces() {
        let check = |pod: PodSpec, target, expected: NamespaceMode| {
            let namespaces = namespaces(&pod, target, &Confinement::default());
            assert_eq!(namespaces.pid, i32::from(expected));
        };
        let of = |host, shared| PodSpec {
            host_pid: host,
            share_process_namespace: shared,
            ..Default::default()
        };
        check(of(None, None), None, NamespaceMode::Container);
        check(of(None, Some(true)), None, NamespaceMode::Pod);
        check(of(Some(true), None), None, NamespaceMode::Node);
        check(of(Some(true), None), Some("id"), NamespaceMode::Target);
    }
}
