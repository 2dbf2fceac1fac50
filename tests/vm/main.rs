//! The vm tier: a whole Debian machine with systemd as process 1 and cgroup v2. This program runs
//! inside; `guest.sh` starts it, `machine.sh` boots the machine.

mod cgroup_v2;
mod reboot;
mod systemd;
mod user_namespaces;
