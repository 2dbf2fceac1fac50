//! What the agent asks of the kernel for itself, and what it refuses to run on.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::KubeletConfiguration;

/// Where a process sets how soon the kernel kills it for memory.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Why this machine or configuration can't be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `failSwapOn` is set and the machine swaps.
    #[error(
        "swap is on ({0}) and failSwapOn is true: turn swap off (swapoff -a, and its line in \
         /etc/fstab), or set failSwapOn: false"
    )]
    Swap(String),
    /// `failCgroupV1` is set and the machine has cgroup v1.
    #[error(
        "this machine has cgroup v1 and failCgroupV1 is true (the default): boot it with cgroup \
         v2 (systemd.unified_cgroup_hierarchy=1), or set failCgroupV1: false"
    )]
    CgroupV1,
    /// The QoS cgroups can't be done without.
    #[error("cgroupsPerQOS: false is not supported: pods are always put in cgroups of their own")]
    NoQosCgroups,
}

/// Checks what can't be worked with. `swaps` is the content of `/proc/swaps`. Pure.
///
/// # Errors
/// The first [`Refusal`].
pub fn check(config: &KubeletConfiguration, swaps: &str) -> Result<(), Refusal> {
    if !config.cgroups_per_qos {
        return Err(Refusal::NoQosCgroups);
    }
    let devices: Vec<&str> = swaps.lines().skip(1).filter_map(first_word).collect();
    match config.fail_swap_on && !devices.is_empty() {
        true => Err(Refusal::Swap(devices.join(", "))),
        false => Ok(()),
    }
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

/// Applies `oomScoreAdj` and `maxOpenFiles`; tells what the kernel did not allow.
#[must_use]
pub fn settle(config: &KubeletConfiguration) -> Vec<String> {
    let score = config.oom_score_adj;
    let scored = fs::write(OOM_SCORE, score.to_string());
    let scored = scored.map_err(|error| format!("oomScoreAdj: {score} is refused: {error}"));
    let files = u64::try_from(config.max_open_files).unwrap_or(u64::MAX);
    let limited = raise_open_files(files)
        .map_err(|error| format!("maxOpenFiles: {files} is refused: {error}"));
    [scored, limited]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// As many open files as asked for; where the hard limit can't be raised, as many as it allows.
fn raise_open_files(wanted: u64) -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let limit = |soft, hard| Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    if wanted > hard && setrlimit(Resource::Nofile, limit(wanted, wanted)).is_ok() {
        return Ok(());
    }
    setrlimit(Resource::Nofile, limit(wanted.min(hard), hard))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAPS: &str = "Filename Type Size Used Priority\n/swap file 1 0 -2\n";

    fn check_swap(fail: bool, swaps: &str, refused: bool) {
        let config = KubeletConfiguration {
            fail_swap_on: fail,
            ..KubeletConfiguration::default()
        };
        let verdict = check(&config, swaps);
        assert_eq!(verdict.is_err(), refused, "{fail} {swaps:?}");
        if let Err(refusal) = verdict {
            assert!(refusal.to_string().contains("/swap"), "{refusal}");
        }
    }

    #[test]
    fn swap_is_refused_only_where_asked() {
        check_swap(true, SWAPS, true);
        check_swap(false, SWAPS, false);
        check_swap(true, "Filename Type Size Used Priority\n", false);
        check_swap(true, "", false);
    }
}
