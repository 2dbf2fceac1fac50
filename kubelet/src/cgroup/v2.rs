//! Limits as files of cgroup v2. Pure.

use super::plan::Limits;
use super::plan::page_size_name;
use super::v1::{Write, or_max};

/// Controllers that are enabled for children, where the kernel has them.
pub const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
/// Controllers without which pods cannot be contained.
pub const REQUIRED: [&str; 2] = ["cpu", "memory"];

/// The writes that carry `limits`.
#[must_use]
pub fn writes(limits: &Limits) -> Vec<Write> {
    let mut out = Vec::new();
    let mut push = |file: &str, value: String| {
        out.push(Write {
            controller: "",
            file: file.to_owned(),
            value,
        });
    };
    if let Some(shares) = limits.cpu_shares {
        push("cpu.weight", weight(shares).to_string());
    }
    if let Some(quota) = limits.cpu_quota {
        push(
            "cpu.max",
            format!("{} {}", or_max(quota.quota), quota.period_micros),
        );
    }
    if let Some(memory) = limits.memory {
        push("memory.max", or_max(memory));
    }
    if let Some(pids) = limits.pids {
        push("pids.max", or_max(pids));
    }
    for (size, bound) in &limits.huge_pages {
        push(
            &format!("hugetlb.{}.max", page_size_name(*size)),
            or_max(*bound),
        );
    }
    for (file, value) in &limits.unified {
        push(file, value.clone());
    }
    out
}

/// The weight of v1 shares: the linear map from 2..262144 to 1..10000 that kubelets write for
/// tiers and pods. Only siblings compete, and all siblings here are ours, so the newer curve by
/// which runtimes convert the shares of containers would change nothing but the numbers.
#[must_use]
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Bound, CpuQuota};
    use super::*;

    #[test]
    fn every_value_has_its_file() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota: Some(CpuQuota {
                quota: Bound::Unlimited,
                period_micros: 100_000,
            }),
            memory: Some(Bound::At(4096)),
            pids: Some(Bound::At(10)),
            huge_pages: [(2 << 20, Bound::Unlimited)].into(),
            unified: [("memory.min".to_owned(), "1".to_owned())].into(),
        };
        let got: Vec<String> = writes(&limits)
            .iter()
            .map(|w| format!("{}={}", w.file, w.value))
            .collect();
        let want = [
            "cpu.weight=39",
            "cpu.max=max 100000",
            "memory.max=4096",
            "pids.max=10",
            "hugetlb.2MB.max=max",
            "memory.min=1",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn weights() {
        let shares = [0, 2, 102, 1024, 8192, 262_144, u64::MAX];
        assert_eq!(shares.map(weight), [1, 1, 4, 39, 313, 10_000, 10_000]);
    }
}
