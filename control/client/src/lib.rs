//! Talks to an apiserver, ours or upstream's, over its public wire alone.
//!
//! - [`kubeconfig`]: where the server is and who we are.
//! - [`client`]: typed requests over one small pool of connections ([`transport`]).
//! - [`cache`]: a reflector keeps a [`cache::Store`] equal to what the server holds.
//! - [`queue`] and [`runner`]: keyed work, deduplicated, delayed, never two of one key at once.
//! - [`leader`]: one of many leads, by a Lease.
//! - [`events`]: events, aggregated and limited.
//! - [`review`] and [`site`]: who a caller is and what they may do, as the cluster says, and HTTPS
//!   for a program's health and figures behind that.
//! - [`allocator`] and [`footprint`]: programs that wait stay small.
//! - [`validity`]: how long a certificate is good.
//!
//! The crate knows no kind of object: its users bring types with the fields that they read.

pub mod allocator;
pub mod backoff;
pub mod cache;
pub mod client;
pub mod error;
pub mod events;
pub mod footprint;
pub mod index;
pub mod kept;
pub mod kubeconfig;
pub mod leader;
pub mod metrics;
pub mod path;
pub mod queue;
pub mod request;
pub mod review;
pub mod runner;
pub mod site;
pub mod transport;
pub mod validity;
pub mod watch;

pub use cache::{Change, Key, Object, Store};
pub use client::Client;
pub use error::{Error, Status};
pub use path::{ApiPath, Resource};
pub use queue::Queue;
