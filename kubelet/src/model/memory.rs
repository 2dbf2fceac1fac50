//! What must be remembered of one pod beyond what the runtime shows: back-offs, probe counts, kills
//! under way, times of transition.
//!
//! Everything but `in_flight` is checkpointed when it changes and comes back after a restart of the
//! agent. Written by the reconciler and by [`super::Event`]s, by nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Key, KillReason};
use super::desired::ProbeKind;
use super::resources::{Resize, Resources};
use super::time::Mono;

/// The memory of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodMemory {
    /// Where the pod is in its life.
    pub life: Life,
    /// `status.startTime`: when the agent took the pod on.
    pub start_time: Option<Timestamp>,
    /// The same moment for `activeDeadlineSeconds`.
    pub started: Option<Mono>,
    /// Part of `activeDeadlineSeconds` that was used up before the last boot.
    pub active_before: Duration,
    /// How the pod ended, once it has; a phase that is terminal never changes again.
    pub outcome: Option<Outcome>,
    /// The sandbox in which all init containers are done.
    pub initialized_in: Option<Arc<str>>,
    /// Sandboxes that were stopped for good: their network is given back.
    pub stopped: BTreeSet<Arc<str>>,
    /// Per container.
    pub containers: BTreeMap<Arc<str>, ContainerMemory>,
    /// Retries of cgroup, volumes, sandbox, tear-down.
    pub retries: BTreeMap<RetryOf, Retry>,
    /// Last change of each condition, by type: its status and when it became so.
    pub conditions: BTreeMap<String, (bool, Timestamp)>,
    /// What the pod cgroup was last given.
    #[serde(default)]
    pub cgroup: Option<Resources>,
    /// A change of resources that waits or is under way.
    #[serde(default)]
    pub resize: Resize,
    /// Actions under way. Not kept over a restart: nothing is under way then.
    #[serde(skip)]
    pub in_flight: BTreeMap<Key, InFlight>,
}

impl PodMemory {
    /// What is remembered of a container of this name, begun where nothing is.
    pub fn container(&mut self, name: &Arc<str>) -> &mut ContainerMemory {
        self.containers.entry(name.clone()).or_default()
    }
}

/// An action under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// What was asked for.
    pub action: Action,
    /// Since when.
    pub since: Mono,
    /// It was asked to stop; what it still delivers is not used.
    pub cancelling: bool,
}

/// The end of a pod whose object stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Phase `Succeeded`, else `Failed`.
    pub succeeded: bool,
    /// `status.reason`, such as `DeadlineExceeded`; empty for an end of its own accord.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// Where a pod is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// It is to run.
    #[default]
    Wanted,
    /// Admission refused it: phase Failed with this reason, never started.
    Rejected {
        /// Such as `OutOfcpu`.
        reason: String,
        /// For people.
        message: String,
    },
    /// All of its containers ended and none is to be restarted; sandbox and volumes go, the
    /// containers stay for their logs.
    Finished,
    /// It is being stopped, and gone for good when nothing is left of it.
    Terminating(Termination),
    /// Nothing is left of it.
    Gone,
}

/// A pod's way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// Since when.
    pub since: Mono,
    /// Time that its containers have, counted from `since`.
    pub grace: Duration,
    /// `status.reason` and message when it ends as Failed (`DeadlineExceeded`, `Evicted`); `None`
    /// when its source no longer wants it.
    pub failed: Option<(String, String)>,
    /// The pod object stays (it failed) or goes (its source dropped it).
    pub object_stays: bool,
}

/// The memory of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMemory {
    /// `restartCount`: the attempt of the newest container.
    pub restarts: u32,
    /// Crash-loop back-off.
    pub crash_backoff: Backoff,
    /// The state of its image.
    pub image: ImageMemory,
    /// Why the last create or start failed, until one succeeds: reason and message.
    pub start_error: Option<(String, String)>,
    /// Delay between failed creates and starts.
    pub start_retry: Backoff,
    /// Its probes, for the container `current_id`.
    pub probes: BTreeMap<ProbeKind, ProbeMemory>,
    /// The container that probes, postStart and `running_since` speak of.
    pub current_id: Option<Arc<str>>,
    /// What the newest container was made with, or given since.
    #[serde(default)]
    pub given: Option<Resources>,
    /// When that container was first seen running.
    pub running_since: Option<Mono>,
    /// Its postStart hook: `None` not run, `Some(true)` succeeded, `Some(false)` failed.
    pub post_start: Option<bool>,
    /// A kill that was decided and has not been seen to succeed.
    pub kill: Option<PendingKill>,
    /// How the container `current_id` ended and when that was noticed; kept when the runtime
    /// forgets the container.
    pub ended: Option<Ended>,
    /// The container was killed to be made anew: whatever the restart policy says, and at once.
    pub respawn: bool,
    /// How the container before `current_id` ended (`lastState`).
    pub last: Option<LastTermination>,
    /// An init container that once ended well in this sandbox; its removal is no reason to run it
    /// again.
    pub completed_in: Option<Arc<str>>,
}

/// The end of the current container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it was noticed.
    pub at: Mono,
    /// How.
    pub how: LastTermination,
}

/// A delay that grows with repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The delay that applies next; zero before the first failure.
    pub delay: Duration,
    /// Not before this time.
    pub until: Mono,
}

/// What is known of a container's image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMemory {
    /// The image that this is about, as written in the spec.
    pub of: Arc<str>,
    /// By digest, once it is there for the next start; taken when the start begins.
    pub ready: Option<Arc<str>>,
    /// The last failure: reason (`ErrImagePull`, ...) and message.
    pub error: Option<(String, String)>,
    /// Pull back-off.
    pub backoff: Backoff,
}

/// One probe's run of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeMemory {
    /// What it has established: `None` before the first threshold was reached.
    pub verdict: Option<bool>,
    /// Length of the current run of equal results.
    pub run: u32,
    /// The result of that run.
    pub last: Option<bool>,
    /// When the next one is due.
    pub due: Mono,
}

/// A kill under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingKill {
    /// Which container.
    pub id: Arc<str>,
    /// Why.
    pub reason: KillReason,
    /// What failed, for the event.
    pub message: String,
    /// Grace counted from `since`.
    pub grace: Duration,
    /// When it was decided.
    pub since: Mono,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTermination {
    /// Its id.
    pub id: Arc<str>,
    /// Exit code.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, ...
    pub reason: String,
    /// Termination message.
    pub message: String,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// What is retried as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RetryOf {
    /// The pod cgroup.
    Cgroup,
    /// Resources in place.
    Resize,
    /// Volumes.
    Volumes,
    /// The sandbox.
    Sandbox,
    /// Stopping, removing, tearing down.
    CleanUp,
}

/// A failed attempt and when the next may be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The delay and its end.
    pub backoff: Backoff,
    /// The last message.
    pub message: String,
}
