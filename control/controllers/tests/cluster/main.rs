//! Controllers and an API server, over the wire.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should fail where it stands"
)]

mod garbage;
mod harness;
mod namespaces;
mod nodes;
mod services;
