//! Pressure on the node and who goes: memory, disk, inodes and process ids run low, thresholds are
//! crossed, and one pod after the other ends until there is room again.
//!
//! Pure: what was measured comes in, conditions of the node and the pod to end come out.
//! [`crate::agent`] measures and acts.

pub mod message;
pub mod rank;
pub mod signal;
pub mod storage;
pub mod threshold;
pub mod watch;

use std::time::Duration;

use crate::model::PodUid;

pub use rank::{Candidate, choose};
pub use signal::{Condition, Resource, Signal};
pub use threshold::{Amount, Threshold, thresholds};
pub use watch::{Observations, Reading, Verdict, Watch};

/// The grace of a pod that goes at once: long enough to notice, too short to use up more.
pub const AT_ONCE: Duration = Duration::from_secs(1);

/// A pod that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Which.
    pub uid: PodUid,
    /// For people: its `status.message`.
    pub message: String,
    /// What it goes for, as metrics name it.
    pub signal: &'static str,
    /// What its containers get after their stop signal.
    pub grace: Duration,
}
