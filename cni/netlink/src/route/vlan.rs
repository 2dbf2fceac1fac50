//! VLANs of bridge ports. Pure.

use super::AF_BRIDGE;
use super::link::header;
use crate::message::{DUMP, Message};
use crate::wire::{attributes, find, ne32};

const SETLINK: u16 = 19;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const AF_SPEC: u16 = 26;
const EXT_MASK: u16 = 29;
const BRIDGE_VLAN_INFO: u16 = 2;
const EXT_MASK_BRVLAN: u32 = 1 << 1;

const PVID: u16 = 1 << 1;
const UNTAGGED: u16 = 1 << 2;

/// A VLAN that a port is a member of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortVlan {
    /// Index of the port.
    pub index: u32,
    /// VLAN id, 1 to 4094.
    pub id: u16,
    /// Untagged frames belong to it, both ways.
    pub native: bool,
}

/// Makes a port a member of a VLAN.
#[must_use]
pub fn add(vlan: &PortVlan) -> Message {
    message(SETLINK, vlan)
}

/// Takes a port out of a VLAN.
#[must_use]
pub fn delete(vlan: &PortVlan) -> Message {
    message(DELLINK, vlan)
}

/// Asks for the VLANs of all ports.
#[must_use]
pub fn list() -> Message {
    let mut body = header(AF_BRIDGE, 0, 0, 0);
    body.u32(EXT_MASK, EXT_MASK_BRVLAN);
    Message::new(GETLINK, DUMP, body)
}

/// Reads the VLANs of one port out of an answer.
#[must_use]
pub fn decode(message: &Message) -> Vec<PortVlan> {
    let index = message.body.get(4..).and_then(ne32);
    let spec = message.body.get(16..).and_then(|a| find(a, AF_SPEC));
    let (Some(index), Some(spec)) = (index, spec) else {
        return Vec::new();
    };
    attributes(spec)
        .filter(|(kind, _)| *kind == BRIDGE_VLAN_INFO)
        .filter_map(|(_, value)| {
            let flags = u16::from_ne_bytes(*value.first_chunk()?);
            let id = u16::from_ne_bytes(*value.get(2..)?.first_chunk()?);
            Some(PortVlan {
                index,
                id,
                native: flags & PVID != 0,
            })
        })
        .collect()
}

fn message(kind: u16, vlan: &PortVlan) -> Message {
    let flags = if vlan.native { PVID | UNTAGGED } else { 0 };
    let mut info = flags.to_ne_bytes().to_vec();
    info.extend_from_slice(&vlan.id.to_ne_bytes());
    let mut body = header(AF_BRIDGE, vlan.index, 0, 0);
    body.nested(AF_SPEC, |spec| {
        spec.attr(BRIDGE_VLAN_INFO, &info);
    });
    Message::new(kind, 0, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for native in [false, true] {
            let vlan = PortVlan {
                index: 6,
                id: 100,
                native,
            };
            assert_eq!(decode(&add(&vlan)), vec![vlan]);
        }
    }
}
