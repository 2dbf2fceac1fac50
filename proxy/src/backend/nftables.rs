//! The nftables backend, spoken straight over netlink.
//!
//! One table for each address family holds a fixed set of chains ([`skeleton`]) and maps
//! ([`layout`]). A Service is elements of maps, never a chain or a rule of its own: a packet's way
//! does not grow with the number of Services, a change is a few elements, and the kernel has no
//! graph to check again. What differs between Services in kind (how many endpoints, whether to
//! masquerade, how long clients stay) is a [`route`]: a chain shared by all Services of that kind.
//!
//! ```text
//! services:  address . protocol . port  ->  route  ->  chain
//! chain:     (cluster address . protocol . port . random number) -> endpoint, rewrite to it
//! ```
//!
//! A value that is the next look-up's key begins with a word of zeros, and is put where that word
//! falls before the key it was found by. The kernel does not care. `nft` does: its older versions
//! (1.0 in Debian 12) abort where they meet a key that came out of a map, and so would every
//! `nft list ruleset`; this way they take it for the key that was there before, and print that.
//!
//! Where IPVS picks endpoints instead, chains only mark and refuse ([`beside_ipvs`]).
//!
//! [`render`] (pure) turns the rules of a Service into elements, [`mirror`] (pure) a change of rules
//! into messages, [`affinity`] (pure) says which clients must not stay, and [`apply`] carries it all.

pub mod affinity;
pub mod apply;
pub mod beside_ipvs;
pub mod layout;
pub mod mirror;
pub mod render;
pub mod route;
pub mod skeleton;
pub mod text;

pub use super::Families;
pub use apply::{Nftables, NftablesError};

use keelson_netlink::nft::{Comparison, Expression, Register};

/// Registers that an address takes.
fn width(v6: bool) -> u8 {
    if v6 { 4 } else { 1 }
}

/// Where keys begin: one after the first register, which takes a value's word of zeros.
const KEY: u8 = 1;

/// Loads destination, protocol and port: the key of most maps.
fn destination(v6: bool) -> Vec<Expression> {
    let mut load = vec![address(v6, false, KEY)];
    load.extend(port_at(KEY + width(v6)));
    load
}

/// Loads protocol and port: the key of the node ports' maps.
fn port() -> [Expression; 2] {
    port_at(KEY)
}

fn port_at(register: u8) -> [Expression; 2] {
    [
        Expression::L4Protocol(Register(register)),
        Expression::DestinationPort(Register(register + 1)),
    ]
}

/// Looks the key up and puts the value in its place.
fn replaced_by(map: layout::Set) -> Expression {
    from_map(map, KEY, KEY - 1)
}

fn address(v6: bool, source: bool, to: u8) -> Expression {
    Expression::Address {
        to: Register(to),
        v6,
        source,
    }
}

fn compare(register: u8, how: Comparison, value: impl Into<Vec<u8>>) -> Expression {
    Expression::Compare(Register(register), how, value.into())
}

fn in_set(set: layout::Set, key: u8, inverted: bool) -> Expression {
    Expression::InSet {
        set: set.name().to_owned(),
        key: Register(key),
        inverted,
    }
}

fn from_map(map: layout::Set, key: u8, to: u8) -> Expression {
    Expression::FromMap {
        map: map.name().to_owned(),
        key: Register(key),
        to: Register(to),
    }
}

fn verdict_map(map: layout::Set) -> Expression {
    Expression::VerdictMap {
        map: map.name().to_owned(),
        key: Register(KEY),
    }
}

#[cfg(test)]
mod tests;
