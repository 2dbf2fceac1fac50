//! Links, addresses, routes and bridge VLANs: values to messages and back. Pure.

pub mod address;
pub mod link;
pub mod neighbour;
pub mod path;
pub mod vlan;

use std::net::IpAddr;

/// `AF_INET`.
pub const AF_INET: u8 = 2;
/// `AF_INET6`.
pub const AF_INET6: u8 = 10;
/// `AF_BRIDGE`.
pub const AF_BRIDGE: u8 = 7;

pub(crate) fn family(addr: IpAddr) -> u8 {
    if addr.is_ipv6() { AF_INET6 } else { AF_INET }
}
