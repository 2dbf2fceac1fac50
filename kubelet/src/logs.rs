//! Container log files: where they are, how they are read, followed and rotated.
//!
//! [`format`], [`print`], [`layout`] and [`plan`] decide only; [`files`], [`read`] and [`rotator`] touch files.

pub mod files;
pub mod format;
pub mod layout;
pub mod plan;
pub mod print;
pub mod read;
mod rotate;
pub mod rotator;
mod tail;
mod watch;
