//! The scheduler over the wire: an API server of its own for each test, nothing faked.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking where something is missing"
)]

mod harness;
mod pods;
