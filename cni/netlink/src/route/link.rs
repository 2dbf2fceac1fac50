//! Links: bridges and veth pairs made, changed, removed and read. Pure.

use std::fmt;
use std::os::fd::RawFd;
use std::str::FromStr;

use crate::message::{CREATE, DUMP, EXCL, Message};
use crate::wire::{Body, attributes, find, ne32, text};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;

const ADDRESS: u16 = 1;
const IFNAME: u16 = 3;
const MTU: u16 = 4;
const LINK: u16 = 5;
const MASTER: u16 = 10;
const PROTINFO: u16 = 12;
const OPERSTATE: u16 = 16;
const LINKINFO: u16 = 18;
const IFALIAS: u16 = 20;
const NET_NS_FD: u16 = 28;
const EXT_MASK: u16 = 29;

const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_PEER: u16 = 1;
const BRIDGE_VLAN_FILTERING: u16 = 7;
const PORT_HAIRPIN: u16 = 4;
const PORT_ISOLATED: u16 = 33;

const EXT_MASK_SKIP_STATS: u32 = 1 << 3;

const IFF_UP: u32 = 0x1;
const IFF_PROMISC: u32 = 0x100;
const OPER_UP: u8 = 6;

/// A hardware address of six bytes, written `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hardware address of six hexadecimal bytes")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let bad = || MacError(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let bytes: Vec<u8> = text
            .split(separator)
            .map(|part| match part.len() {
                2 => u8::from_str_radix(part, 16).map_err(|_| bad()),
                _ => Err(bad()),
            })
            .collect::<Result<_, _>>()?;
        bytes.try_into().map(Self).map_err(|_| bad())
    }
}

/// A link as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// Interface index, unique within its namespace.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// `bridge`, `veth`, ...; empty for plain devices.
    pub kind: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Hardware address where it has one of six bytes.
    pub mac: Option<Mac>,
    /// Index of the bridge it is a port of.
    pub master: Option<u32>,
    /// Index of the other end of a veth pair, in the other end's namespace.
    pub peer: Option<u32>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is operationally up.
    pub running: bool,
    /// Whether the promiscuous flag is set.
    pub promiscuous: bool,
    /// Free text.
    pub alias: String,
    /// Bridge: whether it filters by VLAN.
    pub vlan_filtering: bool,
    /// Port: frames may go back where they came from.
    pub hairpin: bool,
    /// Port: no frames to other isolated ports.
    pub isolated: bool,
}

/// Reads one link out of an answer.
#[must_use]
pub fn decode(message: &Message) -> Option<Link> {
    let flags = ne32(message.body.get(8..)?)?;
    let mut link = Link {
        index: ne32(message.body.get(4..)?)?,
        up: flags & IFF_UP != 0,
        promiscuous: flags & IFF_PROMISC != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(message.body.get(16..)?) {
        match kind {
            ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFNAME => link.name = text(value),
            MTU => link.mtu = ne32(value)?,
            LINK => link.peer = ne32(value),
            MASTER => link.master = ne32(value),
            OPERSTATE => link.running = value.first() == Some(&OPER_UP),
            IFALIAS => link.alias = text(value),
            LINKINFO => decode_info(value, &mut link),
            _ => {}
        }
    }
    Some(link)
}

fn decode_info(info: &[u8], link: &mut Link) {
    let flag = |nest: &[u8], kind| find(nest, kind).and_then(|v| v.first()) == Some(&1);
    for (kind, value) in attributes(info) {
        match kind {
            INFO_KIND => link.kind = text(value),
            INFO_DATA => link.vlan_filtering = flag(value, BRIDGE_VLAN_FILTERING),
            INFO_SLAVE_DATA => {
                link.hairpin = flag(value, PORT_HAIRPIN);
                link.isolated = flag(value, PORT_ISOLATED);
            }
            _ => {}
        }
    }
}

/// Asks for one link by name.
#[must_use]
pub fn query(name: &str) -> Message {
    let mut body = header(0, 0, 0, 0);
    body.text(IFNAME, name).u32(EXT_MASK, EXT_MASK_SKIP_STATS);
    Message::new(GETLINK, 0, body)
}

/// Asks for all links.
#[must_use]
pub fn list() -> Message {
    let mut body = header(0, 0, 0, 0);
    body.u32(EXT_MASK, EXT_MASK_SKIP_STATS);
    Message::new(GETLINK, DUMP, body)
}

/// A bridge to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBridge {
    /// Its name.
    pub name: String,
    /// Its hardware address; giving one keeps the kernel from changing it with every port.
    pub mac: Mac,
    /// Its MTU; `None` leaves it to the kernel.
    pub mtu: Option<u32>,
    /// Whether it filters by VLAN.
    pub vlan_filtering: bool,
}

/// Makes a bridge, up; fails where the name is taken.
#[must_use]
pub fn create_bridge(bridge: &NewBridge) -> Message {
    let mut body = header(0, 0, IFF_UP, IFF_UP);
    body.text(IFNAME, &bridge.name).attr(ADDRESS, &bridge.mac.0);
    if let Some(mtu) = bridge.mtu {
        body.u32(MTU, mtu);
    }
    body.nested(LINKINFO, |info| {
        info.text(INFO_KIND, "bridge");
        if bridge.vlan_filtering {
            info.nested(INFO_DATA, |data| {
                data.u8(BRIDGE_VLAN_FILTERING, 1);
            });
        }
    });
    Message::new(NEWLINK, CREATE | EXCL, body)
}

/// Makes a dummy link, up: it has addresses and takes packets, and sends none. Fails where the name
/// is taken.
#[must_use]
pub fn create_dummy(name: &str) -> Message {
    let mut body = header(0, 0, IFF_UP, IFF_UP);
    body.text(IFNAME, name);
    body.nested(LINKINFO, |info| {
        info.text(INFO_KIND, "dummy");
    });
    Message::new(NEWLINK, CREATE | EXCL, body)
}

/// A veth pair to make: one end here, the other in another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVeth {
    /// Name of the end here.
    pub name: String,
    /// Hardware address of the end here; `None` lets the kernel choose.
    pub mac: Option<Mac>,
    /// Bridge that the end here becomes a port of.
    pub master: Option<u32>,
    /// MTU of both ends; `None` leaves it to the kernel.
    pub mtu: Option<u32>,
    /// Name of the other end.
    pub peer_name: String,
    /// Hardware address of the other end; `None` lets the kernel choose.
    pub peer_mac: Option<Mac>,
    /// Descriptor of the other end's namespace; `None` keeps it here.
    pub peer_namespace: Option<RawFd>,
}

/// Makes a veth pair in one request: the near end up and in its bridge, the far end (still down)
/// straight in its namespace. Fails where either name is taken.
#[must_use]
pub fn create_veth(veth: &NewVeth) -> Message {
    let mut body = header(0, 0, IFF_UP, IFF_UP);
    end(&mut body, &veth.name, veth.mac, veth.mtu);
    if let Some(master) = veth.master {
        body.u32(MASTER, master);
    }
    body.nested(LINKINFO, |info| {
        info.text(INFO_KIND, "veth").nested(INFO_DATA, |data| {
            let mut peer = header(0, 0, 0, 0);
            end(&mut peer, &veth.peer_name, veth.peer_mac, veth.mtu);
            if let Some(fd) = veth.peer_namespace {
                peer.attr(NET_NS_FD, &fd.to_ne_bytes());
            }
            data.attr(VETH_PEER, peer.as_bytes());
        });
    });
    Message::new(NEWLINK, CREATE | EXCL, body)
}

fn end(body: &mut Body, name: &str, mac: Option<Mac>, mtu: Option<u32>) {
    body.text(IFNAME, name);
    if let Some(mac) = mac {
        body.attr(ADDRESS, &mac.0);
    }
    if let Some(mtu) = mtu {
        body.u32(MTU, mtu);
    }
}

/// Brings a link up or down.
#[must_use]
pub fn set_up(index: u32, up: bool) -> Message {
    Message::new(
        NEWLINK,
        0,
        header(0, index, if up { IFF_UP } else { 0 }, IFF_UP),
    )
}

/// Switches promiscuous mode.
#[must_use]
pub fn set_promiscuous(index: u32, on: bool) -> Message {
    let flag = if on { IFF_PROMISC } else { 0 };
    Message::new(NEWLINK, 0, header(0, index, flag, IFF_PROMISC))
}

/// Sets the hardware address.
#[must_use]
pub fn set_mac(index: u32, mac: Mac) -> Message {
    let mut body = header(0, index, 0, 0);
    body.attr(ADDRESS, &mac.0);
    Message::new(SETLINK, 0, body)
}

/// Sets the free text of the link called `name`.
#[must_use]
pub fn set_alias(name: &str, alias: &str) -> Message {
    let mut body = header(0, 0, 0, 0);
    body.text(IFNAME, name).attr(IFALIAS, alias.as_bytes());
    Message::new(SETLINK, 0, body)
}

/// Sets hairpin and isolation of a bridge port.
#[must_use]
pub fn set_port(index: u32, hairpin: bool, isolated: bool) -> Message {
    let mut body = header(super::AF_BRIDGE, index, 0, 0);
    body.nested(PROTINFO, |port| {
        port.u8(PORT_HAIRPIN, hairpin.into())
            .u8(PORT_ISOLATED, isolated.into());
    });
    Message::new(SETLINK, 0, body)
}

/// Removes the link called `name`; a veth takes its other end along.
#[must_use]
pub fn delete(name: &str) -> Message {
    let mut body = header(0, 0, 0, 0);
    body.text(IFNAME, name);
    Message::new(DELLINK, 0, body)
}

pub(super) fn header(family: u8, index: u32, flags: u32, change: u32) -> Body {
    let mut bytes = [0; 16];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    Body::with_header(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_round_trips_and_refuses() {
        let mac: Mac = "0a:58:0A:00:00:05".parse().unwrap();
        assert_eq!(mac.to_string(), "0a:58:0a:00:00:05");
        assert_eq!("0a-58-0a-00-00-05".parse(), Ok(mac));
        for bad in ["", "0a:58", "0a:58:0a:00:00:0g", "0a:58:0a:00:00:05:06"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }

    #[test]
    fn veth_is_one_request_with_master_mtu_and_namespace() {
        let message = create_veth(&NewVeth {
            name: "v0".into(),
            mac: None,
            master: Some(7),
            mtu: Some(1400),
            peer_name: "eth0".into(),
            peer_mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            peer_namespace: Some(9),
        });
        assert_eq!(message.kind, NEWLINK);
        assert_eq!(
            hex::encode(&message.body),
            "00000000000000000100000001000000\
             0700030076300000\
             0800040078050000\
             08000a0007000000\
             50001280\
             0900010076657468\
             00000000\
             40000280\
             3c000100\
             00000000000000000000000000000000\
             0900030065746830\
             00000000\
             0a000100020000000001\
             0000\
             0800040078050000\
             08001c0009000000"
        );
    }

    #[test]
    fn decodes_a_bridge_port() {
        let mut body = header(0, 3, IFF_UP, 0);
        body.text(IFNAME, "v0")
            .u32(MASTER, 7)
            .u8(OPERSTATE, 6)
            .nested(LINKINFO, |info| {
                info.text(INFO_KIND, "veth")
                    .nested(INFO_SLAVE_DATA, |data| {
                        data.u8(PORT_HAIRPIN, 1).u8(PORT_ISOLATED, 0);
                    });
            });
        let link = decode(&Message::new(NEWLINK, 0, body)).unwrap();
        assert_eq!(
            link,
            Link {
                index: 3,
                name: "v0".into(),
                kind: "veth".into(),
                master: Some(7),
                up: true,
                running: true,
                hairpin: true,
                ..Link::default()
            }
        );
        assert_eq!(
            decode(&Message {
                kind: 16,
                flags: 0,
                body: vec![0; 3]
            }),
            None
        );
    }
}
