//! The scheduler over the wire: an API server of its own for each test, nothing faked.

mod harness;
mod pods;
