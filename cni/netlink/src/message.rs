//! Netlink messages: a kind, flags and a body, framed for the socket and split out of a reply. Pure.

use rustix::io::Errno;

use crate::wire::{Body, ne32};

/// Request.
pub const REQUEST: u16 = 0x1;
/// Answer with an acknowledgement.
pub const ACK: u16 = 0x4;
/// All objects of a table.
pub const DUMP: u16 = 0x300;
/// Put in the place of what exists.
pub const REPLACE: u16 = 0x100;
/// Fail where the object exists.
pub const EXCL: u16 = 0x200;
/// Create what does not exist.
pub const CREATE: u16 = 0x400;
/// Put at the end of a list (rules).
pub const APPEND: u16 = 0x800;

const HEADER: usize = 16;
const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;

/// One request to the kernel, or one object in its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The protocol's message type.
    pub kind: u16,
    /// Netlink flags beside those the socket sets itself (request, acknowledge).
    pub flags: u16,
    /// Header of the protocol and attributes.
    pub body: Vec<u8>,
}

impl Message {
    /// A message from its parts.
    #[must_use]
    pub fn new(kind: u16, flags: u16, body: Body) -> Self {
        Self {
            kind,
            flags,
            body: body.into_bytes(),
        }
    }

    /// Appends the framed message to `out` under sequence number `seq`.
    pub fn write(&self, seq: u32, extra_flags: u16, out: &mut Vec<u8>) {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&(self.flags | extra_flags).to_ne_bytes());
        out.extend_from_slice(&seq.to_ne_bytes());
        out.extend_from_slice(&0_u32.to_ne_bytes());
        out.extend_from_slice(&self.body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// What a frame from the kernel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An object.
    Object(Message),
    /// The end of a request: zero or an errno.
    Ack(Option<Errno>),
    /// The end of a dump.
    Done,
}

/// Splits a datagram into frames with their sequence numbers; ends at the first broken one.
#[must_use]
pub fn frames(mut bytes: &[u8]) -> Vec<(u32, Frame)> {
    let mut out = Vec::new();
    while let Some((seq, frame, rest)) = first_frame(bytes) {
        out.push((seq, frame));
        bytes = rest;
    }
    out
}

fn first_frame(bytes: &[u8]) -> Option<(u32, Frame, &[u8])> {
    let length = usize::try_from(ne32(bytes)?).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let flags = u16::from_ne_bytes(*bytes.get(6..)?.first_chunk()?);
    let seq = ne32(bytes.get(8..)?)?;
    let body = bytes.get(HEADER..length)?;
    let frame = match kind {
        KIND_ERROR => Frame::Ack(errno(ne32(body)?)),
        KIND_DONE => match ne32(body).and_then(errno) {
            Some(failed) => Frame::Ack(Some(failed)),
            None => Frame::Done,
        },
        _ => Frame::Object(Message {
            kind,
            flags,
            body: body.to_vec(),
        }),
    };
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((seq, frame, rest))
}

fn errno(raw: u32) -> Option<Errno> {
    let negated = 0_u32.wrapping_sub(raw);
    if raw == 0 {
        return None;
    }
    Some(Errno::from_raw_os_error(
        i32::try_from(negated).unwrap_or(i32::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_split_and_carry_errno() {
        let mut bytes = Vec::new();
        let sent = Message {
            kind: 16,
            flags: ACK,
            body: vec![1, 2, 3, 4],
        };
        sent.write(5, REQUEST, &mut bytes);
        let mut refused = Vec::new();
        Message {
            kind: KIND_ERROR,
            flags: 0,
            body: (-17_i32).to_ne_bytes().to_vec(),
        }
        .write(6, 0, &mut refused);
        bytes.extend(refused);
        let read = frames(&bytes);
        assert_eq!(read[1], (6, Frame::Ack(Some(Errno::EXIST))));
        assert_eq!(
            read[0],
            (
                5,
                Frame::Object(Message {
                    flags: ACK | REQUEST,
                    ..sent
                })
            )
        );
        assert_eq!(frames(&bytes[..15]), vec![]);
    }
}
