//! The addresses at which pods ask, on a link of their own that sends nothing: they are the node's, and
//! no neighbour hears of them. Knows netlink, and nothing of names.

use std::net::IpAddr;

use keelson_netlink::route::address::{self, Address};
use keelson_netlink::route::link::{self, Mac, NewBridge};
use keelson_netlink::{Cidr, Errno, Protocol, Result, Socket};

/// The link's name.
pub const LINK: &str = "keelson-dns";

/// Makes these the only addresses of the link, which is made where it is missing.
///
/// # Errors
/// When the kernel refuses.
pub fn hold(addresses: &[IpAddr]) -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    create(&mut socket)?;
    let found = socket.one("find link keelson-dns", link::query(LINK))?;
    let Some(index) = found.iter().find_map(link::decode).map(|link| link.index) else {
        return Ok(());
    };
    socket.one("bring up link keelson-dns", link::set_up(index, true))?;
    let listed = socket.one("list addresses", address::list())?;
    let own = listed.iter().filter_map(address::decode);
    let own: Vec<Address> = own.filter(|address| address.index == index).collect();
    for ip in addresses {
        if own.iter().all(|address| address.cidr.addr != *ip) {
            let added = Address {
                index,
                cidr: Cidr::host(*ip),
                tentative: false,
            };
            socket.one(&format!("add address {ip}"), address::add(&added, false))?;
        }
    }
    for old in own.iter().filter(|old| is_left_over(old, addresses)) {
        let step = format!("remove address {}", old.cidr.addr);
        socket.one(&step, address::delete(old))?;
    }
    Ok(())
}

/// A kernel without dummy links has bridges: one without ports sends nothing either.
fn create(socket: &mut Socket) -> Result<()> {
    let bridge = NewBridge {
        name: LINK.to_owned(),
        mac: Mac([0x02, 0x00, 0x64, 0x6e, 0x73, 0x00]),
        mtu: None,
        vlan_filtering: false,
    };
    let step = "create link keelson-dns";
    let made = match socket.one(step, link::create_dummy(LINK)) {
        Err(error) if error.errno == Errno::OPNOTSUPP => {
            socket.one(step, link::create_bridge(&bridge))
        }
        made => made,
    };
    match made {
        Err(error) if error.errno != Errno::EXIST => Err(error),
        _ => Ok(()),
    }
}

/// The kernel gives the link an address of its own for IPv6, which stays.
fn is_left_over(old: &Address, wanted: &[IpAddr]) -> bool {
    let ip = old.cidr.addr;
    let kernels = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !kernels && !wanted.contains(&ip)
}

/// Removes the link with its addresses; that it is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn release() -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    match socket.one("remove link keelson-dns", link::delete(LINK)) {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}
