//! The CRI v1 client, containerd specifics and OCI image building.
//!
//! - [`client::Client`] is the only view of the runtime that the rest of the node has. It is a
//!   concrete type: tests put a fake server behind the socket, not a fake client in front of it.
//! - What the runtime *tells* us arrives as the plain types of [`values`]; what we *ask* of it is
//!   built from the messages in [`config`].
//! - [`events`] follows the runtime's container events across broken connections.
//! - [`containerd`] holds what is particular to containerd: the start-up check, the configuration
//!   of a private instance, and the import of image archives.
//! - [`image`] builds such archives, the one for pause among them.

pub mod client;
pub mod config;
pub mod containerd;
pub mod error;
pub mod events;
pub mod image;
pub mod proto;
pub mod values;
mod wire;

pub use client::{Client, Deadlines, Endpoint};
pub use error::CriError;
