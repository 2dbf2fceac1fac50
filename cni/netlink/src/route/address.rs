//! Addresses of links. Pure.

use std::net::IpAddr;

use super::family;
use crate::cidr::Cidr;
use crate::message::{CREATE, DUMP, EXCL, Message};
use crate::wire::{Body, attributes, ip_from, ne32};

const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;

const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const BROADCAST: u16 = 4;

const FLAG_NODAD: u8 = 0x02;
const FLAG_TENTATIVE: u8 = 0x40;

/// An address on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub index: u32,
    /// The address and its prefix.
    pub cidr: Cidr,
    /// Duplicate detection has not ended yet (IPv6).
    pub tentative: bool,
}

/// Adds an address. IPv6 addresses are used at once, without duplicate detection, unless
/// `detect_duplicates`.
#[must_use]
pub fn add(address: &Address, detect_duplicates: bool) -> Message {
    let v6 = address.cidr.is_v6();
    let flags = if v6 && !detect_duplicates {
        FLAG_NODAD
    } else {
        0
    };
    let mut body = body(address, flags);
    if !v6 && address.cidr.prefix < 31 {
        body.ip(BROADCAST, address.cidr.last());
    }
    Message::new(NEWADDR, CREATE | EXCL, body)
}

/// Removes an address.
#[must_use]
pub fn delete(address: &Address) -> Message {
    Message::new(DELADDR, 0, body(address, 0))
}

/// Asks for all addresses of all links.
#[must_use]
pub fn list() -> Message {
    Message::new(GETADDR, DUMP, Body::with_header(&[0; 8]))
}

/// Reads one address out of an answer.
#[must_use]
pub fn decode(message: &Message) -> Option<Address> {
    let prefix = *message.body.get(1)?;
    let index = ne32(message.body.get(4..)?)?;
    let (mut local, mut remote): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    for (kind, value) in attributes(message.body.get(8..)?) {
        match kind {
            LOCAL => local = ip_from(value),
            ADDRESS => remote = ip_from(value),
            _ => {}
        }
    }
    let cidr = Cidr::new(local.or(remote)?, prefix)?;
    let tentative = message.body[2] & FLAG_TENTATIVE != 0;
    Some(Address {
        index,
        cidr,
        tentative,
    })
}

fn body(address: &Address, flags: u8) -> Body {
    let mut header = [0; 8];
    header[0] = family(address.cidr.addr);
    header[1] = address.cidr.prefix;
    header[2] = flags;
    header[4..].copy_from_slice(&address.index.to_ne_bytes());
    let mut body = Body::with_header(&header);
    body.ip(LOCAL, address.cidr.addr)
        .ip(ADDRESS, address.cidr.addr);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes() {
        for (text, expected) in [
            (
                "10.1.2.3/24",
                "02180000050000000800020 00a0102030800010 00a0102030800040 00a0102ff",
            ),
            (
                "fd00::3/64",
                "0a40020005000000 14000200fd000000000000000000000000000003 14000100fd000000000000000000000000000003",
            ),
        ] {
            let address = Address {
                index: 5,
                cidr: text.parse().unwrap(),
                tentative: false,
            };
            let message = add(&address, false);
            assert_eq!(
                hex::encode(&message.body),
                expected.replace(' ', ""),
                "{text}"
            );
            assert_eq!(decode(&message), Some(address));
        }
    }
}
