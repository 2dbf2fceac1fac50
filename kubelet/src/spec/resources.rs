//! CPU, memory, huge page and OOM settings of one container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use keelson_api::qos::{self, QosClass};
use keelson_api::quantity::Quantity;
use keelson_cri::config::{HugepageLimit, LinuxContainerResources};

use crate::cgroup::plan::{page_size, page_size_name, quota, shares};

/// Pods of this priority and above are critical to the node (`system-node-critical` is higher).
const NODE_CRITICAL: i32 = 2_000_001_000;
/// OOM score of what must die last.
const OOM_GUARANTEED: i64 = -997;
/// OOM score of what may die first.
const OOM_BEST_EFFORT: i64 = 1000;

/// What the node lets containers have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// Memory of the machine in bytes.
    pub memory_capacity: i64,
    /// `cpuCFSQuota`: enforce CPU limits.
    pub cfs_quota: bool,
    /// `cpuCFSQuotaPeriod` in microseconds.
    pub cfs_period: u64,
    /// Page sizes that the kernel offers, as `2MB`, `1GB`.
    pub huge_page_sizes: Vec<String>,
}

/// Resources of a container for the runtime.
#[must_use]
pub fn container_resources(
    pod: &Pod,
    container: &Container,
    node: &NodeLimits,
) -> LinuxContainerResources {
    let empty = ResourceRequirements::default();
    let asked = container.resources.as_ref().unwrap_or(&empty);
    let cpu_limit = amount(asked.limits.as_ref(), "cpu", Quantity::milli_value);
    let cpu_request = amount(asked.requests.as_ref(), "cpu", Quantity::milli_value);
    let mut resources = LinuxContainerResources {
        cpu_shares: signed(shares(if cpu_request == 0 {
            cpu_limit
        } else {
            cpu_request
        })),
        memory_limit_in_bytes: signed(amount(asked.limits.as_ref(), "memory", Quantity::value)),
        oom_score_adj: oom_score(pod, container, node.memory_capacity),
        hugepage_limits: huge_pages(asked, &node.huge_page_sizes),
        ..Default::default()
    };
    if node.cfs_quota {
        resources.cpu_period = signed(node.cfs_period);
        resources.cpu_quota = cfs_quota(cpu_limit, node.cfs_period);
    }
    resources
}

fn amount(
    map: Option<&BTreeMap<String, WireQuantity>>,
    name: &str,
    read: fn(&Quantity) -> i64,
) -> u64 {
    // Quantities were validated when the pod was accepted.
    map.and_then(|map| map.get(name))
        .and_then(|wire| Quantity::try_from(wire).ok())
        .and_then(|quantity| u64::try_from(read(&quantity)).ok())
        .unwrap_or(0)
}

/// The CRI's amounts are signed.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// CFS quota in microseconds of a milli-CPU limit; zero (no quota) without a limit.
fn cfs_quota(milli_cpu: u64, period: u64) -> i64 {
    match milli_cpu {
        0 => 0,
        limit => signed(quota(limit, period)),
    }
}

/// `oom_score_adj` by QoS class: the kernel kills what uses more than it asked for first.
#[must_use]
pub fn oom_score(pod: &Pod, container: &Container, memory_capacity: i64) -> i64 {
    let critical = pod
        .spec
        .as_ref()
        .and_then(|s| s.priority)
        .is_some_and(|p| p >= NODE_CRITICAL);
    match qos::class(pod) {
        _ if critical => OOM_GUARANTEED,
        QosClass::Guaranteed => OOM_GUARANTEED,
        QosClass::BestEffort => OOM_BEST_EFFORT,
        QosClass::Burstable => {
            let requests = container
                .resources
                .as_ref()
                .and_then(|r| r.requests.as_ref());
            let request = signed(amount(requests, "memory", Quantity::value));
            burstable_score(request, memory_capacity)
        }
    }
}

fn burstable_score(request: i64, capacity: i64) -> i64 {
    let share = request
        .saturating_mul(1000)
        .checked_div(capacity)
        .unwrap_or(0);
    // Above every guaranteed container, below every best-effort one.
    (1000 - share).clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
}

fn huge_pages(asked: &ResourceRequirements, sizes: &[String]) -> Vec<HugepageLimit> {
    let limit_of = |size: &str| {
        asked.limits.iter().flatten().find_map(|(name, wire)| {
            let page = page_size(name)?;
            let limit = Quantity::try_from(wire).ok()?.value();
            (page_size_name(page) == size).then_some(limit)
        })
    };
    // Every size is named: what is not granted is limited to zero.
    sizes
        .iter()
        .map(|size| HugepageLimit {
            page_size: size.clone(),
            limit: limit_of(size)
                .and_then(|l| u64::try_from(l).ok())
                .unwrap_or(0),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_no_quota() {
        assert_eq!(cfs_quota(0, 100_000), 0);
        assert_eq!(cfs_quota(500, 100_000), 50_000);
    }

    #[test]
    fn burstable_lies_between_the_others() {
        let gib = 1 << 30;
        for (request, expected) in [(0, 999), (gib, 938), (16 * gib, 3), (64 * gib, 3)] {
            assert_eq!(burstable_score(request, 16 * gib), expected, "{request}");
        }
    }
}
