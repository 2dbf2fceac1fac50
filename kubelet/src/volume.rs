//! Volumes of a pod. [`plan`] decides, from the pod alone, what has to be prepared and what each
//! container mounts; [`set_up`], [`prepare_mounts`] and [`tear_down`] make it so. All effects may
//! be repeated after a crash: the kernel's mount table is the only memory.
//!
//! Knows no CRI type: the caller turns a [`ReadyMount`] into one.

pub mod content;
mod dir;
pub mod empty_dir;
pub mod host_path;
pub mod killable;
pub mod mount;
pub mod mountinfo;
pub mod ownership;
pub mod plan;
pub mod projected;
pub mod set_up;
pub mod subpath;
pub mod teardown;
pub mod usage;

pub use killable::probe_main;
pub use plan::{Facts, VolumeError, VolumePlan, plan};
pub use set_up::{MountFrom, ReadyMount, SetUpError, prepare_mounts, set_up};
pub use teardown::{TearDownError, tear_down, tear_down_volumes};
pub use usage::{Usage, usage};
