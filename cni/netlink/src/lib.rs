//! The one place that talks route, nf_tables, conntrack and generic (IPVS) netlink.
//!
//! Three layers, each knowing only the one below:
//! [`wire`] encodes and decodes attributes (pure), [`route`], [`nft`], [`conntrack`] and [`ipvs`] turn values
//! into messages and replies into values (pure), and [`Socket`] carries messages to the kernel of
//! one network namespace. Everything is synchronous: a request is answered before `send` returns.
//!
//! One encoder serves the three protocols, because nf_tables has no usable typed crate and a
//! second mechanism for links would only be a second thing to learn.
//! This crate knows nothing of CNI, services or pods.

pub mod cidr;
pub mod conntrack;
mod error;
pub mod generic;
pub mod ipvs;
pub mod message;
pub mod namespace;
pub mod nft;
pub mod route;
mod socket;
pub mod wire;

pub use cidr::Cidr;
pub use error::{Error, Result};
pub use message::Message;
pub use namespace::NetNs;
pub use rustix::io::Errno;
pub use socket::{Outcome, Protocol, Socket};
