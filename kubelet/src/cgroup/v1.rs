//! Limits as files of cgroup v1, one hierarchy per controller. Pure.

use super::plan::{Bound, Limits, page_size_name};

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Controller whose hierarchy holds the file; empty on cgroup v2.
    pub controller: &'static str,
    /// File in the cgroup's directory.
    pub file: String,
    /// What to write.
    pub value: String,
}

/// Controllers without which pods cannot be contained.
pub const REQUIRED: [&str; 2] = ["cpu", "memory"];
/// Further controllers that hold limits of ours.
pub const OPTIONAL: [&str; 4] = ["cpuacct", "cpuset", "hugetlb", "pids"];

/// The writes that carry `limits`.
#[must_use]
pub fn writes(limits: &Limits) -> Vec<Write> {
    let mut out = Vec::new();
    let mut push = |controller, file: &str, value: String| {
        out.push(Write {
            controller,
            file: file.to_owned(),
            value,
        });
    };
    if let Some(shares) = limits.cpu_shares {
        push("cpu", "cpu.shares", shares.to_string());
    }
    if let Some(quota) = limits.cpu_quota {
        push("cpu", "cpu.cfs_period_us", quota.period_micros.to_string());
        push("cpu", "cpu.cfs_quota_us", or_minus_one(quota.quota));
    }
    if let Some(memory) = limits.memory {
        push("memory", "memory.limit_in_bytes", or_minus_one(memory));
    }
    if let Some(pids) = limits.pids {
        push("pids", "pids.max", or_max(pids));
    }
    for (size, bound) in &limits.huge_pages {
        let file = format!("hugetlb.{}.limit_in_bytes", page_size_name(*size));
        push("hugetlb", &file, or_minus_one(*bound));
    }
    out
}

fn or_minus_one(bound: Bound) -> String {
    match bound {
        Bound::Unlimited => "-1".to_owned(),
        Bound::At(value) => value.to_string(),
    }
}

/// A bound in the words of cgroup v2 and of `pids.max`.
pub(super) fn or_max(bound: Bound) -> String {
    match bound {
        Bound::Unlimited => "max".to_owned(),
        Bound::At(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::CpuQuota;
    use super::*;

    #[test]
    fn every_value_has_its_file() {
        let limits = Limits {
            cpu_shares: Some(512),
            cpu_quota: Some(CpuQuota {
                quota: Bound::At(50_000),
                period_micros: 100_000,
            }),
            memory: Some(Bound::Unlimited),
            pids: Some(Bound::Unlimited),
            huge_pages: [(2 << 20, Bound::At(0)), (1 << 30, Bound::Unlimited)].into(),
            unified: [("memory.min".to_owned(), "1".to_owned())].into(),
        };
        let got: Vec<String> = writes(&limits)
            .iter()
            .map(|w| format!("{} {}={}", w.controller, w.file, w.value))
            .collect();
        let want = [
            "cpu cpu.shares=512",
            "cpu cpu.cfs_period_us=100000",
            "cpu cpu.cfs_quota_us=50000",
            "memory memory.limit_in_bytes=-1",
            "pids pids.max=max",
            "hugetlb hugetlb.2MB.limit_in_bytes=0",
            "hugetlb hugetlb.1GB.limit_in_bytes=-1",
        ];
        assert_eq!(got, want);
        assert_eq!(writes(&Limits::default()), []);
    }
}
