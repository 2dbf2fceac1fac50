//! Can this machine be a node? Facts are read in `preflight/observe.rs`; this decides what they
//! mean and says what would help.

mod load;
mod network;
mod observe;

pub use load::load_overlay;
pub use network::{NetworkError, try_network};
pub(crate) use observe::in_path;
pub use observe::observe;

/// What was found on the machine.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The effective user.
    pub uid: u32,
    /// Effective capabilities, as a bit set.
    pub capabilities: u64,
    /// Text of `/proc/self/mountinfo`.
    pub mounts: String,
    /// Text of `cgroup.controllers` at the root of cgroup v2, where that is mounted.
    pub controllers: String,
    /// Text of `/proc/filesystems`.
    pub filesystems: String,
    /// Text of `/proc/swaps`.
    pub swaps: String,
    /// TCP ports of those asked for that somebody listens on.
    pub busy_ports: Vec<u16>,
    /// Free bytes where images and volumes go.
    pub free_bytes: u64,
    /// What the trial of bridge, veth and nftables said, where it went wrong.
    pub network: Option<String>,
    /// Whether there is `/etc/hosts`, which containerd gives every pod a copy of.
    pub has_hosts: bool,
    /// The OCI runtime found in `PATH`.
    pub oci_runtime: Option<String>,
}

/// One thing found out about the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It cannot be a node until this is changed.
    Refused {
        /// What is wrong.
        what: String,
        /// What would help.
        cure: String,
    },
    /// It can, with this in mind.
    Note(String),
}

/// Capabilities by their number in the kernel.
const SYS_ADMIN: u32 = 21;
const NET_ADMIN: u32 = 12;
const SYS_RESOURCE: u32 = 24;

const MIB: u64 = 1 << 20;
const LEAST_FREE: u64 = 300 * MIB;
const LITTLE_FREE: u64 = 2048 * MIB;

/// The cgroup version that pods get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// One hierarchy with cpu, memory and pids.
    Unified,
    /// A hierarchy for each controller.
    Legacy,
}

/// True when the process may lower `oom_score_adj`; without, containerd has to be told.
#[must_use]
pub fn may_lower_oom_score(facts: &Facts) -> bool {
    has(facts, SYS_RESOURCE)
}

/// What the facts mean. Nothing refused means: go on.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let checks = [
        user,
        cgroups_found,
        overlay,
        oci_runtime,
        hosts,
        ports,
        disk,
        network,
        oom_score,
        swap,
    ];
    checks.iter().flat_map(|check| check(facts)).collect()
}

fn user(facts: &Facts) -> Vec<Finding> {
    if facts.uid != 0 {
        return refused(
            "this is not root",
            "run it as root: it makes namespaces, mounts and links",
        );
    }
    let missing: Vec<_> = [(SYS_ADMIN, "CAP_SYS_ADMIN"), (NET_ADMIN, "CAP_NET_ADMIN")]
        .into_iter()
        .filter(|(bit, _)| !has(facts, *bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let what = format!("root lacks {}", missing.join(" and "));
    refused(
        &what,
        "inside a container, start that one with --privileged",
    )
}

fn cgroups_found(facts: &Facts) -> Vec<Finding> {
    match cgroups(facts) {
        Ok(Cgroups::Unified) => Vec::new(),
        Ok(Cgroups::Legacy) => note(
            "cgroups are version 1: limits hold, but pressure figures and MemoryQoS need version 2",
        ),
        Err(missing) => refused(
            &format!("cgroup controllers are missing: {}", missing.join(" ")),
            "mount cgroup v2 (`mount -t cgroup2 none /sys/fs/cgroup`), or boot without cgroup_disable=",
        ),
    }
}

/// Which cgroup version carries the controllers that pods need.
///
/// # Errors
/// The names of those that neither carries.
pub fn cgroups(facts: &Facts) -> Result<Cgroups, Vec<&'static str>> {
    const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
    let unified: Vec<_> = facts.controllers.split_whitespace().collect();
    if NEEDED.iter().all(|name| unified.contains(name)) {
        return Ok(Cgroups::Unified);
    }
    let legacy = legacy_controllers(&facts.mounts);
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|name| !legacy.iter().any(|found| found == name))
        .collect();
    if missing.is_empty() {
        Ok(Cgroups::Legacy)
    } else {
        Err(missing)
    }
}

/// Controllers of mounted version 1 hierarchies: the last field of mountinfo lists them.
fn legacy_controllers(mounts: &str) -> Vec<String> {
    mounts
        .lines()
        .filter_map(|line| line.split_once(" - cgroup "))
        .filter_map(|(_, tail)| tail.split_whitespace().nth(1))
        .flat_map(|options| options.split(',').map(str::to_owned))
        .collect()
}

fn overlay(facts: &Facts) -> Vec<Finding> {
    if facts
        .filesystems
        .split_whitespace()
        .any(|name| name == "overlay")
    {
        return Vec::new();
    }
    refused("the kernel has no overlayfs", "load it: modprobe overlay")
}

fn oci_runtime(facts: &Facts) -> Vec<Finding> {
    if facts.oci_runtime.is_some() {
        return Vec::new();
    }
    refused(
        "there is neither runc nor crun in PATH",
        "install one: apt-get install runc",
    )
}

fn hosts(facts: &Facts) -> Vec<Finding> {
    if facts.has_hosts {
        return Vec::new();
    }
    refused(
        "there is no /etc/hosts, which containerd copies for every pod",
        "make one: echo '127.0.0.1 localhost' >/etc/hosts",
    )
}

fn ports(facts: &Facts) -> Vec<Finding> {
    let one = |port: &u16| Finding::Refused {
        what: format!("TCP port {port} is taken"),
        cure: format!("see who listens with `ss -ltnp 'sport = :{port}'`: another kubelet?"),
    };
    facts.busy_ports.iter().map(one).collect()
}

fn disk(facts: &Facts) -> Vec<Finding> {
    let free = format!(
        "only {} MiB are free for images and volumes",
        facts.free_bytes / MIB
    );
    if facts.free_bytes < LEAST_FREE {
        return refused(&free, "make room, or use another disk with --root DIR");
    }
    if facts.free_bytes < LITTLE_FREE {
        note(&free)
    } else {
        Vec::new()
    }
}

fn network(facts: &Facts) -> Vec<Finding> {
    let Some(problem) = &facts.network else {
        return Vec::new();
    };
    refused(
        &format!("a trial of the pod network failed: {problem}"),
        "the kernel needs bridge, veth and nf_tables with nat: modprobe -a bridge veth nft_masq",
    )
}

fn oom_score(facts: &Facts) -> Vec<Finding> {
    if may_lower_oom_score(facts) {
        return Vec::new();
    }
    note(
        "CAP_SYS_RESOURCE is missing: pods cannot be shielded from the OOM killer; containerd is told",
    )
}

fn swap(facts: &Facts) -> Vec<Finding> {
    if facts.swaps.lines().count() <= 1 {
        return Vec::new();
    }
    note("swap is on: pods will not use it, but what else runs may be slow under pressure")
}

fn has(facts: &Facts, capability: u32) -> bool {
    facts.capabilities & (1 << capability) != 0
}

fn refused(what: &str, cure: &str) -> Vec<Finding> {
    vec![Finding::Refused {
        what: what.to_owned(),
        cure: cure.to_owned(),
    }]
}

fn note(text: &str) -> Vec<Finding> {
    vec![Finding::Note(text.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            capabilities: u64::MAX,
            controllers: "cpuset cpu io memory pids\n".to_owned(),
            filesystems: "nodev\ttmpfs\nnodev\toverlay\n\text4\n".to_owned(),
            free_bytes: u64::MAX,
            has_hosts: true,
            oci_runtime: Some("/usr/sbin/runc".to_owned()),
            ..Facts::default()
        }
    }

    #[test]
    fn a_good_machine_needs_no_word() {
        assert_eq!(judge(&good()), []);
    }

    #[test]
    fn each_fault_is_named_with_its_cure() {
        let check = |change: fn(&mut Facts), expected: &str| {
            let mut facts = good();
            change(&mut facts);
            match judge(&facts).as_slice() {
                [Finding::Refused { what, cure }] => {
                    assert_eq!(what, expected);
                    assert!(!cure.is_empty());
                }
                other => panic!("{expected}: {other:?}"),
            }
        };
        check(|facts| facts.uid = 1000, "this is not root");
        check(
            |facts| facts.capabilities &= !(1 << NET_ADMIN),
            "root lacks CAP_NET_ADMIN",
        );
        check(
            |facts| facts.controllers.clear(),
            "cgroup controllers are missing: cpu memory pids",
        );
        check(
            |facts| facts.filesystems.clear(),
            "the kernel has no overlayfs",
        );
        check(
            |facts| facts.oci_runtime = None,
            "there is neither runc nor crun in PATH",
        );
        check(
            |facts| facts.has_hosts = false,
            "there is no /etc/hosts, which containerd copies for every pod",
        );
        check(
            |facts| facts.busy_ports.push(10250),
            "TCP port 10250 is taken",
        );
        check(
            |facts| facts.free_bytes = 0,
            "only 0 MiB are free for images and volumes",
        );
        check(
            |facts| facts.network = Some("no veth".to_owned()),
            "a trial of the pod network failed: no veth",
        );
    }

    #[test]
    fn version_1_hierarchies_will_do() {
        let mut facts = good();
        facts.controllers.clear();
        let line = |options: &str| {
            format!(
                "30 25 0:26 / /sys/fs/cgroup/x rw,relatime shared:9 - cgroup cgroup rw,{options}\n"
            )
        };
        facts.mounts = line("cpu,cpuacct") + &line("memory") + &line("pids");
        assert_eq!(cgroups(&facts), Ok(Cgroups::Legacy));
        assert!(matches!(judge(&facts).as_slice(), [Finding::Note(_)]));
        facts.mounts = line("cpu,cpuacct") + &line("memory");
        assert_eq!(cgroups(&facts), Err(vec!["pids"]));
    }
}
