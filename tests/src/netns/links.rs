//! Links, addresses and routes of the calling thread's namespace.

use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link::{self, Link};
use keelson_netlink::route::path;
use keelson_netlink::{Cidr, Message, Protocol, Socket};

/// Sends one route request in the thread's namespace.
///
/// # Panics
/// When the kernel refuses it.
pub fn route(message: Message) -> Vec<Message> {
    let mut socket = Socket::open(Protocol::Route).expect("netlink");
    socket.one("request of a test", message).expect("accepted")
}

/// A link of the thread's namespace by name.
#[must_use]
pub fn find_link(name: &str) -> Option<Link> {
    links().into_iter().find(|link| link.name == name)
}

/// All links of the thread's namespace.
#[must_use]
pub fn links() -> Vec<Link> {
    route(link::list())
        .iter()
        .filter_map(link::decode)
        .collect()
}

/// Addresses of a link of the thread's namespace.
#[must_use]
pub fn addresses(name: &str) -> Vec<Cidr> {
    let index = find_link(name).map(|link| link.index);
    let all = route(address::list());
    let own = all.iter().filter_map(address::decode);
    own.filter(|address| Some(address.index) == index)
        .map(|address| address.cidr)
        .collect()
}

/// Gives a link addresses and brings it up.
///
/// # Panics
/// Where there is no such link.
pub fn set_addresses(name: &str, cidrs: &[&str]) {
    let index = find_link(name).expect("link").index;
    route(link::set_up(index, true));
    for cidr in cidrs {
        let cidr = cidr.parse().expect("cidr");
        let address = Address {
            index,
            cidr,
            tentative: false,
        };
        route(address::add(&address, false));
    }
}

/// A route to a subnet by a gateway, in the thread's namespace.
///
/// # Panics
/// Where the kernel refuses it.
pub fn add_route(to: &str, via: &str) {
    route(path::add(&path::Route {
        gateway: Some(via.parse().expect("address")),
        ..path::Route::to(to.parse().expect("cidr"))
    }));
}

/// Whether the kernel's bridges can filter by VLAN.
#[must_use]
pub fn has_vlan_filtering() -> bool {
    let bridge = link::NewBridge {
        name: "vlanprobe".into(),
        mac: link::Mac([2, 0, 0, 0, 0, 0x77]),
        mtu: None,
        vlan_filtering: true,
    };
    let mut socket = Socket::open(Protocol::Route).expect("netlink");
    let made = socket.one("probe", link::create_bridge(&bridge)).is_ok();
    made && socket.one("probe", link::delete(&bridge.name)).is_ok()
}
