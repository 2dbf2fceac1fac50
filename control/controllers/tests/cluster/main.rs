//! Controllers and an API server, over the wire.

mod garbage;
mod harness;
mod namespaces;
mod nodes;
mod services;
