//! What a transaction adds to or removes from the ruleset, as messages. Pure.

use super::expression::{Expression, write_list};
pub use super::set::{SetKind, Traits, add_set, add_set_with};
use crate::message::{APPEND, CREATE, DUMP, Message};
use crate::wire::{Body, attributes, text};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const DELCHAIN: u16 = SUBSYSTEM | 5;
const NEWRULE: u16 = SUBSYSTEM | 6;
const DELRULE: u16 = SUBSYSTEM | 8;
const DELSET: u16 = SUBSYSTEM | 11;
const GETGEN: u16 = SUBSYSTEM | 16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4 alone.
    Ip,
    /// IPv6 alone.
    Ip6,
    /// Frames that pass a bridge.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
            Self::Bridge => 7,
        }
    }
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Let pass or drop.
    Filter,
    /// Rewrite addresses of new connections.
    Nat,
}

/// Where in a packet's way a base chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// On arrival.
    Prerouting,
    /// On its way through.
    Forward,
    /// On its way to this machine.
    Input,
    /// Sent by this machine.
    Output,
    /// On departure.
    Postrouting,
}

/// A chain called by the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// Name within the table.
    pub name: String,
    /// What it may do.
    pub kind: ChainKind,
    /// Where it is called.
    pub hook: Hook,
    /// Order among the chains of one hook; lower is earlier.
    pub priority: i32,
}

/// A basic type of a set's key or a map's value; its length in bytes follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// Transport protocol.
    Protocol,
    /// Port.
    Port,
    /// Hardware address.
    Ether,
    /// Interface name.
    InterfaceName,
    /// Number of 32 bits, in the machine's order.
    Mark,
}

impl Type {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Ether => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::InterfaceName => 41,
        }
    }

    pub(super) fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Mark => 4,
            Self::Ipv6 | Self::InterfaceName => 16,
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Ether => 6,
        }
    }
}

/// Adds a table; nothing happens where it exists.
#[must_use]
pub fn add_table(family: Family, table: &str) -> Message {
    let mut body = header(family);
    body.text(1, table).be32(2, 0);
    Message::new(NEWTABLE, CREATE, body)
}

/// Removes a table and all in it.
#[must_use]
pub fn delete_table(family: Family, table: &str) -> Message {
    let mut body = header(family);
    body.text(1, table);
    Message::new(DELTABLE, 0, body)
}

/// Adds a chain that rules and maps jump to; nothing happens where it exists.
#[must_use]
pub fn add_chain(family: Family, table: &str, chain: &str) -> Message {
    let mut body = header(family);
    body.text(1, table).text(3, chain);
    Message::new(NEWCHAIN, CREATE, body)
}

/// Removes a set or map that no rule refers to.
#[must_use]
pub fn delete_set(family: Family, table: &str, set: &str) -> Message {
    let mut body = header(family);
    body.text(1, table).text(2, set);
    Message::new(DELSET, 0, body)
}

/// Removes a chain that nothing jumps to.
#[must_use]
pub fn delete_chain(family: Family, table: &str, chain: &str) -> Message {
    let mut body = header(family);
    body.text(1, table).text(3, chain);
    Message::new(DELCHAIN, 0, body)
}

/// Adds a chain that the kernel calls; nothing happens where it exists.
#[must_use]
pub fn add_base_chain(family: Family, table: &str, chain: &BaseChain) -> Message {
    let hook = match chain.hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    };
    let kind = match chain.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    let mut body = header(family);
    body.text(1, table)
        .text(3, &chain.name)
        .nested(4, |nest| {
            nest.be32(1, hook).attr(2, &chain.priority.to_be_bytes());
        })
        .be32(5, 1)
        .text(7, kind);
    Message::new(NEWCHAIN, CREATE, body)
}

/// Removes all rules of a chain.
#[must_use]
pub fn flush_chain(family: Family, table: &str, chain: &str) -> Message {
    let mut body = header(family);
    body.text(1, table).text(2, chain);
    Message::new(DELRULE, 0, body)
}

/// Adds a rule at the end of a chain.
#[must_use]
pub fn add_rule(family: Family, table: &str, chain: &str, rule: &[Expression]) -> Message {
    let mut body = header(family);
    body.text(1, table)
        .text(2, chain)
        .nested(4, |list| write_list(rule, list));
    Message::new(NEWRULE, CREATE | APPEND, body)
}

/// Asks for all chains of a family.
#[must_use]
pub fn list_chains(family: Family) -> Message {
    Message::new(GETCHAIN, DUMP, header(family))
}

/// Reads table and chain name out of an answer.
#[must_use]
pub fn decode_chain(message: &Message) -> Option<(String, String)> {
    let (mut table, mut chain) = (None, None);
    for (kind, value) in attributes(message.body.get(4..)?) {
        match kind {
            1 => table = Some(text(value)),
            3 => chain = Some(text(value)),
            _ => {}
        }
    }
    Some((table?, chain?))
}

/// Asks for the ruleset's generation, which every transaction of anybody raises.
#[must_use]
pub fn query_generation() -> Message {
    Message::new(GETGEN, 0, Body::with_header(&[0; 4]))
}

/// Begins a transaction; with a generation it is refused (`ERESTART`) where that has passed.
#[must_use]
pub fn begin(generation: Option<u32>) -> Message {
    let mut body = batch_header();
    if let Some(generation) = generation {
        body.be32(BATCH_GENERATION, generation);
    }
    Message::new(BATCH_BEGIN, 0, body)
}

/// Ends a transaction.
#[must_use]
pub fn end() -> Message {
    Message::new(BATCH_END, 0, batch_header())
}

pub(super) fn header(family: Family) -> Body {
    Body::with_header(&[family.number(), 0, 0, 0])
}

fn batch_header() -> Body {
    Body::with_header(&[0, 0, 0, 10])
}
