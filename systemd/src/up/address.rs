//! What this machine is called and where others reach it.

use nix::ifaddrs::getifaddrs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The host's name in lower case, as the kubelet takes it.
#[must_use]
pub fn name_here() -> String {
    let host = rustix::system::uname();
    host.nodename().to_string_lossy().trim().to_lowercase()
}

/// What the names of our own links begin with: the pods' bridge, the DNS.
const OURS: &str = "keelson";

/// The address that this machine reaches others from, or any that is not loopback's or our own
/// links'; IPv4 alone, as the services' addresses are.
#[must_use]
pub fn address_here() -> Option<IpAddr> {
    by_route().or_else(of_an_interface)
}

/// Connecting a datagram socket sends nothing; it makes the kernel choose a source address.
fn by_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

fn of_an_interface() -> Option<IpAddr> {
    getifaddrs()
        .ok()?
        .filter(|one| !one.interface_name.starts_with(OURS))
        .filter_map(|one| Some(one.address?.as_sockaddr_in()?.ip()))
        .find(|ip| !ip.is_loopback() && !ip.is_link_local())
        .map(IpAddr::from)
}
