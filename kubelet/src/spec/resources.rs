//! CPU, memory, huge page and OOM settings of one container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use keelson_api::qos::{self, QosClass};
use keelson_api::quantity::Quantity;
use keelson_cri::config::{HugepageLimit, LinuxContainerResources};

/// The least `cpu.shares` that the kernel takes.
const MIN_SHARES: i64 = 2;
/// The most `cpu.shares` that the kernel takes.
const MAX_SHARES: i64 = 262_144;
/// The least CFS quota, in microseconds.
const MIN_QUOTA: i64 = 1000;
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
    pub cfs_period: i64,
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
        cpu_shares: shares(if cpu_request == 0 {
            cpu_limit
        } else {
            cpu_request
        }),
        memory_limit_in_bytes: amount(asked.limits.as_ref(), "memory", Quantity::value),
        oom_score_adj: oom_score(pod, container, node.memory_capacity),
        hugepage_limits: huge_pages(asked, &node.huge_page_sizes),
        ..Default::default()
    };
    if node.cfs_quota {
        resources.cpu_period = node.cfs_period;
        resources.cpu_quota = quota(cpu_limit, node.cfs_period);
    }
    resources
}

fn amount(
    map: Option<&BTreeMap<String, WireQuantity>>,
    name: &str,
    read: fn(&Quantity) -> i64,
) -> i64 {
    // Quantities were validated when the pod was accepted.
    map.and_then(|map| map.get(name))
        .and_then(|wire| Quantity::try_from(wire).ok())
        .map_or(0, |quantity| read(&quantity))
}

/// `cpu.shares` of a milli-CPU amount (1024 shares are one CPU).
#[must_use]
pub fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CFS quota in microseconds of a milli-CPU limit; zero (no quota) without a limit.
#[must_use]
pub fn quota(milli_cpu: i64, period: i64) -> i64 {
    if milli_cpu == 0 {
        return 0;
    }
    (milli_cpu.saturating_mul(period) / 1000).max(MIN_QUOTA)
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
            burstable_score(amount(requests, "memory", Quantity::value), memory_capacity)
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
            let page = Quantity::parse(name.strip_prefix("hugepages-")?)
                .ok()?
                .value();
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

/// The kernel's name of a huge page size: `2MB`, `1GB`.
#[must_use]
pub fn page_size_name(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["B", "KB", "MB", "GB"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 1024 && size % 1024 == 0 && unit + 1 < UNITS.len() {
        size /= 1024;
        unit += 1;
    }
    format!("{size}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_kernel_limits() {
        for (milli, expected) in [
            (0, 2),
            (1, 2),
            (100, 102),
            (1000, 1024),
            (i64::MAX, 262_144),
        ] {
            assert_eq!(shares(milli), expected, "{milli}m");
        }
    }

    #[test]
    fn quota_has_a_floor_and_none_means_none() {
        for (milli, expected) in [
            (0, 0),
            (1, 1000),
            (10, 1000),
            (500, 50_000),
            (2000, 200_000),
        ] {
            assert_eq!(quota(milli, 100_000), expected, "{milli}m");
        }
    }

    #[test]
    fn burstable_lies_between_the_others() {
        let gib = 1 << 30;
        for (request, expected) in [(0, 999), (gib, 938), (16 * gib, 3), (64 * gib, 3)] {
            assert_eq!(burstable_score(request, 16 * gib), expected, "{request}");
        }
    }

    #[test]
    fn page_sizes_have_kernel_names() {
        for (bytes, name) in [(64 << 10, "64KB"), (2 << 20, "2MB"), (1 << 30, "1GB")] {
            assert_eq!(page_size_name(bytes), name);
        }
    }
}
