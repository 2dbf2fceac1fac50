//! Routes. Pure.

use std::net::IpAddr;

use super::family;
use crate::cidr::Cidr;
use crate::message::{CREATE, DUMP, EXCL, Message, REPLACE};
use crate::wire::{Body, attributes, ip_from, ne32};

const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;

const DST: u16 = 1;
const OIF: u16 = 4;
const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
const METRICS: u16 = 8;
const TABLE: u16 = 15;

const METRIC_MTU: u16 = 2;
const METRIC_ADVMSS: u16 = 8;

const TABLE_MAIN: u32 = 254;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_UNICAST: u8 = 1;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;

/// A unicast route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to; host bits must be zero.
    pub destination: Cidr,
    /// Next hop; `None` means directly on the link.
    pub gateway: Option<IpAddr>,
    /// Index of the outgoing link; `None` lets the kernel find it by the gateway.
    pub index: Option<u32>,
    /// Metric; 0 leaves it to the kernel.
    pub priority: u32,
    /// Table; `None` is the main table.
    pub table: Option<u32>,
    /// Who made it: a number that the kernel only keeps; `None` is what boot scripts have.
    pub origin: Option<u8>,
    /// Scope; `None` follows from the gateway.
    pub scope: Option<u8>,
    /// Path MTU; 0 is none.
    pub mtu: u32,
    /// Advertised segment size; 0 is none.
    pub advmss: u32,
}

impl Route {
    /// A route of the main table with nothing but a destination.
    #[must_use]
    pub fn to(destination: Cidr) -> Self {
        Self {
            destination,
            gateway: None,
            index: None,
            priority: 0,
            table: None,
            origin: None,
            scope: None,
            mtu: 0,
            advmss: 0,
        }
    }
}

/// Adds a route; fails where it exists.
#[must_use]
pub fn add(route: &Route) -> Message {
    Message::new(NEWROUTE, CREATE | EXCL, body(route))
}

/// Adds a route, in place of one with the same destination.
#[must_use]
pub fn replace(route: &Route) -> Message {
    Message::new(NEWROUTE, CREATE | REPLACE, body(route))
}

/// Removes a route.
#[must_use]
pub fn delete(route: &Route) -> Message {
    Message::new(DELROUTE, 0, body(route))
}

/// Asks for all routes of both families.
#[must_use]
pub fn list() -> Message {
    Message::new(GETROUTE, DUMP, Body::with_header(&[0; 12]))
}

/// Asks which way the kernel would take to `addr`.
#[must_use]
pub fn lookup(addr: IpAddr) -> Message {
    let mut header = [0; 12];
    header[0] = family(addr);
    header[1] = crate::cidr::bits(addr);
    let mut body = Body::with_header(&header);
    body.ip(DST, addr);
    Message::new(GETROUTE, 0, body)
}

/// Reads one route out of an answer; `None` for other kinds than IPv4 and IPv6 unicast.
#[must_use]
pub fn decode(message: &Message) -> Option<Route> {
    let header: &[u8; 12] = message.body.first_chunk()?;
    let v6 = match header[0] {
        super::AF_INET => false,
        super::AF_INET6 => true,
        _ => return None,
    };
    if header[7] != TYPE_UNICAST {
        return None;
    }
    let mut route = Route::to(Cidr::everything(v6));
    route.table = Some(u32::from(header[4]));
    route.origin = Some(header[5]);
    route.scope = Some(header[6]);
    for (kind, value) in attributes(message.body.get(12..)?) {
        match kind {
            DST => route.destination = Cidr::new(ip_from(value)?, header[1])?,
            OIF => route.index = ne32(value),
            GATEWAY => route.gateway = ip_from(value),
            PRIORITY => route.priority = ne32(value)?,
            TABLE => route.table = ne32(value),
            _ => {}
        }
    }
    Some(route)
}

fn body(route: &Route) -> Body {
    let table = route.table.unwrap_or(TABLE_MAIN);
    let scope = route.scope.unwrap_or(match route.gateway {
        Some(_) => SCOPE_UNIVERSE,
        None if route.destination.is_v6() => SCOPE_UNIVERSE,
        None => SCOPE_LINK,
    });
    let mut header = [0; 12];
    header[0] = family(route.destination.addr);
    header[1] = route.destination.prefix;
    header[4] = u8::try_from(table).unwrap_or(0);
    header[5] = route.origin.unwrap_or(PROTOCOL_BOOT);
    header[6] = scope;
    header[7] = TYPE_UNICAST;
    let mut body = Body::with_header(&header);
    body.ip(DST, route.destination.network().addr)
        .u32(TABLE, table);
    if let Some(gateway) = route.gateway {
        body.ip(GATEWAY, gateway);
    }
    if let Some(index) = route.index {
        body.u32(OIF, index);
    }
    if route.priority != 0 {
        body.u32(PRIORITY, route.priority);
    }
    metrics(route, &mut body);
    body
}

fn metrics(route: &Route, body: &mut Body) {
    if route.mtu == 0 && route.advmss == 0 {
        return;
    }
    body.nested(METRICS, |metrics| {
        for (kind, value) in [(METRIC_MTU, route.mtu), (METRIC_ADVMSS, route.advmss)] {
            if value != 0 {
                metrics.u32(kind, value);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes_a_default_route() {
        let route = Route {
            gateway: Some("10.1.0.1".parse().unwrap()),
            index: Some(3),
            mtu: 1300,
            ..Route::to(Cidr::everything(false))
        };
        let message = add(&route);
        assert_eq!(
            hex::encode(&message.body),
            "02000000fe03000100000000\
             0800010000000000\
             08000f00fe000000\
             080005000a010001\
             0800040003000000\
             0c000880\
             0800020014050000"
        );
        let read = decode(&message).unwrap();
        assert_eq!(
            (read.destination, read.gateway, read.index, read.table),
            (
                Cidr::everything(false),
                route.gateway,
                Some(3),
                Some(TABLE_MAIN)
            )
        );
    }
}
