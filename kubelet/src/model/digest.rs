//! From a pod object to its digest: what decisions are made on, defaults filled in as the API
//! fills them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ContainerRestartRule, EphemeralContainer, Lifecycle, Pod, Probe,
};

use super::desired::{
    ContainerSpec, PodSpec, PodUid, ProbeKind, ProbeSpec, PullPolicy, RestartPolicy, RestartRule,
    Role,
};
use super::resources::{NeedsRestart, Resources};
use crate::cgroup::plan::bounds;

impl PodSpec {
    /// The digest of a valid pod. What is missing gets the API's default.
    #[must_use]
    pub fn from_pod(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let spec = pod.spec.clone().unwrap_or_default();
        let policy =
            restart_policy(spec.restart_policy.as_deref()).unwrap_or(RestartPolicy::Always);
        let init = spec.init_containers.iter().flatten();
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        Self {
            uid: PodUid::from(meta.uid.as_deref().unwrap_or_default()),
            namespace: meta.namespace.as_deref().unwrap_or("default").into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            restart_policy: policy,
            grace: spec
                .termination_grace_period_seconds
                .map_or(Duration::from_secs(30), seconds),
            active_deadline: spec.active_deadline_seconds.map(seconds),
            host_network: spec.host_network.unwrap_or_default(),
            resources: bounds(pod),
            containers: init
                .map(|c| container_spec(c, init_role(c), policy))
                .chain(
                    spec.containers
                        .iter()
                        .map(|c| container_spec(c, Role::Main, policy)),
                )
                .chain(ephemeral.map(ephemeral_spec))
                .collect(),
        }
    }
}

fn container_spec(c: &Container, role: Role, pod_policy: RestartPolicy) -> ContainerSpec {
    let own_policy = restart_policy(c.restart_policy.as_deref());
    ContainerSpec {
        name: c.name.as_str().into(),
        role,
        image: image(c.image.as_deref()),
        pull_policy: pull_policy(c.image_pull_policy.as_deref(), c.image.as_deref()),
        restart_policy: own_policy.unwrap_or(pod_policy),
        restart_rules: c
            .restart_policy_rules
            .iter()
            .flatten()
            .filter_map(restart_rule)
            .collect(),
        probes: probes([
            (ProbeKind::Startup, &c.startup_probe),
            (ProbeKind::Liveness, &c.liveness_probe),
            (ProbeKind::Readiness, &c.readiness_probe),
        ]),
        post_start: has_hook(c.lifecycle.as_ref(), |l| l.post_start.is_some()),
        pre_stop: has_hook(c.lifecycle.as_ref(), |l| l.pre_stop.is_some()),
        resources: Resources::of(c.resources.as_ref()),
        needs_restart: NeedsRestart::of(c),
        hash: hash_of(&[&c.name, c.image.as_deref().unwrap_or_default()]),
    }
}

fn ephemeral_spec(c: &EphemeralContainer) -> ContainerSpec {
    ContainerSpec {
        name: c.name.as_str().into(),
        role: Role::Ephemeral,
        image: image(c.image.as_deref()),
        pull_policy: pull_policy(c.image_pull_policy.as_deref(), c.image.as_deref()),
        restart_policy: RestartPolicy::Never,
        restart_rules: Vec::new(),
        probes: BTreeMap::new(),
        post_start: false,
        pre_stop: false,
        resources: Resources::default(),
        needs_restart: NeedsRestart::default(),
        hash: hash_of(&[&c.name, c.image.as_deref().unwrap_or_default()]),
    }
}

fn init_role(c: &Container) -> Role {
    if c.restart_policy.as_deref() == Some("Always") {
        Role::Sidecar
    } else {
        Role::Init
    }
}

fn image(written: Option<&str>) -> Arc<str> {
    written.unwrap_or_default().into()
}

fn has_hook(lifecycle: Option<&Lifecycle>, which: impl Fn(&Lifecycle) -> bool) -> bool {
    lifecycle.is_some_and(which)
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or(0))
}

fn restart_policy(written: Option<&str>) -> Option<RestartPolicy> {
    match written? {
        "Always" => Some(RestartPolicy::Always),
        "OnFailure" => Some(RestartPolicy::OnFailure),
        "Never" => Some(RestartPolicy::Never),
        _ => None,
    }
}

/// Without a policy: `Always` for the tag `latest` and for none, else `IfNotPresent`.
fn pull_policy(written: Option<&str>, image: Option<&str>) -> PullPolicy {
    match written {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some(_) => PullPolicy::IfNotPresent,
        None if is_latest(image.unwrap_or_default()) => PullPolicy::Always,
        None => PullPolicy::IfNotPresent,
    }
}

fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn restart_rule(rule: &ContainerRestartRule) -> Option<RestartRule> {
    let codes = rule.exit_codes.as_ref()?;
    (rule.action == "Restart").then(|| RestartRule {
        exit_codes: codes.values.clone().unwrap_or_default(),
        negated: codes.operator == "NotIn",
    })
}

fn probes(written: [(ProbeKind, &Option<Probe>); 3]) -> BTreeMap<ProbeKind, ProbeSpec> {
    let set = written.into_iter();
    set.filter_map(|(kind, probe)| Some((kind, probe_spec(probe.as_ref()?))))
        .collect()
}

fn probe_spec(p: &Probe) -> ProbeSpec {
    let at_least_one = |n: Option<i32>, default: u32| match n {
        Some(n) if n > 0 => u32::try_from(n).unwrap_or(default),
        _ => default,
    };
    let secs = |n: u32| Duration::from_secs(n.into());
    ProbeSpec {
        initial_delay: seconds(p.initial_delay_seconds.unwrap_or(0).into()),
        period: secs(at_least_one(p.period_seconds, 10)),
        timeout: secs(at_least_one(p.timeout_seconds, 1)),
        success_threshold: at_least_one(p.success_threshold, 1),
        failure_threshold: at_least_one(p.failure_threshold, 3),
        grace: p.termination_grace_period_seconds.map(seconds),
    }
}

/// A hash (FNV-1a) that is the same on every machine and in every version: it is written into
/// container annotations.
#[must_use]
pub fn hash_of(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
