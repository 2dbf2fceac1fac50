//! Usage of node, pods and containers, read when somebody asks and kept for a second.
//!
//! [`summary`], [`input`], [`assemble`] and [`pages`] decide only; [`read`] asks the kernel and
//! the runtime; [`collector`] puts them together. Nothing runs in the background.

pub mod assemble;
pub mod collector;
pub mod headroom;
pub mod input;
pub mod pages;
pub mod read;
pub mod summary;
pub mod volumes;

pub use collector::Collector;
pub use summary::Summary;
