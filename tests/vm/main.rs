//! The vm tier: a whole Debian machine with systemd as process 1 and cgroup v2. This program runs
//! inside; `guest.sh` starts it, `machine.sh` boots the machine.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod cgroup_v2;
mod ipvs;
mod reboot;
mod systemd;
#[path = "../netns/traffic.rs"]
mod traffic;
#[path = "../netns/traffic_cases.rs"]
mod traffic_cases;
mod user_namespaces;
