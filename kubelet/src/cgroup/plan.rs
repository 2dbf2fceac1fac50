//! Which limits the cgroups of the node, the QoS tiers and a pod get. Pure, and independent of
//! the cgroup version.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use keelson_api::qos;
use keelson_api::quantity::Quantity;
use keelson_api::resources::{Amounts, pod_limits as limits_of, pod_requests, read};

use super::names::Tier;
use crate::model::Resources;

/// The least CPU weight, in v1 terms: what best-effort pods get.
pub const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const SHARES_PER_CPU: u64 = 1024;
/// Shortest CPU time the kernel enforces, in microseconds.
const MIN_QUOTA_MICROS: u64 = 1000;

/// An upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// None.
    Unlimited,
    /// So many bytes or processes.
    At(u64),
}

/// CPU time per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of CPU time in a period.
    pub quota: Bound,
    /// Microseconds.
    pub period_micros: u64,
}

/// Values for the files of one cgroup. `None`, or a missing key, leaves a value alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Relative CPU weight in v1 terms, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// CPU bandwidth.
    pub cpu_quota: Option<CpuQuota>,
    /// Bytes of memory.
    pub memory: Option<Bound>,
    /// Number of processes and threads.
    pub pids: Option<Bound>,
    /// Bytes of huge pages, by page size in bytes.
    pub huge_pages: BTreeMap<u64, Bound>,
    /// Further files of cgroup v2 and their values; v1 ignores them.
    pub unified: BTreeMap<String, String>,
}

/// What the configuration and the machine say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `cpuCFSQuota`: CPU limits are enforced.
    pub cpu_quota: bool,
    /// `cpuCFSQuotaPeriod` in microseconds.
    pub period_micros: u64,
    /// `podPidsLimit`, if it is positive.
    pub pids: Option<u64>,
    /// Huge page sizes of this machine, in bytes.
    pub page_sizes: Vec<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cpu_quota: true,
            period_micros: 100_000,
            pids: None,
            page_sizes: Vec::new(),
        }
    }
}

/// CPU shares of so many thousandths of a CPU.
#[must_use]
pub fn shares(milli_cpu: u64) -> u64 {
    (milli_cpu.saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CPU time in microseconds that so many thousandths of a CPU are per period.
#[must_use]
pub fn quota(milli_cpu: u64, period_micros: u64) -> u64 {
    (milli_cpu.saturating_mul(period_micros) / 1000).max(MIN_QUOTA_MICROS)
}

/// Limits of the cgroup of one pod. A limit is set only where every container has one, or the
/// pod as a whole does: a container without a limit may use the node.
#[must_use]
pub fn pod_limits(pod: &Pod, tier: Tier, policy: &Policy) -> Limits {
    let (requests, limits) = (pod_requests(pod), limits_of(pod));
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let bound = |resource: &str| {
        let found = limits.get(resource);
        found.filter(|limit| limit.signum() > 0 && is_bounded(spec, tier, resource))
    };
    let cpu = bound("cpu").filter(|_| policy.cpu_quota).map(milli);
    let quota = cpu.map_or(Bound::Unlimited, |cpu| {
        Bound::At(quota(cpu, policy.period_micros))
    });
    Limits {
        cpu_shares: Some(match tier {
            Tier::BestEffort => MIN_SHARES,
            _ => shares(requests.get("cpu").map_or(0, milli)),
        }),
        cpu_quota: Some(CpuQuota {
            quota,
            period_micros: policy.period_micros,
        }),
        memory: Some(bound("memory").map_or(Bound::Unlimited, |limit| Bound::At(units(limit)))),
        pids: Some(policy.pids.map_or(Bound::Unlimited, Bound::At)),
        huge_pages: huge_pages(&requests, &policy.page_sizes),
        unified: BTreeMap::new(),
    }
}

/// Limits of a pod's cgroup after a change of resources; all others stay.
#[must_use]
pub fn resized(to: Resources, policy: &Policy) -> Limits {
    let quota = match to.cpu_limit {
        limit if limit > 0 && policy.cpu_quota => Bound::At(quota(limit, policy.period_micros)),
        _ => Bound::Unlimited,
    };
    Limits {
        cpu_shares: Some(shares(to.cpu_request)),
        cpu_quota: Some(CpuQuota {
            quota,
            period_micros: policy.period_micros,
        }),
        memory: Some(match to.memory_limit {
            0 => Bound::Unlimited,
            limit => Bound::At(limit),
        }),
        ..Limits::default()
    }
}

/// CPU and memory that [`pod_limits`] gives to the cgroup of a pod, as numbers.
#[must_use]
pub fn bounds(pod: &Pod) -> Resources {
    let mut limits = limits_of(pod);
    let tier = Tier::from(qos::class(pod));
    match &pod.spec {
        Some(spec) => limits.retain(|resource, _| is_bounded(spec, tier, resource)),
        None => limits.clear(),
    }
    Resources::of_amounts(&pod_requests(pod), &limits)
}

fn is_bounded(spec: &PodSpec, tier: Tier, resource: &str) -> bool {
    tier == Tier::Guaranteed || tier == Tier::Burstable && is_declared(spec, resource)
}

fn milli(amount: &Quantity) -> u64 {
    u64::try_from(amount.milli_value()).unwrap_or(0)
}

fn units(amount: &Quantity) -> u64 {
    u64::try_from(amount.value()).unwrap_or(0)
}

/// Whether the pod, or else every one of its containers, limits `resource`.
fn is_declared(spec: &PodSpec, resource: &str) -> bool {
    let limits = |requirements: Option<&ResourceRequirements>| {
        let limits = read(requirements.and_then(|r| r.limits.as_ref()));
        limits.get(resource).is_some_and(|limit| limit.signum() > 0)
    };
    let each = |container: &Container| limits(container.resources.as_ref());
    limits(spec.resources.as_ref())
        || spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten())
            .all(each)
}

/// Pages nobody requests are forbidden: they come out of a fixed pool.
fn huge_pages(requests: &Amounts, page_sizes: &[u64]) -> BTreeMap<u64, Bound> {
    let mut bounds: BTreeMap<_, _> = page_sizes
        .iter()
        .map(|size| (*size, Bound::At(0)))
        .collect();
    for (name, amount) in requests {
        if let Some(size) = page_size(name) {
            bounds.insert(size, Bound::At(units(amount)));
        }
    }
    bounds
}

/// How the kernel calls a page size in file names: `64KB`, `2MB`, `1GB`.
#[must_use]
pub fn page_size_name(bytes: u64) -> String {
    let units = [(30, "GB"), (20, "MB"), (10, "KB")];
    let fits = units.into_iter().find(|(shift, _)| bytes >= 1 << shift);
    fits.map_or_else(
        || format!("{bytes}B"),
        |(shift, unit)| format!("{}{unit}", bytes >> shift),
    )
}

/// The page size in bytes that a resource `hugepages-SIZE` is about.
#[must_use]
pub fn page_size(resource: &str) -> Option<u64> {
    let size = Quantity::parse(resource.strip_prefix("hugepages-")?).ok()?;
    u64::try_from(size.value()).ok()
}

/// Limits of a tier's cgroup. `burstable_milli_cpu` is the sum of CPU requests of all burstable
/// pods. Guaranteed pods live in the pods' root, which [`node_limits`] is for.
#[must_use]
pub fn qos_limits(tier: Tier, burstable_milli_cpu: u64, page_sizes: &[u64]) -> Limits {
    let cpu_shares = match tier {
        Tier::Guaranteed => None,
        Tier::Burstable => Some(shares(burstable_milli_cpu)),
        Tier::BestEffort => Some(MIN_SHARES),
    };
    let huge_pages = page_sizes
        .iter()
        .map(|size| (*size, Bound::Unlimited))
        .collect();
    Limits {
        cpu_shares,
        huge_pages,
        ..Limits::default()
    }
}

/// Limits of the cgroup of all pods: what the node allots to them (`enforceNodeAllocatable`
/// contains `pods`), by resource name.
#[must_use]
pub fn node_limits(allocatable: &Amounts) -> Limits {
    let pages = allocatable.iter();
    Limits {
        cpu_shares: allocatable.get("cpu").map(|cpu| shares(milli(cpu))),
        cpu_quota: None,
        memory: allocatable
            .get("memory")
            .map(|memory| Bound::At(units(memory))),
        pids: allocatable.get("pid").map(|pids| Bound::At(units(pids))),
        huge_pages: pages
            .filter_map(|(name, amount)| Some((page_size(name)?, Bound::At(units(amount)))))
            .collect(),
        unified: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(requests: Value, limits: Value) -> Value {
        json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
    }

    fn planned(spec: Value, tier: Tier) -> Limits {
        let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let policy = Policy {
            pids: Some(100),
            page_sizes: vec![2 << 20],
            ..Policy::default()
        };
        pod_limits(&pod, tier, &policy)
    }

    fn check(spec: Value, tier: Tier, shares: u64, quota: Bound, memory: Bound) {
        let got = planned(spec.clone(), tier);
        assert_eq!(got.cpu_shares, Some(shares), "{spec}");
        assert_eq!(
            got.cpu_quota,
            Some(CpuQuota {
                quota,
                period_micros: 100_000
            }),
            "{spec}"
        );
        assert_eq!(got.memory, Some(memory), "{spec}");
        assert_eq!(got.pids, Some(Bound::At(100)));
    }

    #[test]
    fn each_tier() {
        use Bound::{At, Unlimited};
        let both = || json!({"cpu": "500m", "memory": "64Mi"});
        let full = json!({"containers": [container(both(), both())]});
        check(full, Tier::Guaranteed, 512, At(50_000), At(64 << 20));
        let none = json!({"containers": [container(json!({}), json!({}))]});
        check(none, Tier::BestEffort, 2, Unlimited, Unlimited);
        let half = json!({"containers": [
            container(both(), both()),
            container(json!({"cpu": "100m"}), json!({"memory": "1Mi"})),
        ]});
        check(half, Tier::Burstable, 614, Unlimited, At(65 << 20));
        let whole = json!({
            "containers": [container(json!({}), json!({}))],
            "resources": {"limits": {"cpu": "5m"}, "requests": {"cpu": "1m"}},
        });
        check(whole, Tier::Burstable, 2, At(1000), Unlimited);
    }

    #[test]
    fn an_init_container_without_a_limit_lifts_it() {
        let limits = || json!({"memory": "1Mi"});
        let spec = json!({
            "containers": [container(limits(), limits())],
            "initContainers": [container(json!({}), json!({}))],
        });
        check(spec, Tier::Burstable, 2, Bound::Unlimited, Bound::Unlimited);
    }

    #[test]
    fn huge_pages_are_forbidden_unless_requested() {
        let none = json!({"containers": [container(json!({}), json!({}))]});
        let pages = planned(none, Tier::BestEffort).huge_pages;
        assert_eq!(pages, [(2 << 20, Bound::At(0))].into());
        let amounts = || json!({"cpu": "1", "hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi"});
        let some = json!({"containers": [container(amounts(), amounts())]});
        let pages = planned(some, Tier::Burstable).huge_pages;
        assert_eq!(
            pages,
            [(2 << 20, Bound::At(4 << 20)), (1 << 30, Bound::At(1 << 30))].into()
        );
    }

    #[test]
    fn without_cfs_quota_no_limit_is_enforced() {
        let limits = || json!({"cpu": "1", "memory": "1Mi"});
        let spec = json!({"spec": {"containers": [container(limits(), limits())]}});
        let policy = Policy {
            cpu_quota: false,
            ..Policy::default()
        };
        let got = pod_limits(
            &serde_json::from_value(spec).unwrap(),
            Tier::Guaranteed,
            &policy,
        );
        assert_eq!(got.cpu_quota.map(|q| q.quota), Some(Bound::Unlimited));
        assert_eq!(got.pids, Some(Bound::Unlimited));
    }

    #[test]
    fn tiers_and_node() {
        assert_eq!(
            qos_limits(Tier::Burstable, 1500, &[]).cpu_shares,
            Some(1536)
        );
        assert_eq!(qos_limits(Tier::BestEffort, 1500, &[]).cpu_shares, Some(2));
        assert_eq!(qos_limits(Tier::Guaranteed, 1500, &[]).cpu_shares, None);
        let text = [
            ("cpu", "2"),
            ("memory", "1Gi"),
            ("pid", "1000"),
            ("pods", "110"),
        ];
        let allocatable = text
            .map(|(name, amount)| (name.to_owned(), Quantity::parse(amount).unwrap()))
            .into();
        let got = node_limits(&allocatable);
        assert_eq!(
            (got.cpu_shares, got.memory),
            (Some(2048), Some(Bound::At(1 << 30)))
        );
        assert_eq!((got.pids, got.cpu_quota), (Some(Bound::At(1000)), None));
    }

    #[test]
    fn page_sizes() {
        let names = [64 << 10, 2 << 20, 1 << 30, 16 << 30].map(page_size_name);
        assert_eq!(names, ["64KB", "2MB", "1GB", "16GB"]);
    }

    #[test]
    fn shares_stay_in_range() {
        assert_eq!(
            [0, 1, 2, 1000, u64::MAX].map(shares),
            [2, 2, 2, 1024, 262_144]
        );
    }

    #[test]
    fn quota_has_a_floor() {
        assert_eq!(
            [1, 10, 500, 2000].map(|milli| quota(milli, 100_000)),
            [1000, 1000, 50_000, 200_000]
        );
    }
}
