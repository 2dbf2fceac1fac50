//! The controllers over the wire: an API server of its own for each test, with upstream's roles, and
//! pods that only say that they run.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking where something is missing"
)]

mod harness;
mod keepers;
mod site;
mod volumes;
mod workloads;
