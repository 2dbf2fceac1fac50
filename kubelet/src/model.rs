//! Plain values that the node agent decides on: what is wanted, what is seen, what is remembered,
//! and what to do next.
//!
//! Nothing here performs input or output, reads a clock, or knows CRI's wire types. The reconciler
//! (`crate::reconcile`) is a function over these values; `crate::execute` turns [`Action`]s into
//! calls and answers each with an [`Event`].

pub mod action;
pub mod desired;
pub mod digest;
pub mod event;
pub mod memory;
pub mod objects;
pub mod observed;
mod reboot;
pub mod resources;
pub mod time;

pub use action::{Action, Key, KillReason};
pub use desired::{ContainerSpec, DesiredPod, PodOrigin, PodSpec, PodUid, ProbeKind, Role};
pub use event::{Done, Event, FailReason};
pub use memory::{Life, PodMemory, Termination};
pub use observed::{
    ContainerState, ContainerUser, Limits, ObservedContainer, ObservedPod, ObservedSandbox,
};
pub use resources::Resources;
pub use time::{Mono, Now};
