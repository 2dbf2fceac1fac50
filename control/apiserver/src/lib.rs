//! The API server: every other part of the cluster reads and writes through it.
//!
//! A request goes through `route` (what is asked), `auth` (who asks, and may they), `handle` (what
//! is done), `registry` (objects in the store) and `respond`. `watch_cache` holds what the store
//! holds, for lists and watches. What is special about a kind is in `keelson-schema`.

#![expect(
    dead_code,
    reason = "admission, tokens and the node authorizer use the rest"
)]

mod admission;
mod admit;
mod admit_metrics;
mod allocate;
mod api;
mod assemble;
mod auth;
mod backend;
mod body;
mod call_webhook;
pub mod command;
mod custom_kinds;
mod der;
mod engine;
mod failure;
mod gate;
mod handle;
mod kinds;
mod limits;
mod lookup;
mod object;
pub mod options;
mod protobuf;
mod registry;
mod request_metrics;
mod respond;
mod route;
mod run;
mod selection;
mod server;
mod start;
mod upkeep;
mod watch_cache;

pub use admit::UnknownPlugin;
pub use auth::authenticate::TokenFileError;
pub use auth::tokens::KeyFileError;
pub use options::{Options, Refused};
pub use run::{RunError, run};
pub use server::ListenError;
pub use server::tls::TlsError;
