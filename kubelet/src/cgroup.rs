//! The cgroup tree of QoS classes and pods, on cgroup v2 and v1, by hand or through systemd.
//! Names ([`names`]), limits ([`plan`]) and the files they go to ([`v1`], [`v2`]) are decided
//! without touching the host.

pub mod hierarchy;
pub mod names;
pub mod plan;
pub mod v1;
pub mod v2;

pub use hierarchy::{Hierarchy, Version};
pub use names::{CgroupName, Driver, Tier};
pub use plan::{Bound, CpuQuota, Limits, Policy, node_limits, pod_limits, qos_limits};
