//! Sizes and timeouts of connection tracking, written where the configuration names them.

use std::fs;
use std::io;
use std::path::Path;

use crate::config::fields::Conntrack;

/// A sysctl that could not be set.
#[derive(Debug, thiserror::Error)]
#[error("set sysctl {name} to {value}: {source}")]
pub struct SysctlError {
    /// Its name, with slashes.
    pub name: &'static str,
    /// What it should be.
    pub value: i64,
    /// Why not.
    pub source: io::Error,
}

/// Which sysctls should have at least or exactly which value.
#[must_use]
pub fn wanted(conntrack: &Conntrack, cores: i64) -> Vec<(&'static str, i64)> {
    let mut found = Vec::new();
    let per_core = i64::from(conntrack.max_per_core.unwrap_or(0));
    if per_core > 0 {
        let most = (per_core * cores).max(i64::from(conntrack.min.unwrap_or(0)));
        found.push(("net/netfilter/nf_conntrack_max", most));
    }
    let seconds = |time: keelson_api::duration::Duration| {
        i64::try_from(time.to_std().as_secs()).unwrap_or(i64::MAX)
    };
    for (name, time) in [
        (
            "net/netfilter/nf_conntrack_tcp_timeout_established",
            conntrack.tcp_established_timeout,
        ),
        (
            "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
            conntrack.tcp_close_wait_timeout,
        ),
        (
            "net/netfilter/nf_conntrack_udp_timeout",
            Some(conntrack.udp_timeout),
        ),
        (
            "net/netfilter/nf_conntrack_udp_timeout_stream",
            Some(conntrack.udp_stream_timeout),
        ),
    ] {
        if let Some(value) = time.map(seconds).filter(|value| *value > 0) {
            found.push((name, value));
        }
    }
    if conntrack.tcp_be_liberal {
        found.push(("net/netfilter/nf_conntrack_tcp_be_liberal", 1));
    }
    found
}

/// Sets what differs; the table's size only grows. All that fails is told.
#[must_use]
pub fn apply(wanted: &[(&'static str, i64)]) -> Vec<SysctlError> {
    wanted
        .iter()
        .filter_map(|(name, value)| set(name, *value).err())
        .collect()
}

fn set(name: &'static str, value: i64) -> Result<(), SysctlError> {
    let path = Path::new("/proc/sys").join(name);
    let wrong = |source| SysctlError {
        name,
        value,
        source,
    };
    let now = fs::read_to_string(&path).map_err(wrong)?;
    let now: i64 = now.trim().parse().unwrap_or(0);
    if now == value || (name.ends_with("_max") && now > value) {
        return Ok(());
    }
    fs::write(&path, value.to_string()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_cores() {
        let max = |cores| wanted(&Conntrack::default(), cores)[0].1;
        assert_eq!((max(1), max(8)), (131_072, 262_144));
        let off = Conntrack {
            max_per_core: Some(0),
            tcp_established_timeout: None,
            tcp_close_wait_timeout: None,
            ..Conntrack::default()
        };
        assert_eq!(wanted(&off, 8), vec![]);
    }
}
