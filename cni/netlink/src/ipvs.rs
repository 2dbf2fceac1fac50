//! IPVS, the kernel's load balancer: virtual servers and the real ones behind them, as messages of
//! generic netlink (pure), and [`Balancer`], which carries them.

mod balancer;

use std::net::IpAddr;

pub use balancer::Balancer;

use crate::generic::{attributes_of, header};
use crate::message::{DUMP, Message};
use crate::wire::{Body, attributes, be16, find, ip_from, ne32, text};

/// Name of the family.
pub const FAMILY: &str = "IPVS";
/// Clients stay with a real server for a while.
pub const PERSISTENT: u32 = 0x1;
/// The schedulers `sh` and `mh` heed the client's port too.
pub const BY_PORT: u32 = 0x10;
/// Set by the kernel, not by us.
const HASHED: u32 = 0x2;

const VERSION: u8 = 1;
const NEW_SERVICE: u8 = 1;
const SET_SERVICE: u8 = 2;
const DELETE_SERVICE: u8 = 3;
const GET_SERVICE: u8 = 4;
const NEW_DESTINATION: u8 = 5;
const SET_DESTINATION: u8 = 6;
const DELETE_DESTINATION: u8 = 7;
const GET_DESTINATION: u8 = 8;
const SET_CONFIG: u8 = 12;

const SERVICE: u16 = 1;
const DESTINATION: u16 = 2;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;

const SERVICE_FAMILY: u16 = 1;
const SERVICE_PROTOCOL: u16 = 2;
const SERVICE_ADDRESS: u16 = 3;
const SERVICE_PORT: u16 = 4;
const SERVICE_SCHEDULER: u16 = 6;
const SERVICE_FLAGS: u16 = 7;
const SERVICE_TIMEOUT: u16 = 8;
const SERVICE_NETMASK: u16 = 9;

const DESTINATION_ADDRESS: u16 = 1;
const DESTINATION_PORT: u16 = 2;
const DESTINATION_METHOD: u16 = 3;
const DESTINATION_WEIGHT: u16 = 4;
const DESTINATION_UPPER: u16 = 5;
const DESTINATION_LOWER: u16 = 6;
const DESTINATION_ACTIVE: u16 = 7;
const DESTINATION_INACTIVE: u16 = 8;

const INET: u16 = 2;
const INET6: u16 = 10;
/// The destination is rewritten.
const REWRITE: u32 = 0;

/// Where a virtual server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Its address.
    pub ip: IpAddr,
    /// Number of its transport protocol.
    pub protocol: u8,
    /// Its port.
    pub port: u16,
}

/// How a virtual server spreads its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conduct {
    /// Name of the scheduler.
    pub scheduler: String,
    /// [`PERSISTENT`] and [`BY_PORT`].
    pub flags: u32,
    /// Seconds for which clients stay, where they do.
    pub stay: u32,
}

/// A real server of a virtual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its share of new connections; 0 for none.
    pub weight: u32,
    /// Connections the kernel knows of, whatever their state.
    pub connections: u32,
}

/// A change of a virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is to be one of this conduct; one that is there gets it.
    Put(Place, Conduct),
    /// It goes, with its real servers.
    Remove(Place),
    /// It is to have a real server of this weight; one that is there gets it.
    PutDestination(Place, Destination),
    /// A real server goes; its connections break.
    RemoveDestination(Place, Destination),
}

/// Whether a change makes something or alters what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Make,
    Alter,
}

fn change(family: u16, change: &Change, how: How) -> Message {
    let command = match (change, how) {
        (Change::Put(..), How::Make) => NEW_SERVICE,
        (Change::Put(..), How::Alter) => SET_SERVICE,
        (Change::Remove(_), _) => DELETE_SERVICE,
        (Change::PutDestination(..), How::Make) => NEW_DESTINATION,
        (Change::PutDestination(..), How::Alter) => SET_DESTINATION,
        (Change::RemoveDestination(..), _) => DELETE_DESTINATION,
    };
    let mut body = header(command, VERSION);
    match change {
        Change::Put(place, conduct) => write_service(&mut body, place, Some(conduct)),
        Change::Remove(place) => write_service(&mut body, place, None),
        Change::PutDestination(place, one) | Change::RemoveDestination(place, one) => {
            write_service(&mut body, place, None);
            body.nested(DESTINATION, |nest| {
                nest.ip(DESTINATION_ADDRESS, one.ip)
                    .be16(DESTINATION_PORT, one.port)
                    .u32(DESTINATION_METHOD, REWRITE)
                    .u32(DESTINATION_WEIGHT, one.weight)
                    .u32(DESTINATION_UPPER, 0)
                    .u32(DESTINATION_LOWER, 0);
            });
        }
    }
    Message::new(family, 0, body)
}

fn write_service(body: &mut Body, place: &Place, conduct: Option<&Conduct>) {
    let v6 = place.ip.is_ipv6();
    body.nested(SERVICE, |nest| {
        nest.u16(SERVICE_FAMILY, if v6 { INET6 } else { INET })
            .u16(SERVICE_PROTOCOL, place.protocol.into())
            .ip(SERVICE_ADDRESS, place.ip)
            .be16(SERVICE_PORT, place.port);
        let Some(conduct) = conduct else {
            return;
        };
        let flags = [conduct.flags, u32::MAX].map(u32::to_ne_bytes).concat();
        nest.text(SERVICE_SCHEDULER, &conduct.scheduler)
            .attr(SERVICE_FLAGS, &flags)
            .u32(SERVICE_TIMEOUT, conduct.stay)
            .u32(SERVICE_NETMASK, if v6 { 128 } else { u32::MAX });
    });
}

fn list_services(family: u16) -> Message {
    Message::new(family, DUMP, header(GET_SERVICE, VERSION))
}

fn list_destinations(family: u16, place: &Place) -> Message {
    let mut body = header(GET_DESTINATION, VERSION);
    write_service(&mut body, place, None);
    Message::new(family, DUMP, body)
}

/// Sets how long the kernel remembers idle connections; 0 seconds leave a time as it is.
fn set_timeouts(family: u16, [tcp, tcp_fin, udp]: [u32; 3]) -> Message {
    let mut body = header(SET_CONFIG, VERSION);
    body.u32(TIMEOUT_TCP, tcp)
        .u32(TIMEOUT_TCP_FIN, tcp_fin)
        .u32(TIMEOUT_UDP, udp);
    Message::new(family, 0, body)
}

/// A virtual server of an address; one of marked packets has none.
fn decode_service(message: &Message) -> Option<(Place, Conduct)> {
    let attrs = find(attributes_of(message)?, SERVICE)?;
    let (mut raw_ip, mut protocol, mut port) = (None, None, None);
    let (mut scheduler, mut flags, mut stay, mut v6) = (String::new(), 0, 0, false);
    for (kind, value) in attributes(attrs) {
        match kind {
            SERVICE_FAMILY => v6 = value.first() == Some(&10),
            SERVICE_PROTOCOL => protocol = value.first().copied(),
            SERVICE_ADDRESS => raw_ip = Some(value),
            SERVICE_PORT => port = be16(value),
            SERVICE_SCHEDULER => scheduler = text(value),
            SERVICE_FLAGS => flags = ne32(value)? & !HASHED,
            SERVICE_TIMEOUT => stay = ne32(value)?,
            _ => {}
        }
    }
    let place = Place {
        ip: address(raw_ip?, v6)?,
        protocol: protocol?,
        port: port?,
    };
    let conduct = Conduct {
        scheduler,
        flags,
        stay: if flags & PERSISTENT == 0 { 0 } else { stay },
    };
    Some((place, conduct))
}

fn decode_destination(message: &Message, v6: bool) -> Option<Destination> {
    let attrs = find(attributes_of(message)?, DESTINATION)?;
    let number = |kind| find(attrs, kind).and_then(ne32);
    let connections =
        [DESTINATION_ACTIVE, DESTINATION_INACTIVE].map(|kind| number(kind).unwrap_or(0));
    Some(Destination {
        ip: address(find(attrs, DESTINATION_ADDRESS)?, v6)?,
        port: be16(find(attrs, DESTINATION_PORT)?)?,
        weight: number(DESTINATION_WEIGHT)?,
        connections: connections[0].saturating_add(connections[1]),
    })
}

/// Addresses have room for IPv6 whatever they are.
fn address(raw: &[u8], v6: bool) -> Option<IpAddr> {
    ip_from(raw.get(..if v6 { 16 } else { 4 })?)
}

#[cfg(test)]
mod tests;
