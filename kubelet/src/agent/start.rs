//! From configuration to the facts and settings that the rest is given.
//!
//! The pure half of starting: what the machine shows and what was configured, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use keelson_api::quantity::Quantity;
use keelson_api::resources::Amounts;
use keelson_cri::Deadlines;

use super::discover::Machine;
use crate::admit;
use crate::cgroup::{self, plan::page_size_name};
use crate::collect::images::Limits;
use crate::config::Config;
use crate::config::fields::default_eviction_hard;
use crate::evict::threshold::Settings;
use crate::evict::{self, Watch};
use crate::logs::plan::RotationPolicy;
use crate::metrics::names;
use crate::node::Node;
use crate::pod_files::{HostResolv, Paths};
use crate::reconcile::Policy;
use crate::spec::resources::NodeLimits;
use crate::spec::security::Confinement;
use crate::user_namespaces::ranges::UNIT;

/// The kernel that first had tmpfs `noswap`.
const NOSWAP_KERNEL: (u32, u32) = (6, 4);

/// What was found out about this host.
#[derive(Clone, Debug)]
pub struct Found {
    /// The machine.
    pub machine: Machine,
    /// The node's name.
    pub name: String,
    /// Its addresses.
    pub ips: Vec<std::net::IpAddr>,
    /// The host's name service settings.
    pub resolv: Option<HostResolv>,
    /// Name of the runtime.
    pub runtime: String,
    /// The runtime can make mounts read-only all the way down.
    pub recursive_read_only: bool,
}

/// Puts together what this node is.
#[must_use]
pub fn node(config: &Config, found: Found) -> Node {
    let kubelet = &config.kubelet;
    let reserved = |name: &str| {
        let of =
            |map: &BTreeMap<String, String>| map.get(name).map_or(0, |text| amount(text, name));
        of(&kubelet.system_reserved) + of(&kubelet.kube_reserved)
    };
    let machine = found.machine;
    let eviction = kubelet.eviction_hard.get("memory.available");
    let eviction = eviction.map_or(0, |text| threshold(text, machine.memory));
    Node {
        name: found.name,
        ips: found.ips,
        paths: Paths::new(&config.options.root_dir),
        log_root: PathBuf::from(&kubelet.pod_logs_dir),
        log_links: PathBuf::from("/var/log/containers"),
        allocatable: Amounts::from([
            (
                "cpu".to_owned(),
                Quantity::from_milli(machine.milli_cpu - reserved("cpu")),
            ),
            (
                "memory".to_owned(),
                Quantity::from_bytes(machine.memory - reserved("memory") - eviction),
            ),
            (
                "pods".to_owned(),
                Quantity::from_units(most_pods(config, machine.milli_cpu)),
            ),
        ]),
        limits: NodeLimits {
            memory_capacity: machine.memory,
            cfs_quota: kubelet.cpu_cfs_quota,
            cfs_period: micros(kubelet.cpu_cfs_quota_period.to_std()),
            huge_page_sizes: machine
                .huge_pages
                .iter()
                .copied()
                .map(page_size_name)
                .collect(),
        },
        cgroup_policy: cgroup::Policy {
            cpu_quota: kubelet.cpu_cfs_quota,
            period_micros: micros(kubelet.cpu_cfs_quota_period.to_std()),
            pids: u64::try_from(kubelet.pod_pids_limit)
                .ok()
                .filter(|limit| *limit > 0),
            page_sizes: machine.huge_pages,
        },
        confinement: Confinement {
            seccomp_default: kubelet.seccomp_default,
            seccomp_root: format!("{}/seccomp", config.options.root_dir.display()),
            volume_groups: Vec::new(),
            ids: None,
        },
        cluster_dns: kubelet.cluster_dns.clone(),
        cluster_domain: kubelet.cluster_domain.clone(),
        resolv: found.resolv,
        recursive_read_only: found.recursive_read_only,
        tmpfs_noswap: machine.kernel >= NOSWAP_KERNEL,
        selinux: machine.selinux,
        app_armor: machine.app_armor,
        runtime: found.runtime,
    }
}

/// Puts what does not change into the metrics.
pub fn describe(node: &Node, version: cgroup::Version) {
    names::NODE_NAME.set(&[&node.name], 1.0);
    let version = match version {
        cgroup::Version::V1 => 1.0,
        cgroup::Version::V2 => 2.0,
    };
    names::CGROUP_VERSION.set(&[], version);
}

/// What the pods' part of the cgroup tree is limited to: what they may have together, where
/// `enforceNodeAllocatable` says so.
#[must_use]
pub fn enforced(config: &Config, node: &Node) -> Amounts {
    match enforces_pods(config) {
        true => node.allocatable.clone(),
        false => Amounts::new(),
    }
}

/// The thresholds below which pods end, and how long a condition stays.
#[must_use]
pub fn pressure_watch(config: &Config) -> Watch {
    let kubelet = &config.kubelet;
    let defaults = match kubelet.merge_default_eviction_settings {
        true => default_eviction_hard(),
        false => BTreeMap::new(),
    };
    let thresholds = evict::thresholds(Settings {
        hard: &kubelet.eviction_hard,
        soft: &kubelet.eviction_soft,
        soft_grace: &kubelet.eviction_soft_grace_period,
        min_reclaim: &kubelet.eviction_minimum_reclaim,
        defaults: &defaults,
        pods_enforced: enforces_pods(config),
    });
    Watch::new(
        thresholds,
        kubelet.eviction_pressure_transition_period.to_std(),
    )
}

/// `volumeStatsAggPeriod`; `None`: a negative one, volumes are not measured.
#[must_use]
pub fn volume_period(config: &Config) -> Option<Duration> {
    let period = config.kubelet.volume_stats_agg_period;
    (period.nanoseconds() >= 0).then(|| period.to_std())
}

/// `evictionMaxPodGracePeriod`.
#[must_use]
pub fn most_soft_grace(config: &Config) -> Duration {
    let seconds = config.kubelet.eviction_max_pod_grace_period;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// What pods may use of memory together, in bytes, where that is enforced.
#[must_use]
pub fn enforced_memory(config: &Config, node: &Node) -> Option<u64> {
    let memory = enforced(config, node).get("memory")?.value();
    u64::try_from(memory).ok()
}

fn enforces_pods(config: &Config) -> bool {
    let enforced = &config.kubelet.enforce_node_allocatable;
    enforced.iter().any(|what| what == "pods")
}

/// What pods are admitted to.
#[must_use]
pub fn admission(config: &Config, node: &Node) -> admit::NodeFacts {
    let own = [
        ("kubernetes.io/hostname", node.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    admit::NodeFacts {
        name: node.name.clone(),
        allocatable: node.allocatable.clone(),
        labels: own
            .into_iter()
            .chain(config.options.node_labels.iter().cloned())
            .collect(),
        taints: config.kubelet.register_with_taints.clone(),
        app_armor: node.app_armor,
        allowed_unsafe_sysctls: config.kubelet.allowed_unsafe_sysctls.clone(),
        awaited: BTreeMap::new(),
        conditions: BTreeSet::new(),
    }
}

/// The processor's architecture as images and labels name it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `userNamespaces.idsPerPod`.
#[must_use]
pub fn ids_per_pod(config: &Config) -> u32 {
    let asked = config.kubelet.user_namespaces.as_ref();
    asked
        .and_then(|asked| u32::try_from(asked.ids_per_pod).ok())
        .unwrap_or(UNIT)
}

/// `maxPods`, or fewer by `podsPerCore`.
fn most_pods(config: &Config, milli_cpu: i64) -> i64 {
    let most = i64::from(config.kubelet.max_pods);
    match i64::from(config.kubelet.pods_per_core) {
        0 => most,
        per_core => most.min(per_core * milli_cpu / 1000),
    }
}

/// Periods and limits of decisions.
#[must_use]
pub fn policy(config: &Config) -> Policy {
    let longest = config
        .kubelet
        .crash_loop_back_off
        .max_container_restart_period;
    Policy {
        crash_backoff_max: longest.to_std(),
        ..Policy::default()
    }
}

/// When logs are rotated.
#[must_use]
pub fn rotation(config: &Config) -> RotationPolicy {
    let size = Quantity::parse(&config.kubelet.container_log_max_size);
    let size = size.map_or(0, |quantity| quantity.value());
    RotationPolicy {
        max_size: u64::try_from(size).unwrap_or(0),
        max_files: usize::try_from(config.kubelet.container_log_max_files).unwrap_or(0),
    }
}

/// When images are collected.
#[must_use]
pub fn image_limits(config: &Config) -> Limits {
    let kubelet = &config.kubelet;
    let percent = |value: i32| u64::try_from(value).unwrap_or(0);
    let max_age = kubelet.image_maximum_gc_age.to_std();
    Limits {
        high_percent: percent(kubelet.image_gc_high_threshold_percent),
        low_percent: percent(kubelet.image_gc_low_threshold_percent),
        min_age: kubelet.image_minimum_gc_age.to_std(),
        max_age: (!max_age.is_zero()).then_some(max_age),
    }
}

/// How many images are pulled at once.
#[must_use]
pub fn pulls_at_once(config: &Config) -> usize {
    /// Without a limit of the user's: more would only share the link.
    const UNLIMITED: usize = 16;
    let kubelet = &config.kubelet;
    match (
        kubelet.serialize_image_pulls,
        kubelet.max_parallel_image_pulls,
    ) {
        (_, Some(most)) => usize::try_from(most).unwrap_or(1).max(1),
        (true, None) => 1,
        (false, None) => UNLIMITED,
    }
}

/// Deadlines of calls to the runtime.
#[must_use]
pub fn deadlines(config: &Config) -> Deadlines {
    Deadlines::from_request_timeout(config.kubelet.runtime_request_timeout.to_std())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An amount of CPU in milli-CPU, of anything else in units. Validated when it was loaded.
fn amount(text: &str, name: &str) -> i64 {
    let quantity = Quantity::parse(text);
    quantity.map_or(0, |q| {
        if name == "cpu" {
            q.milli_value()
        } else {
            q.value()
        }
    })
}

/// An eviction threshold: an amount, or a percentage of the capacity.
fn threshold(text: &str, capacity: i64) -> i64 {
    match text.strip_suffix('%').map(str::parse::<i64>) {
        Some(Ok(percent)) => capacity / 100 * percent,
        _ => amount(text, "memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_amounts_or_shares() {
        for (text, expected) in [("100Mi", 100 << 20), ("10%", 1000), ("x", 0)] {
            assert_eq!(threshold(text, 10_000), expected, "{text}");
        }
    }
}
