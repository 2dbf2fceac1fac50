//! The iptables backend: upstream's chains by upstream's names, so that each can take over from the
//! other, written by `iptables-restore --noflush` of whichever variant (nf_tables or legacy) the host
//! has.
//!
//! A Service's endpoints have chains of their own, and only the chains that changed are sent. What all
//! Services share (the chains that lead to theirs) is one list, which is sent with every change: that
//! is the price of iptables, and why nftables is the default.
//!
//! [`names`] and [`render`] (pure) say what the chains of a Service are, [`script`] (pure) what
//! `iptables-restore` reads, [`apply`] runs it.

pub mod apply;
pub mod names;
pub mod render;
pub mod script;

pub use apply::{Iptables, IptablesError, Variant};

#[cfg(test)]
mod tests;
