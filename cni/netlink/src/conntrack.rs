//! Connection tracking: listing flows by what they were sent to, and forgetting them. Pure.

use std::net::IpAddr;

use crate::message::{DUMP, Message};
use crate::wire::{Body, attributes, be16, find, ip_from};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;

const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_V4_SOURCE: u16 = 1;
const IP_V4_DESTINATION: u16 = 2;
const IP_V6_SOURCE: u16 = 3;
const IP_V6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;

const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
const FILTER_ON_PROTOCOL: u32 = 1 << 3;
const FILTER_ON_DESTINATION_PORT: u32 = 1 << 5;

/// UDP's protocol number.
pub const UDP: u8 = 17;

/// One direction of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Transport protocol number.
    pub protocol: u8,
    /// Sender's port; 0 where the protocol has none.
    pub source_port: u16,
    /// Receiver's port; 0 where the protocol has none.
    pub destination_port: u16,
}

/// A flow the kernel tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// As its first packet was sent.
    pub original: Tuple,
    /// As answers to it arrive.
    pub reply: Tuple,
    /// The kernel's id, which a later flow of the same addresses does not share.
    pub id: u32,
    raw_original: Vec<u8>,
}

impl Flow {
    /// A flow as a kernel would tell of it, for tests of what is decided about flows; it cannot be
    /// deleted.
    #[must_use]
    pub fn new(original: Tuple, reply: Tuple) -> Self {
        Self {
            original,
            reply,
            id: 0,
            raw_original: Vec::new(),
        }
    }
}

/// Asks for the flows of `protocol` that were sent to `port`. The kernel filters from 5.8 on; an
/// older one sends everything, so compare [`Flow::original`] again.
#[must_use]
pub fn list_to_port(v6: bool, protocol: u8, port: u16) -> Message {
    let mut body = header(v6);
    body.nested(TUPLE_ORIGINAL, |tuple| {
        tuple.nested(TUPLE_PROTOCOL, |nest| {
            nest.u8(PROTOCOL_NUMBER, protocol)
                .be16(PROTOCOL_DESTINATION_PORT, port);
        });
    });
    body.nested(FILTER, |filter| {
        filter
            .u32(
                FILTER_ORIGINAL,
                FILTER_ON_PROTOCOL | FILTER_ON_DESTINATION_PORT,
            )
            .u32(FILTER_REPLY, 0);
    });
    Message::new(GET, DUMP, body)
}

/// Asks for all flows of one family.
#[must_use]
pub fn list(v6: bool) -> Message {
    Message::new(GET, DUMP, header(v6))
}

/// Forgets a flow; fails where it is gone already.
#[must_use]
pub fn delete(flow: &Flow) -> Message {
    let mut body = header(flow.original.source.is_ipv6());
    body.attr(TUPLE_ORIGINAL | 0x8000, &flow.raw_original)
        .be32(ID, flow.id);
    Message::new(DELETE, 0, body)
}

/// Reads one flow out of an answer.
#[must_use]
pub fn decode(message: &Message) -> Option<Flow> {
    let attrs = message.body.get(4..)?;
    let raw = find(attrs, TUPLE_ORIGINAL)?;
    Some(Flow {
        original: decode_tuple(raw)?,
        reply: decode_tuple(find(attrs, TUPLE_REPLY)?)?,
        id: crate::wire::be32(find(attrs, ID)?)?,
        raw_original: raw.to_vec(),
    })
}

fn decode_tuple(bytes: &[u8]) -> Option<Tuple> {
    let (mut source, mut destination) = (None, None);
    for (kind, value) in attributes(find(bytes, TUPLE_IP)?) {
        match kind {
            IP_V4_SOURCE | IP_V6_SOURCE => source = ip_from(value),
            IP_V4_DESTINATION | IP_V6_DESTINATION => destination = ip_from(value),
            _ => {}
        }
    }
    let protocol = find(bytes, TUPLE_PROTOCOL)?;
    let port = |kind| find(protocol, kind).and_then(be16).unwrap_or(0);
    Some(Tuple {
        source: source?,
        destination: destination?,
        protocol: *find(protocol, PROTOCOL_NUMBER)?.first()?,
        source_port: port(PROTOCOL_SOURCE_PORT),
        destination_port: port(PROTOCOL_DESTINATION_PORT),
    })
}

fn header(v6: bool) -> Body {
    Body::with_header(&[if v6 { 10 } else { 2 }, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_encoded_so() {
        let message = list_to_port(false, UDP, 53);
        assert_eq!(
            hex::encode(&message.body),
            "02000000\
             18000180\
             14000280\
             0500010011000000\
             0600030000350000\
             14001980\
             0800010028000000\
             0800020000000000"
        );
    }

    #[test]
    fn decodes_a_flow_and_names_it_for_deletion() {
        let mut body = header(false);
        for (kind, a, b) in [
            (TUPLE_ORIGINAL, [1, 1, 1, 1], [2, 2, 2, 2]),
            (TUPLE_REPLY, [3, 3, 3, 3], [1, 1, 1, 1]),
        ] {
            body.nested(kind, |tuple| {
                tuple
                    .nested(TUPLE_IP, |ip| {
                        ip.attr(IP_V4_SOURCE, &a).attr(IP_V4_DESTINATION, &b);
                    })
                    .nested(TUPLE_PROTOCOL, |p| {
                        p.u8(PROTOCOL_NUMBER, UDP)
                            .be16(PROTOCOL_SOURCE_PORT, 9)
                            .be16(PROTOCOL_DESTINATION_PORT, 53);
                    });
            });
        }
        body.be32(ID, 77);
        let flow = decode(&Message::new(GET, 0, body)).unwrap();
        assert_eq!(flow.original.destination_port, 53);
        assert_eq!(flow.reply.source, IpAddr::from([3, 3, 3, 3]));
        let again = delete(&flow);
        assert_eq!(
            find(&again.body[4..], TUPLE_ORIGINAL),
            Some(&flow.raw_original[..])
        );
    }
}
