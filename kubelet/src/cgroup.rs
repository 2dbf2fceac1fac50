//! The cgroup tree of QoS classes and pods, on cgroup v2 and v1, by hand or through systemd.
//! Names ([`names`]), limits ([`plan`]) and the files they go to ([`v1`], [`v2`]) are decided
//! without touching the host; [`Manager`] makes it so and reads usage back.

pub mod apply;
pub mod hierarchy;
pub mod manager;
pub mod names;
pub mod plan;
mod processes;
pub mod stats;
pub mod systemd;
pub mod v1;
pub mod v2;

pub use apply::CgroupError;
pub use hierarchy::{Hierarchy, Version};
pub use manager::{Manager, PodCgroup};
pub use names::{CgroupName, Driver, Tier};
pub use plan::{Bound, CpuQuota, Limits, Policy, node_limits, pod_limits, qos_limits};
pub use stats::Usage;
