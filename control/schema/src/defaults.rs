//! What a field that was left out means, kind by kind.
//!
//! Most defaults are rows of a table, a path and a value; what follows from other fields is a
//! function. Specs of pods are filled in by `keelson-api`, as on the node.

pub mod admission;
pub mod apps;
pub mod core;
pub mod devices;
mod fill;
pub mod network;
pub mod storage;

pub use fill::{Rule, apply_rules};

#[cfg(test)]
mod tests;
