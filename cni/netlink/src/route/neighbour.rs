//! Neighbours: which hardware address an IP address has on a link. Pure.

use std::net::IpAddr;

use super::family;
use super::link::Mac;
use crate::message::{CREATE, DUMP, Message};
use crate::wire::{Body, attributes, ip_from, ne32};

const NEWNEIGH: u16 = 28;
const DELNEIGH: u16 = 29;
const GETNEIGH: u16 = 30;
const DST: u16 = 1;
const LLADDR: u16 = 2;
const STATE_PERMANENT: u16 = 0x80;

/// An entry of the neighbour table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The link's index.
    pub index: u32,
    /// The neighbour's address.
    pub addr: IpAddr,
    /// Its hardware address; `None` where it is not resolved.
    pub mac: Option<Mac>,
}

/// Adds or replaces a permanent entry.
#[must_use]
pub fn add(neighbour: &Neighbour) -> Message {
    Message::new(NEWNEIGH, CREATE | 0x100, body(neighbour))
}

/// Removes an entry.
#[must_use]
pub fn delete(neighbour: &Neighbour) -> Message {
    Message::new(DELNEIGH, 0, body(neighbour))
}

/// Asks for all entries.
#[must_use]
pub fn list() -> Message {
    Message::new(GETNEIGH, DUMP, Body::with_header(&[0; 12]))
}

/// Reads one entry out of an answer.
#[must_use]
pub fn decode(message: &Message) -> Option<Neighbour> {
    let index = ne32(message.body.get(4..)?)?;
    let (mut addr, mut mac) = (None, None);
    for (kind, value) in attributes(message.body.get(12..)?) {
        match kind {
            DST => addr = ip_from(value),
            LLADDR => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
    }
    Some(Neighbour {
        index,
        addr: addr?,
        mac,
    })
}

fn body(neighbour: &Neighbour) -> Body {
    let mut header = [0; 12];
    header[0] = family(neighbour.addr);
    header[4..8].copy_from_slice(&neighbour.index.to_ne_bytes());
    header[8..10].copy_from_slice(&STATE_PERMANENT.to_ne_bytes());
    let mut body = Body::with_header(&header);
    body.ip(DST, neighbour.addr);
    if let Some(mac) = neighbour.mac {
        body.attr(LLADDR, &mac.0);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let neighbour = Neighbour {
            index: 4,
            addr: "fd00::9".parse().unwrap(),
            mac: Some(Mac([2, 0, 0, 0, 0, 9])),
        };
        assert_eq!(decode(&add(&neighbour)), Some(neighbour));
    }
}
