//! Generic netlink: a family of messages is found by its name, and numbered anew at each boot. Pure.

use crate::message::Message;
use crate::wire::{Body, find};

const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const CONTROL_VERSION: u8 = 2;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const HEADER: usize = 4;

/// The header that messages of a family begin with.
#[must_use]
pub fn header(command: u8, version: u8) -> Body {
    Body::with_header(&[command, version, 0, 0])
}

/// Asks for the number of a family; a kernel that has it as a module loads that. `ENOENT` where it
/// has none.
#[must_use]
pub fn query_family(name: &str) -> Message {
    let mut body = header(GET_FAMILY, CONTROL_VERSION);
    body.text(FAMILY_NAME, name);
    Message::new(CONTROL, 0, body)
}

/// Reads a family's number, which is the kind of its messages.
#[must_use]
pub fn decode_family(message: &Message) -> Option<u16> {
    let id = find(attributes_of(message)?, FAMILY_ID)?;
    id.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// What follows the header.
#[must_use]
pub fn attributes_of(message: &Message) -> Option<&[u8]> {
    message.body.get(HEADER..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_asked_for_and_read_so() {
        let asked = query_family("IPVS");
        assert_eq!(asked.kind, 16);
        assert_eq!(hex::encode(&asked.body), "03020000090002004950565300000000");
        let mut body = header(1, 2);
        body.text(FAMILY_NAME, "IPVS").u16(FAMILY_ID, 31);
        let answer = Message::new(CONTROL, 0, body);
        assert_eq!(decode_family(&answer), Some(31));
        assert_eq!(decode_family(&asked), None);
    }
}
